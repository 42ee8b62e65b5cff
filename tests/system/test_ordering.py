"""Which instructions order what CPUs see of each other's stores: no emulator shows one too few.

The plugin tells where the code is that stored, and what is there is looked at.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from tests.oracle.operands import ENTRIES, Entry
from tests.oracle.ordering import BEFORE, HANDOVERS, ORDERING, Handover, Ordering, Test
from tests.system.code import find
from tests.system.ferrying import each_operation

from pageferry import Machine, Testbed
from pageferry import arch as architectures
from pageferry.abi import Operation, Status
from pageferry.address import HPA, page_of
from pageferry.oracle import Oracle
from pageferry.paging import table_frames
from pageferry.protocol import Event, Leave, Lock, Store
from pageferry.recorder import PLUGIN
from pageferry.settings import Settings
from pageferry.testbed import Door
from pageferry.wire.record import UNIT, Kind, Watch

pytestmark = pytest.mark.needs("plugin")

OPERATIONS = 6
"""Of `each_operation` by one door."""

POSTED = 128
"""Pages of a range, of which two words say whether they are expected."""

LOOKS = 10
"""At a vCPU's state, of which some are without the lock."""

STORE = 8
"""Bytes of the longest instruction's part that is looked at."""


@pytest.fixture(scope="module")
def bed(arch: str, pageferry_settings: Settings) -> Iterator[Testbed]:
    """A machine with the plugin, of one CPU: nobody else changes what was just stored."""
    firmware = pageferry_settings.firmware
    with Testbed.start(arch, firmware=firmware, plugin=PLUGIN) as started:
        yield started


@pytest.fixture
def ordering(arch: str) -> Ordering:
    return ORDERING[arch]


def recorded(bed: Testbed, doors: Iterable[Door] = (Door.CONSOLE, Door.GUEST)) -> Oracle:
    bed.restore()
    oracle = Oracle(bed)
    oracle.begin()
    each_operation(bed, doors)
    assert oracle.end() == []
    return oracle


def unordered(bed: Testbed, places: set[int], test: Test) -> list[str]:
    """Where the stores are that are not as they should be."""
    assert places
    image, read = bed.machine.image, bed.machine.memory.read
    code = {at: read(HPA(at - BEFORE), BEFORE + STORE) for at in places}
    return [image.describe(at) for at, it in code.items() if not test(it[:BEFORE], it[BEFORE:])]


def stores_in_tables(bed: Testbed, events: Iterable[Event]) -> list[Store]:
    """Those to entries of stage 2."""
    memory, stage2 = bed.machine.memory, bed.machine.arch.stage2
    roots = [guest.stage2_root for guest in bed.guests]
    frames = {frame for root in roots for frame in table_frames(memory, stage2, root)}
    return [it for it in events if isinstance(it, Store) and page_of(it.address) in frames]


def test_every_entry_of_a_table_is_written_after_what_it_leads_to(
    bed: Testbed, ordering: Ordering
) -> None:
    events = recorded(bed).events
    places = {it.code for it in stores_in_tables(bed, events) if it.value}
    assert unordered(bed, places, ordering.releases) == []


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "given-back"])
def test_the_lock_orders_what_is_done_under_it(
    bed: Testbed, ordering: Ordering, taken: bool
) -> None:
    events = recorded(bed).events
    places = {it.code for it in events if isinstance(it, Lock) and it.taken == taken}
    assert unordered(bed, places, ordering.takes if taken else ordering.releases) == []


def test_what_a_vcpu_is_to_do_is_seen_by_whoever_sees_that_it_runs(
    bed: Testbed, ordering: Ordering
) -> None:
    bed.restore()
    recorder, machine = bed.machine.recorder, bed.machine
    assert recorder is not None
    names = [f"vms[{guest.vm}].vcpus[0].state" for guest in bed.guests]
    states = {HPA(bed.firmware.address(name) // UNIT * UNIT) for name in names}
    for address in states:
        recorder.watch(address, UNIT, Watch.STORES)
    machine.stop()
    recorder.start()
    machine.cont()
    for guest in bed.guests:
        guest.ping()
    machine.stop()
    stores = [it for it in recorder.stop() if it.kind is Kind.STORE and it.address in states]
    machine.cont()
    places = {it.code for it in stores}
    assert unordered(bed, places, ordering.releases) == []


def test_what_a_vcpu_is_to_do_is_read_after_it_was_seen_to_run(
    bed: Testbed, ordering: Ordering
) -> None:
    bed.restore()
    gdb, read = bed.machine.debugger(), bed.machine.memory.read
    gdb.watchpoint(f"vms[{bed.guests[0].vm}].vcpus[0].state", "read")
    looked = set()
    for _ in range(LOOKS):
        gdb.cont()
        at = gdb.wait().frame.address
        if not gdb.value("hypervisor_lock.held"):
            looked.add(at)
    gdb.delete_breakpoints()
    code = {at: read(HPA(at - BEFORE), BEFORE + STORE) for at in looked}
    assert code
    for at, it in code.items():
        assert ordering.acquires(it[:BEFORE], it[BEFORE:]), bed.machine.image.describe(at)


def test_what_a_guest_asks_is_checked_and_done_while_the_lock_is_held_once(bed: Testbed) -> None:
    events = recorded(bed, doors=[Door.GUEST]).events
    exits: list[list[Event]] = [[]]
    for event in events:
        if isinstance(event, Leave):
            exits.append([])
        exits[-1].append(event)
    changing = [it for it in exits if stores_in_tables(bed, it)]
    assert len(changing) == OPERATIONS
    for done in changing:
        last = done.index(stores_in_tables(bed, done)[-1])
        assert [it.taken for it in done[:last] if isinstance(it, Lock)] == [True]


@pytest.mark.parametrize("operation", [Operation.POST, Operation.WITHDRAW])
@pytest.mark.parametrize("by", [Door.CONSOLE, Door.GUEST], ids=lambda it: f"by-{it.value}")
def test_a_range_is_posted_or_withdrawn_while_the_lock_is_held_once(
    bed: Testbed, by: Door, operation: Operation
) -> None:
    bed.restore()
    b = bed.guests[1]
    if operation is Operation.POST:
        b.withdraw(b.window(0), POSTED)
    words = HPA(bed.firmware.address(f"vms[{b.vm}].posted"))
    lock = HPA(bed.firmware.address("hypervisor_lock.held"))
    recorder, machine = bed.machine.recorder, bed.machine
    assert recorder is not None
    recorder.watch(words, POSTED // 8, Watch.STORES)
    recorder.watch(lock, UNIT, Watch.STORES)
    machine.stop()
    recorder.start()
    machine.cont()
    assert bed.request(operation, b, b.window(0), POSTED, door=by).status is Status.OK
    machine.stop()
    stores = [it.address for it in recorder.stop() if it.kind is Kind.STORE]
    machine.cont()
    changes = [it for it, address in enumerate(stores) if words <= address < words + POSTED // 8]
    assert {stores[it] for it in changes} == {words, words + UNIT}
    assert lock not in stores[changes[0] : changes[-1]]


@pytest.mark.parametrize("entry", ENTRIES, ids=["generation"])
def test_a_cpu_looks_at_what_others_say_after_it_has_said_its_own(
    bed: Testbed, ordering: Ordering, entry: Entry
) -> None:
    bed.restore()
    names = [
        it.format(vm=guest.vm, vcpu=0)
        for guest in bed.guests
        for it in (entry.current, entry.entered)
    ]
    said = {HPA(bed.firmware.address(name)): name for name in names}
    recorder, machine = bed.machine.recorder, bed.machine
    assert recorder is not None
    for address in said:
        recorder.watch(address, 8, Watch.STORES)
    machine.stop()
    recorder.start()
    machine.cont()
    each_operation(bed)
    machine.stop()
    stores = [it for it in recorder.stop() if it.kind is Kind.STORE and it.address in said]
    machine.cont()
    assert {said[HPA(it.address)] for it in stores} == set(names)
    places = {it.code for it in stores if it.value}
    assert ordering.announces is not None
    assert unordered(bed, places, ordering.announces) == []


@pytest.mark.parametrize("handover", HANDOVERS, ids=lambda it: it.given)
def test_what_a_cpu_starts_with_is_seen_by_it(arch: str, kernel: Path, handover: Handover) -> None:
    with Machine(architectures.get(arch), kernel, cpus=2) as machine:
        orders = find(machine, handover.orders, "arch_cpu_start")
        calls = find(machine, handover.calls, "arch_cpu_start")
        assert orders
        assert calls
        gdb = machine.debugger()
        gdb.run_to("arch_cpu_start")
        for place in (*orders, *calls):
            gdb.breakpoint(f"*{place:#x}")
        gdb.cont()
        assert gdb.wait().frame.address in orders
        assert gdb.value(handover.given)
