"""The door that is memory alone: a request slot that anybody fills in who can write RAM."""

from itertools import count

from pageferry import Testbed
from pageferry.abi import Status
from pageferry.guest import POLL, Guest

_sequence = count(1)
"""Never restarted, so that a late answer matches nothing."""


def request(bed: Testbed, operation: int, source: Guest, *arguments: int) -> Status:
    """Fill the slot, hand it in, wait until the hypervisor has answered."""
    sequence = next(_sequence)
    door = bed.machine.image.enum("door")["DOOR_MEMORY"]
    states = bed.machine.image.enum("slot_state")
    slot = f"slots[{door}]"
    fields = {"sequence": sequence, "operation": operation, "vm": source.vm}
    fields |= {"vcpu": source.index}
    fields |= {f"argument[{place}]": value for place, value in enumerate(arguments)}
    for name, value in fields.items():
        bed.firmware.write(f"{slot}.request.{name}", value)
    bed.firmware.write(f"{slot}.state", states["SLOT_SUBMITTED"])
    bed.machine.await_fact(
        lambda: bed.firmware.read_int(f"{slot}.state") == states["SLOT_DONE"] or None,
        f"the answer to request {sequence} in memory",
        every=POLL,
    )
    assert bed.firmware.read_int(f"{slot}.request.sequence") == sequence
    return Status(bed.firmware.read_int(f"{slot}.request.status"))
