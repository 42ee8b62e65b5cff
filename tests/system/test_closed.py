"""Nothing interrupts the hypervisor: not under the lock, nor between a last look and its sleep."""

import pytest
from tests.oracle.closed import OPEN, OPENINGS, SLEEPS, Opening, Sleep
from tests.system.code import find

from pageferry import Command, Testbed
from pageferry.debugger import Debugger


@pytest.mark.parametrize("where", ["hypercall", "stage2_find", "vcpu_ask", "requests_poll"])
def test_interrupts_are_closed_in_the_hypervisor(
    bed: Testbed, gdb: Debugger, arch: str, where: str
) -> None:
    a = bed.guests[0]
    gdb.breakpoint(where)
    a.begin(Command.LOAD, a.gva(a.window(0)))
    stop = gdb.wait()
    assert stop.frame.function == where
    assert gdb.value(OPEN[arch]) == 0


@pytest.mark.parametrize("opening", OPENINGS, ids=["by-flag"])
def test_interrupts_are_closed_when_a_guest_s_run_ends(
    bed: Testbed, gdb: Debugger, arch: str, opening: Opening
) -> None:
    (place,) = find(bed.machine, opening.instruction, opening.function, step=1)
    gdb.breakpoint(f"*{place:#x}")
    bed.guests[0].begin(Command.PING)
    gdb.wait()
    assert gdb.value(OPEN[arch]) == 0


@pytest.mark.parametrize("sleep", SLEEPS, ids=["by-flag"])
def test_no_interrupt_comes_between_a_last_look_and_the_sleep(
    bed: Testbed, gdb: Debugger, sleep: Sleep
) -> None:
    places = find(bed.machine, sleep.both, sleep.function, step=1)
    gdb.breakpoint(f"*{sleep.function}")
    bed.guests[0].begin(Command.REST)
    gdb.wait()
    assert places
    gdb.delete_breakpoints()
    for place in places:
        gdb.breakpoint(f"*{place:#x}")
    gdb.cont()
    assert gdb.wait().frame.address in places
