"""What the CPUs did, as the plugin has seen it: the order of break, invalidate and make."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.mutants import MUTANTS, Mutant
from tests.mutants.rules import CAUGHT
from tests.system.ferrying import Ferry, each_operation

from pageferry import Testbed
from pageferry.abi import Command, Operation
from pageferry.errors import GuestStopped, HarnessError
from pageferry.oracle import Finding, Oracle
from pageferry.protocol import Access, Enter, Invalidate, Kick, Leave, Rule, Store
from pageferry.recorder import PLUGIN
from pageferry.settings import Settings
from pageferry.testbed import Door

pytestmark = pytest.mark.needs("plugin")

SEED_OF_MUTANTS = 5
"""They are to be caught in every run alike."""

REMAPS_OF_MUTANTS = 20


@pytest.fixture(scope="module")
def start(arch: str) -> Iterator[dict[int, Testbed]]:
    """Machines with the plugin, by their number of CPUs."""
    started: dict[int, Testbed] = {}
    yield started
    for bed in started.values():
        bed.close()


@pytest.fixture
def bed(start: dict[int, Testbed], arch: str, cpus: int, pageferry_settings: Settings) -> Testbed:
    """Two guests that just got ready, in a machine with the plugin."""
    if cpus in start:
        start[cpus].restore()
    else:
        firmware = pageferry_settings.firmware
        start[cpus] = Testbed.start(arch, cpus=cpus, firmware=firmware, plugin=PLUGIN)
    return start[cpus]


def told(findings: list[Finding]) -> str:
    return "\n".join(map(str, findings))


def test_random_remaps_raise_no_alarm(bed: Testbed, pytestconfig: pytest.Config) -> None:
    remap_at_random(bed, pytestconfig)


@pytest.mark.pageferry(cpus=4)
def test_random_remaps_by_a_guest_of_two_vcpus_raise_no_alarm(
    bed: Testbed, pytestconfig: pytest.Config
) -> None:
    remap_at_random(bed, pytestconfig)


def remap_at_random(bed: Testbed, pytestconfig: pytest.Config) -> None:
    """Under the eyes of the oracle, which finds nothing."""
    seed = pytestconfig.getoption("seed")
    seed = random.randrange(1 << 32) if seed is None else seed
    oracle = Oracle(bed)
    oracle.begin()
    Ferry(bed, seed).run(pytestconfig.getoption("remaps"))
    findings = oracle.end()
    assert not findings, f"seed {seed}\n{told(findings)}"
    assert {type(it) for it in oracle.events} >= {Store, Invalidate, Enter, Leave, Access}


def test_no_operation_raises_an_alarm_by_any_door(bed: Testbed) -> None:
    do_each_operation(bed)


@pytest.mark.pageferry(cpus=4)
def test_no_operation_raises_an_alarm_where_a_guest_has_two_vcpus(bed: Testbed) -> None:
    do_each_operation(bed)


def do_each_operation(bed: Testbed) -> None:
    """Under the eyes of the oracle, which finds nothing."""
    oracle = Oracle(bed)
    oracle.begin()
    each_operation(bed)
    findings = oracle.end()
    assert not findings, told(findings)


def test_a_guest_that_is_stopped_raises_no_alarm(bed: Testbed) -> None:
    a = bed.guests[0]
    oracle = Oracle(bed)
    oracle.begin()
    a.hypercall(Operation.RECOVER, 0)
    with pytest.raises(GuestStopped):
        a.load(a.window(0))
    findings = oracle.end()
    assert not findings, told(findings)


def test_an_oracle_that_is_begun_while_the_lock_is_held_raises_no_alarm(bed: Testbed) -> None:
    gdb, oracle = bed.machine.debugger(), Oracle(bed)
    with gdb.breakpoint("vcpu_ask"):
        work = bed.guests[0].begin(Command.PING)
        gdb.wait()
    oracle.begin()
    work.result()
    findings = oracle.end()
    bed.machine.release_debugger()
    assert not findings, told(findings)


@pytest.mark.pageferry(cpus=3)
def test_the_record_tells_of_a_kick_between_break_and_make(bed: Testbed) -> None:
    oracle = Oracle(bed)
    oracle.begin()
    Ferry(bed, SEED_OF_MUTANTS).run(20)
    assert oracle.end() == []
    assert any(type(it) is Kick for it in oracle.events)


def test_events_of_a_cpu_are_in_the_order_of_its_program(bed: Testbed) -> None:
    oracle = Oracle(bed)
    oracle.begin()
    Ferry(bed, SEED_OF_MUTANTS).run(20)
    oracle.end()
    inside: set[int] = set()
    for event in oracle.events:
        if isinstance(event, Enter):
            assert event.cpu not in inside, event
            inside.add(event.cpu)
        elif isinstance(event, Leave):
            assert event.cpu in inside, event
            inside.remove(event.cpu)
        elif isinstance(event, Access):
            assert event.cpu in inside, event


@pytest.mark.parametrize(
    ("mutant", "of_cpus", "rules"),
    [(MUTANTS[name], of_cpus, rules) for name, of_cpus, rules in CAUGHT],
    ids=[f"{name}-{of_cpus}cpu" for name, of_cpus, _ in CAUGHT],
)
def test_the_rules_that_a_mutant_breaks_are_named(
    arch: str, mutant: Mutant, of_cpus: int, rules: set[Rule], tmp_path: Path
) -> None:
    firmware = mutant.build(arch, tmp_path)
    with Testbed.start(arch, cpus=of_cpus, firmware=firmware, plugin=PLUGIN) as bed:
        oracle = Oracle(bed)
        oracle.begin()
        Ferry(bed, SEED_OF_MUTANTS).run(REMAPS_OF_MUTANTS)
        findings = oracle.end()
    assert rules <= {it.violation.rule for it in findings}, told(findings)
    assert all(re.search(r"\.[chS]:", it.where) for it in findings)


def test_a_finding_names_the_line_of_the_store_and_of_the_break(arch: str, tmp_path: Path) -> None:
    firmware = MUTANTS["no_invalidation"].build(arch, tmp_path)
    with Testbed.start(arch, firmware=firmware, plugin=PLUGIN) as bed:
        oracle = Oracle(bed)
        oracle.begin()
        a, b = bed.guests
        bed.remap(a, a.page(0), b, b.window(0), door=Door.GUEST)
        (finding,) = oracle.end()
    assert "stage2_map (stage2.c:" in str(finding)
    assert "the break: CPU 0 at " in str(finding)
    assert "stage2_unmap (stage2.c:" in str(finding)
    assert f"page {a.page(0):#x} of VM 1" in str(finding)


@pytest.mark.pageferry(cpus=1)
def test_a_record_that_is_full_is_an_error(bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = Oracle(bed)
    oracle.begin()
    a, b = bed.guests
    bed.remap(a, a.page(0), b, b.window(0))
    monkeypatch.setattr("pageferry.recorder.ROOM", 10)
    with pytest.raises(HarnessError, match="there is room for 10"):
        oracle.end()
