"""The hypervisor's own bookkeeping, read from its memory by the types of its image."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache

from .abi import GuestMap
from .address import GPA, HPA, PAGE_SIZE
from .guest import Guest
from .holdings import State
from .image import Reader
from .ledger import Kind, Record
from .machine import Machine
from .ownership import Disagreement, Wrong
from .tables import Rights

_FORMATS = {1: "B", 4: "I", 8: "Q"}
_FIELDS = {
    "kind": "frames[0].kind",
    "owner": "frames[0].owner",
    "borrower": "frames[0].borrower",
    "rights": "frames[0].rights",
    "owner_gpa": "frames[0].owner_gpa.value",
    "borrower_gpa": "frames[0].borrower_gpa.value",
}

RECORDS_KEPT = 4096
"""Records that are kept made: most are the same at the next look."""


def records(firmware: Reader, machine: Machine) -> dict[HPA, Record]:
    """The record of every frame that is not the hypervisor's, by the frame's address.

    The layout is read from the debug information once; thousands of typed reads would be slow.
    """
    data, size = firmware.read_bytes("frames"), firmware.size("frames[0]")
    names, layout = _layout(firmware)
    kinds = {value: Kind(name) for name, value in machine.image.enum("frame_kind").items()}
    kind_at = firmware.address(_FIELDS["kind"]) - firmware.address("frames")
    found = {}
    for number, value in enumerate(data[kind_at::size]):
        if kinds.get(value) is Kind.HYPERVISOR:
            continue
        fields = dict(zip(names, layout.unpack_from(data, number * size), strict=True))
        fields["kind"] = kinds[value]
        found[HPA(machine.arch.ram_base + number * PAGE_SIZE)] = _record(**fields)
    return found


def _layout(firmware: Reader) -> tuple[list[str], struct.Struct]:
    """The fields of a record as they follow one another in memory, and what unpacks them."""
    names = sorted(_FIELDS, key=lambda name: firmware.address(_FIELDS[name]))
    form, end = "<", firmware.address("frames")
    for name in names:
        at, size = firmware.address(_FIELDS[name]), firmware.size(_FIELDS[name])
        form += f"{at - end}x{_FORMATS[size]}"
        end = at + size
    return names, struct.Struct(form)


@lru_cache(maxsize=RECORDS_KEPT)
def _record(
    kind: Kind, owner: int, borrower: int, rights: int, owner_gpa: GPA, borrower_gpa: GPA
) -> Record:
    return Record(kind, owner, borrower, Rights(rights), owner_gpa, borrower_gpa)


def posted(firmware: Reader, vm: int) -> frozenset[GPA]:
    """The pages of its window where VM `vm` accepts something."""
    bits = int.from_bytes(firmware.read_bytes(f"vms[{vm}].posted"), "little")
    return frozenset(
        GPA(GuestMap.WINDOW + number * PAGE_SIZE)
        for number in range(GuestMap.WINDOW_SIZE // PAGE_SIZE)
        if bits >> number & 1
    )


def disagreements(firmware: Reader, guests: Iterable[Guest], state: State) -> list[Disagreement]:
    """Where what is kept about a VM differs from `state`, or from what its CPUs are told."""
    found = []
    for guest in guests:
        kept = firmware.read_int(f"vms[{guest.vm}].stage2_root.value")
        for vcpu in guest.vcpus:
            if kept != vcpu.stage2_root:
                text = f"VM {vcpu.name} runs on the root {vcpu.stage2_root:#x}, not on {kept:#x}"
                found.append(Disagreement(Wrong.BOOKKEEPING, text))
        differing = posted(firmware, guest.vm) ^ state.vms[guest.vm].posted
        if differing:
            text = (
                f"VM {guest.vm} posts {len(differing)} pages otherwise, {min(differing):#x} first"
            )
            found.append(Disagreement(Wrong.BOOKKEEPING, text))
    return found
