"""A request can be put straight into memory: the slot of a door that needs no wire."""

from tests.system import slot

from pageferry import Testbed
from pageferry.abi import Command, Operation, Status
from pageferry.debugger import Debugger
from pageferry.guest import POLL, Guest

NONCE = 0x5EED


def test_a_request_in_memory_is_done_while_everything_sleeps(bed: Testbed) -> None:
    a, b = bed.guests
    frame = a.stage2(a.page(0)).output
    assert slot.request(bed, Operation.REMAP, a, a.page(0), b.vm, b.window(0)) is Status.OK
    assert b.stage2(b.window(0)).output == frame
    assert not a.stage2(a.page(0)).mapped


def test_a_request_in_memory_is_refused_like_any_other(bed: Testbed) -> None:
    a, b = bed.guests
    before = bed.census()
    status = slot.request(bed, Operation.REMAP, a, a.window(0), b.vm, b.window(0))
    assert status is Status.NOT_MAPPED
    assert before.changes(bed.census()) == []


def test_an_operation_without_a_name_is_refused_in_memory_too(bed: Testbed) -> None:
    unknown = [0, Operation.WAIT, Operation.RECOVER, Operation.ASK + 1, (1 << 64) - 1]
    for number in [*unknown, (1 << 32) + Operation.ASK]:
        assert slot.request(bed, number, bed.guests[0]) is Status.UNKNOWN_OPERATION


def test_the_operation_without_a_name_is_told_before_the_vm_that_there_is_not(
    bed: Testbed,
) -> None:
    a = bed.guests[0]
    nobody = Guest(9, bed.machine, bed.firmware, a.agent_image)
    assert slot.request(bed, Operation.ASK + 1, nobody) is Status.UNKNOWN_OPERATION


def test_an_answer_in_memory_is_whole_when_it_is_said_to_be_there(
    bed: Testbed, gdb: Debugger
) -> None:
    done = bed.machine.image.enum("slot_state")["SLOT_DONE"]
    state = f"{slot.name(bed)}.state"
    gdb.watchpoint(state)
    slot.submit(bed, Operation.ASK, bed.guests[0], 0x5EED, Command.PING)
    while gdb.wait() and gdb.value(state) != done:
        gdb.cont()
    assert gdb.text(f"{slot.name(bed)}.request.text") == "the guest came back"


def test_work_for_a_guest_is_answered_in_memory_when_the_guest_has_come_back(
    bed: Testbed,
) -> None:
    a = bed.guests[0]
    nonce = 0x1234
    assert slot.request(bed, Operation.ASK, a, nonce, Command.PING) is Status.OK
    assert a.report().nonce == nonce


def test_a_slot_is_not_free_while_a_guest_is_at_work_at_what_is_in_it(bed: Testbed) -> None:
    a, states = bed.guests[0], bed.machine.image.enum("slot_state")
    slot.submit(bed, Operation.ASK, a, NONCE, Command.WATCH, a.gva(a.page(0)))
    begun = bed.machine.await_fact(
        lambda: a.agent.read_int("reports[0].begun") == NONCE or None, "the watch", every=POLL
    )
    assert begun

    def taken() -> int | None:
        state = bed.firmware.read_int(f"{slot.name(bed)}.state")
        return None if state == states["SLOT_SUBMITTED"] else state

    assert bed.machine.await_fact(taken, "the slot", every=POLL) == states["SLOT_WORKING"]


def test_work_that_stops_the_guest_is_answered_in_memory_as_stopped(bed: Testbed) -> None:
    a = bed.guests[0]
    assert slot.request(bed, Operation.ASK, a, 1, Command.MISBEHAVE, 0) is Status.STOPPED
