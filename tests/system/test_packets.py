"""The wire between gdb and the stub, used without gdb."""

import pytest

from pageferry import Testbed
from pageferry.address import PAGE_SIZE
from pageferry.report.packets import physical_memory


# A gdb server takes one client: RAM has to be seen by another way than gdb.
@pytest.mark.needs("shared-ram")
def test_packets_read_the_same_physical_memory(bed: Testbed) -> None:
    guest, machine = bed.guests[0], bed.machine
    frame = guest.stage2(guest.page(0)).output
    assert frame is not None
    guest.fill(guest.page(0), 1)
    machine.release_debugger()
    machine.stop()
    with physical_memory(machine.listen_for_debugger()) as packets:
        read = packets.read(frame, PAGE_SIZE)
    assert read == machine.memory.read(frame, PAGE_SIZE)
