"""A fault that is none any more: another CPU broke the entry and has made it again meanwhile."""

from contextlib import suppress

import pytest

from pageferry import Command, GuestFault, Testbed
from pageferry.abi import Outcome
from pageferry.address import HPA
from pageferry.debugger import Debugger

ENTRY = 8
"""Bytes of a table's entry."""

UNTOUCHED = 200
"""A page of the guest's that no translation was made for."""


@pytest.mark.pageferry(cpus=1)
def test_a_guest_goes_on_if_the_page_is_there_when_the_lock_is_held(
    bed: Testbed, gdb: Debugger
) -> None:
    a = bed.guests[0]
    page = a.page(UNTOUCHED)
    leaf = a.stage2(page).steps[-1]
    bed.machine.memory.write(HPA(leaf.address), bytes(ENTRY))
    gdb.breakpoint("stage2_find")  # to look up what the fault was about
    work = a.begin(Command.LOAD, a.gva(page))
    gdb.wait()
    assert gdb.value("hypervisor_lock.held") == 1
    bed.machine.memory.write(HPA(leaf.address), leaf.raw.to_bytes(ENTRY, "little"))
    gdb.delete_breakpoints()
    gdb.cont()
    with suppress(GuestFault):
        work.result()
    assert a.report().outcome is Outcome.DONE
