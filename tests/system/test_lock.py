"""Who changes what others look at has the lock, by whatever door the request came."""

import pytest
from tests.system import slot

from pageferry import Command, Testbed
from pageferry.abi import Operation
from pageferry.debugger import Debugger
from pageferry.errors import DebuggerError
from pageferry.testbed import Door

# On one CPU nobody else can hold it meanwhile.
pytestmark = pytest.mark.pageferry(cpus=1)

MEMORY = "memory"


def begin(bed: Testbed, by: Door | str, operation: Operation, *arguments: int) -> None:
    """Ask the hypervisor, which will stop before it has answered."""
    a = bed.guests[0]
    if by is Door.GUEST:
        a.begin(Command.HYPERCALL, operation, *arguments)
    elif by is Door.GDB:
        with pytest.raises(DebuggerError, match="was answered"):
            bed.request(operation, a, *arguments, door=Door.GDB)
    elif by is Door.CONSOLE:
        words = (operation.name.lower(), a.vm, *arguments)
        bed.machine.console.submit(" ".join(str(it) for it in words))
    else:
        slot.submit(bed, operation, a, *arguments)


@pytest.mark.parametrize("operation", [Operation.POST, Operation.REMAP, Operation.RECLAIM])
@pytest.mark.parametrize("by", [*Door, MEMORY], ids=lambda by: f"by-{getattr(by, 'value', by)}")
def test_an_operation_is_begun_under_the_lock(
    bed: Testbed, gdb: Debugger, by: Door | str, operation: Operation
) -> None:
    a, b = bed.guests
    arguments = {
        Operation.POST: (a.window(0), 1),
        Operation.REMAP: (a.page(0), b.vm, b.window(0)),
        Operation.RECLAIM: (a.page(0),),
    }[operation]
    gdb.breakpoint("transfer")
    begin(bed, by, operation, *arguments)
    if gdb.running:
        gdb.wait()
    assert gdb.value("hypervisor_lock.held") == 1


def test_where_a_guest_recovers_is_noted_under_the_lock(bed: Testbed, gdb: Debugger) -> None:
    a = bed.guests[0]
    gdb.watchpoint(f"vms[{a.vm}].vcpus[0].recovery")
    a.begin(Command.HYPERCALL, Operation.RECOVER, a.page(0))
    gdb.wait()
    assert gdb.value("hypervisor_lock.held") == 1
