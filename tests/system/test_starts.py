"""A guest begins as it was promised, and its CPU is what it needs to be, on every one."""

from pathlib import Path

import pytest
from tests.oracle.registers import CALLED
from tests.oracle.starts import READY, STARTS, Ready

from pageferry import Command, Machine, Testbed
from pageferry import arch as architectures
from pageferry.abi import GuestMap
from pageferry.debugger import Debugger


def test_a_guest_begins_as_it_should_though_another_ran_on_its_cpu(arch: str, kernel: Path) -> None:
    described = architectures.get(arch)
    # Instructions are counted, so that a tick comes to the one or the other as it always does.
    with Machine(described, kernel, icount=described.icount) as machine:
        gdb = machine.debugger()
        gdb.breakpoint("hypercall")
        gdb.cont()
        gdb.wait()
        gdb.delete_breakpoints()
        gdb.breakpoint(f"*{GuestMap.RAM:#x}")
        gdb.cont()
        assert gdb.wait().frame.address == GuestMap.RAM
        assert {it: gdb.value(it) for it in STARTS[arch]} == STARTS[arch]


@pytest.mark.pageferry(cpus=3)
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("ready", READY, ids=lambda it: it.arch)
def test_every_cpu_is_ready_for_a_guest_when_it_enters_one(
    bed: Testbed, gdb: Debugger, arch: str, ready: Ready, number: int
) -> None:
    gdb.breakpoint(f"*{CALLED[arch][0]}")
    bed.guests[number].begin(Command.PING)
    gdb.wait()
    assert {it: gdb.value(it) for it in ready.values} == ready.values
