"""Of stops that come at once, by several CPUs or as the machine is interrupted: none is lost,
and none comes without a cause."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.system.witness import Witness

from pageferry import Testbed
from pageferry.abi import GuestMap, Operation, Status
from pageferry.channel import Timeout
from pageferry.console import Pending
from pageferry.debugger import Debugger, Stop
from pageferry.errors import DebuggerError
from pageferry.guest import Guest
from pageferry.target import standing as standing_still
from pageferry.testbed import Door

OFTEN = 30
"""Times, of which some hit the moment."""

DONE = "request_done"
REFUSED = "relinquish 1 1"


def stand_in_a_loop(guest: Guest, gdb: Debugger) -> int:
    """Where the guest is, which has a CPU to itself and works without end."""
    Witness(guest, guest.page(0)).await_undisturbed()
    gdb.interrupt()
    places = [gdb.value("$pc", cpu) for cpu in gdb.cpus.values()]
    (loop,) = [it for it in places if GuestMap.RAM <= it < GuestMap.PAGES]
    return loop


def stand_at_a_tick(gdb: Debugger) -> None:
    """The control CPU, where the breakpoint is gone that stopped it."""
    with gdb.breakpoint("requests_poll"):
        gdb.cont()
        gdb.wait()


@pytest.mark.pageferry(cpus=3)
def test_a_cpu_leaves_a_breakpoint_that_is_gone_though_another_one_comes_to_one(
    bed: Testbed, gdb: Debugger
) -> None:
    loop = stand_in_a_loop(bed.guests[1], gdb)
    for _ in range(OFTEN):
        stand_at_a_tick(gdb)
        gdb.breakpoint(f"*{loop:#x}")
        for _ in range(2):
            gdb.cont()
            stop = gdb.wait()
            assert (stop.reason, stop.frame.address) == ("breakpoint-hit", loop)
        gdb.delete_breakpoints()


def test_a_hit_that_comes_with_an_interruption_is_told(bed: Testbed, gdb: Debugger) -> None:
    gdb.breakpoint(DONE)
    for _ in range(OFTEN):
        pending = bed.machine.console.submit(REFUSED)
        for _ in range(3):
            gdb.execute_standing("-break-list")
        assert gdb.wait().frame.function == DONE
        gdb.cont()
        assert pending.result().status is Status.MISALIGNED


def test_an_interrupted_machine_goes_on_where_it_stands_though_a_caller_is_looked_at(
    bed: Testbed, standing: Debugger
) -> None:
    gdb, (a, b) = standing, bed.guests
    pending = bed.machine.console.submit(f"remap 1 {a.page(0):#x} 2 {b.window(0):#x}")
    stop = gdb.run_to("transfer")
    gdb._stop = replace(stop, reason="signal-received", signal="SIGINT")
    gdb.command("up")
    gdb.cont()
    assert pending.result().status is Status.OK


def list_breakpoints(_: Testbed, gdb: Debugger) -> None:
    gdb.execute_standing("-break-list")


def refuse(_: Testbed, gdb: Debugger) -> None:
    with pytest.raises(DebuggerError, match="no_such_function"):
        gdb.breakpoint("no_such_function")


def look(_: Testbed, gdb: Debugger) -> None:
    with standing_still(gdb):
        assert not gdb.running


def ask(bed: Testbed, _: Debugger) -> None:
    with pytest.raises(DebuggerError, match="before the request was answered: breakpoint-hit at"):
        bed.request(Operation.RELINQUISH, bed.guests[0], 1, door=Door.GDB)


@pytest.mark.parametrize("work", [list_breakpoints, refuse, look, ask], ids=lambda it: it.__name__)
def test_a_machine_that_stops_by_itself_as_it_is_to_stand_for_a_moment_does_not_go_on(
    bed: Testbed,
    gdb: Debugger,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Testbed, Debugger], None],
) -> None:
    gdb.breakpoint(DONE)
    submitted: list[Pending] = []

    def interrupt(timeout: Timeout = None) -> Stop:
        if not submitted:
            submitted.append(bed.machine.console.submit(REFUSED))
        return gdb.wait(timeout)  # the interruption itself is too late

    with monkeypatch.context() as patch:
        patch.setattr(gdb, "interrupt", interrupt)
        work(bed, gdb)
    assert gdb.stop is not None
    assert gdb.stop.frame.function == DONE
    gdb.cont()
    assert submitted[0].result().status is Status.MISALIGNED
