"""What a guest is kept from: not all of it can be tried, for an emulator does less than a CPU."""

import pytest
from tests.oracle.controls import CONTROLS

from pageferry import Testbed
from pageferry.debugger import Debugger


@pytest.mark.pageferry(cpus=3)
def test_every_cpu_is_told_what_no_guest_may_do(
    bed: Testbed, standing: Debugger, arch: str
) -> None:
    wrong = {
        (cpu, guest.vm, control.value.format(vm=guest.vm)): hex(found)
        for control in CONTROLS[arch]
        for guest in bed.guests
        for cpu in standing.cpus.values()
        if (found := standing.value(control.value.format(vm=guest.vm), cpu) & control.mask)
        != control.wanted
    }
    assert wrong == {}
