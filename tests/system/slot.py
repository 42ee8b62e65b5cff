"""The door that is memory alone: a request slot that anybody fills in who can write RAM."""

from itertools import count

from pageferry import Testbed
from pageferry.abi import Status
from pageferry.guest import POLL, Guest

_sequence = count(1)
"""Never restarted, so that a late answer matches nothing."""


def name(bed: Testbed) -> str:
    """The slot, as an expression."""
    return f"slots[{bed.machine.image.enum('door')['DOOR_MEMORY']}]"


def submit(bed: Testbed, operation: int, source: Guest, *arguments: int) -> int:
    """Fill the slot and hand it in: its sequence number."""
    sequence = next(_sequence)
    states = bed.machine.image.enum("slot_state")
    slot = name(bed)
    fields = {"sequence": sequence, "operation": operation, "vm": source.vm}
    fields |= {"vcpu": source.index}
    fields |= {f"argument[{place}]": value for place, value in enumerate(arguments)}
    for field, value in fields.items():
        bed.firmware.write(f"{slot}.request.{field}", value)
    bed.firmware.write(f"{slot}.state", states["SLOT_SUBMITTED"])
    return sequence


def request(bed: Testbed, operation: int, source: Guest, *arguments: int) -> Status:
    """The same, and wait until the hypervisor has answered."""
    sequence = submit(bed, operation, source, *arguments)
    slot, states = name(bed), bed.machine.image.enum("slot_state")
    bed.machine.await_fact(
        lambda: bed.firmware.read_int(f"{slot}.state") == states["SLOT_DONE"] or None,
        f"the answer to request {sequence} in memory",
        every=POLL,
    )
    assert bed.firmware.read_int(f"{slot}.request.sequence") == sequence
    return Status(bed.firmware.read_int(f"{slot}.request.status"))
