"""gdb's door: a request put into memory, with no wire to the firmware."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pageferry import Machine, Testbed
from pageferry import arch as architectures
from pageferry.abi import Command, Operation, Status
from pageferry.channel import SCALE_VARIABLE
from pageferry.errors import DebuggerError, WaitTimeout
from pageferry.gdb_door import GdbDoor
from pageferry.settings import Settings
from pageferry.testbed import Door, firmware_directory

BRIEF = 0.2
TAKEN = r"the slot of gdb's door to be free|to stop in gdb|gdb's answer to -exec-interrupt"
"""What a request waits for that finds the slot taken: wherever its time is over."""

SLOT_DOORS = (Door.CONSOLE, Door.GDB)


@pytest.fixture
def by_gdb(bed: Testbed) -> GdbDoor:
    return GdbDoor(bed.machine)


def test_a_machine_that_ran_runs_after_the_request(bed: Testbed) -> None:
    a, b = bed.guests
    bed.remap(a, a.page(0), b, b.window(0), Door.GDB)
    assert bed.machine.debugger().running
    b.ping()


def test_a_machine_that_stood_stands_where_it_was_answered(bed: Testbed) -> None:
    a, b = bed.guests
    gdb = bed.machine.debugger()
    gdb.interrupt()
    bed.remap(a, a.page(0), b, b.window(0), Door.GDB)
    assert gdb.stop is not None
    assert gdb.stop.frame.function == "request_done"


def test_a_breakpoint_where_answers_pass_does_not_keep_the_answer(bed: Testbed) -> None:
    a, b = bed.guests
    with bed.machine.debugger().breakpoint("request_done", "door == DOOR_GDB"):
        bed.remap(a, a.page(0), b, b.window(0), Door.GDB)
        bed.remap(b, b.window(0), a, a.window(0), Door.GDB)


def test_a_request_after_one_that_left_the_machine_standing_is_answered(bed: Testbed) -> None:
    a, b = bed.guests
    bed.machine.debugger().interrupt()
    bed.remap(a, a.page(0), b, b.window(0), Door.GDB)
    bed.remap(b, b.window(0), a, a.window(0), Door.GDB)


def test_the_doors_with_slots_name_the_same_frame(bed: Testbed) -> None:
    a, b = bed.guests
    frame = a.stage2(a.page(0)).output
    page = a.page(0)
    for door in SLOT_DOORS:
        assert bed.remap(a, page, b, b.window(0), door).frame == frame
        bed.remap(b, b.window(0), a, a.window(0))
        page = a.window(0)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (Operation.POST, (1, 1)),
        (Operation.WITHDRAW, (1, 1)),
        (Operation.REMAP, (1, 2, 1)),
        (Operation.SHARE, (1, 2, 1)),
        (Operation.COPY, (1, 2, 1)),
        (Operation.RECLAIM, (1,)),
        (Operation.RELINQUISH, (1,)),
    ],
)
def test_every_operation_is_refused_with_the_same_words(
    bed: Testbed, operation: Operation, arguments: tuple[int, ...]
) -> None:
    first, second = (
        bed.request(operation, bed.guests[0], *arguments, door=door) for door in SLOT_DOORS
    )
    assert first == second
    assert first.status is Status.MISALIGNED
    assert first.text


def test_an_operation_without_a_name_is_refused(bed: Testbed) -> None:
    answer = bed.request(4711, bed.guests[0], door=Door.GDB)
    assert answer.status is Status.UNKNOWN_OPERATION


def test_work_for_a_guest_is_answered_when_it_has_come_back(bed: Testbed, by_gdb: GdbDoor) -> None:
    a = bed.guests[0]
    answer = by_gdb.request(Operation.ASK, a.vm, [0x1234, Command.PING])
    assert answer.status is Status.OK
    assert a.report().nonce == 0x1234


def test_work_that_does_not_end_is_not_awaited_for_ever(bed: Testbed, by_gdb: GdbDoor) -> None:
    a = bed.guests[0]
    watch = [0x1234, Command.WATCH, a.gva(a.page(0))]
    bed.machine.stop()  # that takes its time, and without it nothing is handed in
    with pytest.raises(WaitTimeout, match="the machine to reach"):
        by_gdb.request(Operation.ASK, a.vm, watch, BRIEF)
    with pytest.raises(WaitTimeout, match=TAKEN):
        by_gdb.request(Operation.REMAP, a.vm, [], BRIEF)


def test_a_request_that_stops_on_its_way_says_where(bed: Testbed) -> None:
    a, b = bed.guests
    bed.machine.debugger().breakpoint("transfer")
    with pytest.raises(DebuggerError, match=r"was answered: breakpoint-hit at .* transfer \("):
        bed.remap(a, a.page(0), b, b.window(0), Door.GDB)


def test_more_arguments_than_a_slot_has_are_refused(by_gdb: GdbDoor) -> None:
    with pytest.raises(ValueError, match="a slot has 6 arguments, not 7"):
        by_gdb.request(Operation.REMAP, 1, range(7))


def test_requests_by_gdb_and_console_may_take_turns(bed: Testbed) -> None:
    a, b = bed.guests
    owner, other, page = a, b, a.page(0)
    for turn in range(40):
        door = random.choice(SLOT_DOORS)
        to = other.window(turn % 5)
        bed.remap(owner, page, other, to, door)
        owner, other, page = other, owner, to
    assert owner.stage2(page).mapped


def test_the_breakpoint_of_a_request_that_ctrl_c_ended_does_not_remain(
    bed: Testbed, by_gdb: GdbDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_ctrl_c(*_: object) -> None:
        raise KeyboardInterrupt

    a, gdb = bed.guests[0], bed.machine.debugger()
    watch = [0x1234, Command.WATCH, a.gva(a.page(0))]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gdb, "_wait_at_temporary", press_ctrl_c)
        by_gdb.request(Operation.ASK, a.vm, watch)
    with pytest.raises(WaitTimeout, match=TAKEN):
        by_gdb.request(Operation.REMAP, a.vm, [], BRIEF)
    assert gdb.execute("-break-list")["BreakpointTable"]["body"] == []


def test_two_threads_take_turns_at_the_door(bed: Testbed, by_gdb: GdbDoor) -> None:
    vms = [guest.vm for guest in bed.guests] * 4
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda vm: by_gdb.request(Operation.RELINQUISH, vm, [1]), vms))
    assert {answer.status for answer in answers} == {Status.MISALIGNED}


def test_an_answer_to_the_console_is_not_taken_for_the_door_s(bed: Testbed) -> None:
    a, b = bed.guests
    work = a.begin(Command.WATCH, a.gva(a.page(1)))
    work.await_rounds(10)
    bed.machine.debugger().interrupt()
    a.stop_watch()  # the guest is the first to come back when the machine goes on
    answer = bed.request(Operation.REMAP, b, b.page(0), a.vm, a.page(0), door=Door.GDB)
    assert answer.status is Status.OUT_OF_RANGE
    bed.machine.cont()
    work.result()


def test_a_request_is_done_while_a_guest_works_without_end(bed: Testbed) -> None:
    a, b = bed.guests
    work = a.begin(Command.WATCH, a.gva(a.page(1)))
    work.await_rounds(10)
    bed.remap(b, b.page(0), a, a.window(0), Door.GDB)
    a.stop_watch()
    work.result()
    assert a.stage2(a.window(0)).mapped


@pytest.fixture
def unconnected(
    request: pytest.FixtureRequest,
    arch: str,
    pageferry_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Testbed]:
    """A machine that is ready and has had its console taken away."""
    firmware = pageferry_settings.firmware
    with Testbed.start(arch, cpus=request.param, firmware=firmware) as bed:
        # That the console is hung up would soon end every wait.
        monkeypatch.setenv(SCALE_VARIABLE, "100")
        bed.machine.console.close()
        yield bed
        monkeypatch.delenv(SCALE_VARIABLE)


@pytest.mark.parametrize("unconnected", [1, 3], indirect=True)
def test_it_works_without_a_console(unconnected: Testbed) -> None:
    a, b = unconnected.guests
    frame = a.stage2(a.page(0)).output
    unconnected.remap(a, a.page(0), b, b.window(0), Door.GDB)
    assert b.stage2(b.window(0)).output == frame
    assert not a.stage2(a.page(0)).mapped


def test_it_works_in_a_machine_that_nobody_has_spoken_to(arch: str) -> None:
    kernel = firmware_directory(arch) / "hypervisor.elf"
    with Machine(architectures.get(arch), kernel) as machine:
        gdb = machine.debugger()
        gdb.run_to("*requests_poll")
        answer = GdbDoor(machine).request(Operation.REMAP, 1, [0, 2, 0])
        assert answer.status is Status.OUT_OF_RANGE
