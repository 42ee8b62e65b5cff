"""Nothing interrupts the hypervisor: not under the lock, nor between a last look and its sleep."""

import pytest
from tests.oracle.closed import OPEN

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
