"""Of stops that come at once, by several CPUs: none comes without a cause."""

import pytest
from tests.system.witness import Witness

from pageferry import Testbed
from pageferry.abi import GuestMap
from pageferry.debugger import Debugger

OFTEN = 30
"""Times, of which some hit the moment."""


@pytest.mark.pageferry(cpus=3)
def test_a_cpu_leaves_a_breakpoint_that_is_gone_though_another_one_comes_to_one(
    bed: Testbed, gdb: Debugger
) -> None:
    b = bed.guests[1]
    Witness(b, b.page(0)).await_undisturbed()
    gdb.interrupt()
    places = [gdb.value("$pc", cpu) for cpu in gdb.cpus.values()]
    (loop,) = [it for it in places if GuestMap.RAM <= it < GuestMap.PAGES]
    for _ in range(OFTEN):
        with gdb.breakpoint("requests_poll"):
            gdb.cont()
            gdb.wait()
        gdb.breakpoint(f"*{loop:#x}")
        for _ in range(2):
            gdb.cont()
            stop = gdb.wait()
            assert (stop.reason, stop.frame.address) == ("breakpoint-hit", loop)
        gdb.delete_breakpoints()
