"""Questions and their answers, all about one moment."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..abi import GuestMap
from ..address import GPA, GVA, HPA, PAGE_SIZE, Address, in_hex, page_of
from ..errors import HarnessError, MemoryUnreadable
from ..paging import GuestTranslation, Rights, leaves, table_frames, walk_guest
from ..paging import Mapping as Leaf
from ..paging import walk as walk_stage
from .system import System, Variables


@dataclass(frozen=True)
class VcpuSeen:
    """One vCPU of a VM.

    index    of those of its VM, from 0
    cpu      the logical number of the one that runs it
    state    running, waiting, stopped
    reason   why it is stopped, "" if it is not
    counter  its program counter when it last left the CPU, a GVA
    code     where in the agent that is, None if that is not known
    """

    index: int
    cpu: int
    state: str
    reason: str
    counter: GVA
    code: str | None = None


@dataclass(frozen=True)
class GuestSeen:
    """One VM. What only a hypervisor of ours keeps is empty or None for another.

    stage1_root  of its first vCPU
    pages        how many its stage 2 maps
    vcpus        all that it has
    posted       where it expects pages: those of its window that are posted
    """

    vm: int
    stage1_root: GPA | None
    stage2_root: HPA
    pages: int
    vcpus: tuple[VcpuSeen, ...] = ()
    posted: int | None = None

    __repr__ = in_hex


def guests(system: System) -> list[GuestSeen]:
    """Every VM. HarnessError while the hypervisor has none."""
    return [_guest(system, vm) for vm in system.vms]


def _guest(system: System, vm: int) -> GuestSeen:
    roots = system.roots(vm)
    found = leaves(system.memory, system.arch.stage2, roots.stage2)
    pages = sum(leaf.size for leaf in found) // PAGE_SIZE
    variables = system.variables
    if variables is None:
        return GuestSeen(vm, roots.stage1, roots.stage2, pages)
    words = variables.size(f"vms[{vm}].posted") // variables.size(f"vms[{vm}].posted[0]")
    return GuestSeen(
        vm,
        roots.stage1,
        roots.stage2,
        pages,
        tuple(_vcpu(system, variables, vm, index) for index in system.vcpus(vm)),
        sum(variables.read_int(f"vms[{vm}].posted[{i}]").bit_count() for i in range(words)),
    )


def _vcpu(system: System, variables: Variables, vm: int, index: int) -> VcpuSeen:
    vcpu = f"vms[{vm}].vcpus[{index}]"
    counter = GVA(variables.read_int(system.arch.program_counter.format(vm=vm, vcpu=index)))
    return VcpuSeen(
        index,
        variables.read_int(f"{vcpu}.cpu"),
        system.name_of("vcpu_state", variables.read_int(f"{vcpu}.state")),
        system.text(f"{vcpu}.stop_reason"),
        counter,
        system.name_code(counter),
    )


def walk(system: System, vm: int, gva: GVA) -> GuestTranslation:
    """A guest-virtual address through both stages, as its CPU would, with every entry.

    HarnessError if the guest's own root is not known.
    """
    roots = system.roots(vm)
    if roots.stage1 is None:
        raise HarnessError(f"where g{vm} has its own tables is not known")
    arch = system.arch
    return walk_guest(system.memory, arch.stage1, roots.stage1, arch.stage2, roots.stage2, gva)


def bytes_at(system: System, vm: int, gva: GVA, length: int) -> bytes:
    """What the guest would read there. HarnessError says which stage keeps it from that."""
    found = bytearray()
    while len(found) < length:
        here = GVA(gva + len(found))
        way = walk(system, vm, here)
        if failure := way.fails():
            raise HarnessError(f"g{vm}:{here:#x} cannot be read: {failure}")
        assert way.hpa is not None
        count = min(length - len(found), PAGE_SIZE - here % PAGE_SIZE)
        found += system.memory.read(way.hpa, count)
    return bytes(found)


@dataclass(frozen=True)
class Range:
    """`size` bytes from `address` on that lead, in a row and with the same rights, to `output`."""

    address: Address
    output: Address
    size: int
    rights: Rights

    __repr__ = in_hex


class _GuestPhysical:
    """A guest's physical memory, as its stage 2 has it: where its own tables lie."""

    def __init__(self, system: System, vm: int) -> None:
        self._system = system
        self._root = system.roots(vm).stage2

    def read(self, address: HPA, length: int) -> bytes:
        found = bytearray()
        while len(found) < length:
            here = address + len(found)
            frame = walk_stage(
                self._system.memory, self._system.arch.stage2, self._root, here
            ).output
            if frame is None:
                raise MemoryUnreadable(address, length, f"stage 2 maps nothing at GPA {here:#x}")
            count = min(length - len(found), PAGE_SIZE - here % PAGE_SIZE)
            found += self._system.memory.read(frame, count)
        return bytes(found)

    def write(self, address: HPA, data: bytes) -> None:
        raise MemoryUnreadable(address, len(data), "it is only looked at")


def map_of(system: System, vm: int, stage: int = 2) -> list[Range]:
    """What one stage maps: 1 leads from GVA to GPA, 2 from GPA to HPA."""
    roots = system.roots(vm)
    if stage == 2:
        return _joined(leaves(system.memory, system.arch.stage2, roots.stage2))
    if roots.stage1 is None:
        raise HarnessError(f"where g{vm} has its own tables is not known")
    own = _GuestPhysical(system, vm)
    return _joined(leaves(own, system.arch.stage1, HPA(roots.stage1)))


def _joined(mappings: Iterable[Leaf]) -> list[Range]:
    found: list[Range] = []
    for leaf in mappings:
        last = found[-1] if found else None
        if (
            last is not None
            and leaf.address == last.address + last.size
            and leaf.output == last.output + last.size
            and leaf.rights == last.rights
        ):
            found[-1] = Range(last.address, last.output, last.size + leaf.size, last.rights)
        else:
            found.append(Range(leaf.address, leaf.output, leaf.size, leaf.rights))
    return found


@dataclass(frozen=True)
class Change:
    """A page that leads elsewhere, or with other rights; None: it led or leads nowhere."""

    address: int
    before: tuple[int, Rights] | None
    after: tuple[int, Rights] | None


def diff(before: Iterable[Range], after: Iterable[Range]) -> list[Change]:
    """Page by page, how two maps differ, by rising address."""
    was, now = dict(_pages(before)), dict(_pages(after))
    return [
        Change(address, was.get(address), now.get(address))
        for address in sorted(was.keys() | now.keys())
        if was.get(address) != now.get(address)
    ]


def _pages(ranges: Iterable[Range]) -> Iterator[tuple[int, tuple[int, Rights]]]:
    for each in ranges:
        for offset in range(0, each.size, PAGE_SIZE):
            yield each.address + offset, (each.output + offset, each.rights)


@dataclass(frozen=True)
class Record:
    """What the hypervisor's own record of a frame says; VM 0 is itself, or nobody."""

    kind: str
    owner: int
    borrower: int
    owner_gpa: GPA
    borrower_gpa: GPA

    __repr__ = in_hex


@dataclass(frozen=True)
class Holder:
    """A page whose stage 2 leads to the frame."""

    vm: int
    gpa: GPA
    rights: Rights

    __repr__ = in_hex


@dataclass(frozen=True)
class Owner:
    """Everything that is known of one frame.

    frame    its HPA
    record   None if the hypervisor is not ours, or has no record of the frame
    mapped   every page that leads to it, by the tables
    table    the VM whose stage 2 it is a table of, None if of none
    doubts   where tables and record do not say the same; empty if all is well
    """

    frame: HPA
    record: Record | None
    mapped: tuple[Holder, ...]
    table: int | None
    doubts: tuple[str, ...]

    __repr__ = in_hex


def owner(system: System, address: HPA) -> Owner:
    """Who has the frame that `address` lies in: by the record, and by walking the tables.

    HarnessError for what lies outside of RAM, as far as that is known, and nobody maps.
    """
    frame = page_of(address)
    holders: list[Holder] = []
    table = None
    for vm in system.made:
        root = system.roots(vm).stage2
        holders += (
            Holder(vm, GPA(leaf.address + frame - leaf.output), leaf.rights)
            for leaf in leaves(system.memory, system.arch.stage2, root)
            if leaf.output <= frame < leaf.output + leaf.size
        )
        if frame in table_frames(system.memory, system.arch.stage2, root):
            table = vm
    if not holders and table is None:
        _require_ram(system, address)
    record = _record(system, frame)
    doubts = tuple(_doubts(record, holders, table))
    return Owner(frame, record, tuple(holders), table, doubts)


def doubts(system: System, records: Mapping[HPA, Record]) -> Iterator[tuple[HPA, str]]:
    """Of every frame that has a record, by rising address: what `Owner.doubts` would have.

    One walk of each guest's tables serves them all.
    """
    frames = sorted(records)
    holders: dict[HPA, list[Holder]] = {}
    tables: dict[HPA, int] = {}
    for vm in system.made:
        root = system.roots(vm).stage2
        tables |= dict.fromkeys(table_frames(system.memory, system.arch.stage2, root), vm)
        for leaf in leaves(system.memory, system.arch.stage2, root):
            first, end = (bisect_left(frames, leaf.output + it) for it in (0, leaf.size))
            for frame in frames[first:end]:
                holder = Holder(vm, GPA(leaf.address + frame - leaf.output), leaf.rights)
                holders.setdefault(frame, []).append(holder)
    for frame in frames:
        for doubt in _doubts(records[frame], holders.get(frame, []), tables.get(frame)):
            yield frame, doubt


_GUEST_AREAS = (
    range(GuestMap.RAM, GuestMap.RAM + GuestMap.RAM_SIZE),
    range(GuestMap.WINDOW, GuestMap.WINDOW + GuestMap.WINDOW_SIZE),
)
"""Where a guest of ours may have pages: guest-physical addresses."""


def _require_ram(system: System, address: HPA) -> None:
    """What is none is often meant as an address of a guest: then that is said too."""
    ram = system.ram
    if ram is None or address in ram:
        return
    pages = []
    for vm in system.made:
        way = walk_stage(system.memory, system.arch.stage2, system.roots(vm).stage2, address)
        if way.output is not None:
            pages.append(f"to g{vm} it is a page in frame {page_of(way.output):#x}")
    if not pages and any(address in area for area in _GUEST_AREAS):
        pages = ["to a guest it is a page that none has now"]
    what = f"{address:#x} is not in RAM (RAM is {ram.start:#x}..{ram.stop - 1:#x})"
    raise HarnessError("; ".join([what, *pages]))


def _record(system: System, frame: HPA) -> Record | None:
    variables, ram = system.variables, system.ram
    if variables is None or ram is None or frame not in ram:
        return None
    number = (frame - ram.start) // PAGE_SIZE
    read = variables.read_int
    entry = f"frames[{number}]"
    return Record(
        system.name_of("frame_kind", read(f"{entry}.kind")),
        read(f"{entry}.owner"),
        read(f"{entry}.borrower"),
        GPA(read(f"{entry}.owner_gpa.value")),
        GPA(read(f"{entry}.borrower_gpa.value")),
    )


def _doubts(record: Record | None, holders: list[Holder], table: int | None) -> Iterator[str]:
    if record is None:
        return
    recorded = {(record.owner, record.owner_gpa)} if record.kind == "guest" else set()
    if record.borrower:
        recorded.add((record.borrower, record.borrower_gpa))
    mapped = {(holder.vm, holder.gpa) for holder in holders}
    for vm, gpa in sorted(recorded - mapped):
        yield f"the record gives it to g{vm} at {gpa:#x}, whose stage 2 does not"
    for vm, gpa in sorted(mapped - recorded):
        yield f"g{vm} maps it at {gpa:#x}, of which the record knows nothing"
    if (record.kind == "table") is not (table is not None):
        said = "is" if record.kind == "table" else "is not"
        yield f"by the record it {said} a table, by the tables the other way round"
    if table is not None and holders:
        yield f"it is a table of g{table}, and a guest reaches it"
