"""A request can be put straight into memory: the slot of a door that needs no wire."""

from pageferry import Testbed
from pageferry.abi import Command, Operation, Status
from pageferry.guest import POLL, Guest


def ask(bed: Testbed, sequence: int, operation: int, source: Guest, *arguments: int) -> Status:
    """Fill the slot, hand it in, wait until the hypervisor has answered."""
    door = bed.machine.image.enum("door")["DOOR_MEMORY"]
    states = bed.machine.image.enum("slot_state")
    slot = f"slots[{door}]"
    fields = {"sequence": sequence, "operation": operation, "vm": source.vm}
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


def test_a_request_in_memory_is_done_while_everything_sleeps(bed: Testbed) -> None:
    a, b = bed.guests
    frame = a.stage2(a.page(0)).output
    assert ask(bed, 7, Operation.REMAP, a, a.page(0), b.vm, b.window(0)) is Status.OK
    assert b.stage2(b.window(0)).output == frame
    assert not a.stage2(a.page(0)).mapped


def test_a_request_in_memory_is_refused_like_any_other(bed: Testbed) -> None:
    a, b = bed.guests
    before = bed.census()
    assert ask(bed, 8, Operation.REMAP, a, a.window(0), b.vm, b.window(0)) is Status.NOT_MAPPED
    assert before.changes(bed.census()) == []


def test_an_operation_without_a_name_is_refused_in_memory_too(bed: Testbed) -> None:
    for number in (0, Operation.WAIT, Operation.RECOVER, Operation.ASK + 1, (1 << 64) - 1):
        assert ask(bed, 9, number, bed.guests[0]) is Status.UNKNOWN_OPERATION


def test_work_for_a_guest_is_answered_in_memory_when_the_guest_has_come_back(
    bed: Testbed,
) -> None:
    a = bed.guests[0]
    nonce = 0x1234
    assert ask(bed, 10, Operation.ASK, a, nonce, Command.PING) is Status.OK
    assert a.report().nonce == nonce


def test_work_that_stops_the_guest_is_answered_in_memory_as_stopped(bed: Testbed) -> None:
    a = bed.guests[0]
    assert ask(bed, 11, Operation.ASK, a, 1, Command.MISBEHAVE, 0) is Status.STOPPED
