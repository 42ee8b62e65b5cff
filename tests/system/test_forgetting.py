"""When a CPU has to forget what it holds though no page was taken: at its start, after a fault."""

import pytest
from tests.oracle.forgetting import BLOCKS, FLUSH_ALL, FLUSH_SHIFT, FORGETS_ALL, KEPT

from pageferry import GuestFault, Machine, Testbed
from pageferry import arch as architectures
from pageferry.address import HPA, PAGE_SIZE
from pageferry.oracle import Oracle
from pageferry.protocol import Enter, Invalidate, Leave, Lock
from pageferry.recorder import PLUGIN
from pageferry.settings import Settings
from pageferry.testbed import firmware_directory
from pageferry.traces import Traces
from pageferry.wire.record import Kind, Record, Watch

pytestmark = [pytest.mark.needs("plugin"), pytest.mark.pageferry(cpus=3)]

CPUS = 3


def test_a_cpu_that_may_keep_an_absent_entry_forgets_it_after_a_fault(
    arch: str, cpus: int, pageferry_settings: Settings
) -> None:
    firmware = pageferry_settings.firmware
    with Testbed.start(arch, cpus=cpus, firmware=firmware, plugin=PLUGIN) as bed:
        a = bed.guests[0]
        oracle = Oracle(bed)
        oracle.begin()
        with pytest.raises(GuestFault):
            a.load(a.window(0))
        oracle.end()
    (by,) = {it.cpu for it in oracle.events if isinstance(it, Leave)}
    of_guest = [type(it) for it in oracle.events if it.cpu == by]
    forgets = [of_guest[at - 1 : at + 2] for at, it in enumerate(of_guest) if it is Invalidate]
    assert forgets == [[Lock, Invalidate, Enter]] * KEPT[arch]


@pytest.fixture(scope="module")
def booted(arch: str, pageferry_settings: Settings) -> list[Record]:
    """All that was recorded from the machine's start until both guests were ready."""
    kernel = (pageferry_settings.firmware or firmware_directory(arch)) / "hypervisor.elf"
    with Machine(architectures.get(arch), kernel, cpus=CPUS, plugin=PLUGIN) as machine:
        recorder = machine.recorder
        assert recorder is not None
        if arch in BLOCKS:
            name, offset, count = BLOCKS[arch]
            for number in range(count):
                at = machine.image.symbol(name) + number * PAGE_SIZE + offset
                recorder.watch(HPA(at), 1, Watch.STORES)
        recorder.start()
        machine.cont()
        machine.console.await_log(f"pageferry {arch} ready")
        machine.stop()
        return recorder.stop()


def forgets_first(records: list[Record], traces: Traces) -> bool:
    """Whether a CPU, whose records these are, forgets all before it enters its first guest."""
    flush = 0
    for it in records:
        if it.kind is Kind.STORE:
            flush = it.value
        elif it.kind is Kind.RUN:
            return False
        elif it.kind is Kind.INSTRUCTION:
            found = traces.instructions[it.detail]
            if found.enters:
                return flush >> FLUSH_SHIFT & 0xFF == FLUSH_ALL
            if found.name in FORGETS_ALL:
                return True
    return False


def test_a_cpu_forgets_what_it_held_before_its_first_guest(arch: str, booted: list[Record]) -> None:
    traces = architectures.get(arch).traces
    assert traces is not None
    ran = {it.cpu for it in booted if it.kind is Kind.RUN}
    assert len(ran) == CPUS - 1
    for cpu in ran:
        assert forgets_first([it for it in booted if it.cpu == cpu], traces), f"CPU {cpu}"
