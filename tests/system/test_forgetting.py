"""When a CPU has to forget what it holds though no page was taken: at its start, after a fault."""

import pytest
from tests.oracle.forgetting import BLOCKS, FLUSH_ALL, FLUSH_SHIFT, FORGETS_ALL, KEPT, OF_ALL
from tests.oracle.ordering import word

from pageferry import Command, GuestFault, Machine, Testbed
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

ACCESSES = (Command.LOAD, Command.STORE, Command.JUMP)


@pytest.mark.parametrize("command", ACCESSES, ids=lambda command: command.name)
def test_a_cpu_that_may_keep_an_absent_entry_forgets_it_after_a_fault(
    arch: str, cpus: int, pageferry_settings: Settings, command: Command
) -> None:
    firmware = pageferry_settings.firmware
    with Testbed.start(arch, cpus=cpus, firmware=firmware, plugin=PLUGIN) as bed:
        a = bed.guests[0]
        oracle = Oracle(bed)
        oracle.begin()
        with pytest.raises(GuestFault):
            a.ask(command, a.gva(a.window(0)))
        oracle.end()
        forgotten = [it.code for it in oracle.events if isinstance(it, Invalidate)]
        instructions = {word(bed.machine.memory.read(HPA(it), 4)) for it in forgotten}
    (by,) = {it.cpu for it in oracle.events if isinstance(it, Leave)}
    told = (Lock, Invalidate, Enter)
    of_guest = [type(it) for it in oracle.events if it.cpu == by and isinstance(it, told)]
    forgets = [of_guest[at - 1 : at + 2] for at, it in enumerate(of_guest) if it is Invalidate]
    assert forgets == [[Lock, Invalidate, Enter]] * KEPT[arch]
    assert instructions == {OF_ALL[arch]} if KEPT[arch] else not instructions


@pytest.fixture(scope="module")
def booted(arch: str, pageferry_settings: Settings) -> tuple[list[Record], dict[int, int]]:
    """All that was recorded from the machine's start until both guests were ready, and the
    instructions that it tells of by their addresses."""
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
        records = recorder.stop()
        codes = {it.code for it in records if it.kind is Kind.INSTRUCTION}
        return records, {it: word(machine.memory.read(HPA(it), 4)) for it in codes}


def forgets_first(records: list[Record], traces: Traces, of_all: set[int]) -> bool:
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
            if found.name in FORGETS_ALL and it.code in of_all:
                return True
    return False


def test_a_cpu_forgets_what_it_held_before_its_first_guest(
    arch: str, booted: tuple[list[Record], dict[int, int]]
) -> None:
    traces = architectures.get(arch).traces
    assert traces is not None
    records, instructions = booted
    of_all = {at for at, it in instructions.items() if it == OF_ALL.get(arch, it)}
    ran = {it.cpu for it in records if it.kind is Kind.RUN}
    assert len(ran) == CPUS - 1
    for cpu in ran:
        told = [it for it in records if it.cpu == cpu]
        assert forgets_first(told, traces, of_all), f"CPU {cpu}"
