"""The machine boots, and both guests run with tables of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.oracle.walks import TOLD_WALKS, WALKS, ToldWalk, Walk
from tests.system.code import find

from pageferry import Machine, Testbed
from pageferry import arch as architectures
from pageferry.abi import Command, GuestMap
from pageferry.address import GPA, GVA, HPA, PAGE_SIZE, page_of
from pageferry.debugger import Debugger
from pageferry.errors import GuestFault
from pageferry.paging import Rights

LAST = 255
"""A page of a guest's RAM, of those that a test may give away."""


@pytest.fixture
def fresh(arch: str, kernel: Path) -> Iterator[Machine]:
    """A machine before its first instruction."""
    with Machine(architectures.get(arch), kernel) as machine:
        yield machine


def test_both_guests_answer_with_the_nonce_they_were_given(bed: Testbed) -> None:
    for guest in bed.guests:
        guest.ping()


def test_a_guest_has_its_ram_and_nothing_else(bed: Testbed) -> None:
    for guest in bed.guests:
        expected = range(GuestMap.RAM, GuestMap.RAM + GuestMap.RAM_SIZE, PAGE_SIZE)
        assert sorted(guest.pages()) == list(expected)


def test_no_frame_belongs_to_both_guests(bed: Testbed) -> None:
    first, second = ({frame for frame, _ in guest.pages().values()} for guest in bed.guests)
    assert first.isdisjoint(second)


def test_the_guests_run_with_different_roots_in_both_stages(bed: Testbed) -> None:
    first, second = bed.guests
    assert first.stage2_root != second.stage2_root
    assert first.walk(first.gva(first.page(0))).hpa != second.walk(second.gva(first.page(0))).hpa


@pytest.mark.parametrize("alias", [0, 1])
def test_a_guest_reaches_a_page_of_its_own_by_both_addresses(bed: Testbed, alias: int) -> None:
    guest = bed.guests[0]
    guest.store(guest.page(3), 0x1234, alias)
    assert guest.load(guest.page(3), 1 - alias) == 0x1234


def test_what_a_guest_stores_is_in_the_frame_its_tables_name(bed: Testbed) -> None:
    guest = bed.guests[0]
    guest.store(guest.page(3), 0x1234)
    assert guest.bytes_at(guest.page(3))[:8] == (0x1234).to_bytes(8, "little")


def test_both_aliases_walk_to_one_frame_with_all_rights(bed: Testbed) -> None:
    guest = bed.guests[0]
    walks = [guest.walk(guest.gva(guest.page(0), alias)) for alias in (0, 1)]
    assert walks[0].hpa == walks[1].hpa
    assert walks[0].rights == walks[1].rights == Rights.ALL


def test_an_empty_window_faults_at_the_address_that_was_touched(bed: Testbed) -> None:
    guest = bed.guests[0]
    with pytest.raises(GuestFault) as caught:
        guest.load(guest.window(5), alias=1)
    assert caught.value.gpa == guest.window(5)


@pytest.mark.parametrize("offset", [1, 2, 4093])
def test_a_fault_is_told_with_the_address_of_the_byte(bed: Testbed, offset: int) -> None:
    a = bed.guests[0]
    with pytest.raises(GuestFault) as caught:
        a.ask(Command.LOAD, GVA(a.gva(a.window(0)) + offset))
    assert caught.value.gpa == a.window(0) + offset


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.command.name.lower())
def test_a_fault_on_the_way_to_a_page_is_told_with_the_table_and_what_the_cpu_wanted_of_it(
    bed: Testbed, walk: Walk
) -> None:
    a = bed.guests[0]
    gva = a.gva(a.page(LAST), alias=1)
    table = a.walk(gva).steps[-1].nested
    bed.machine.memory.write(HPA(table.steps[-1].address), bytes(8))
    with pytest.raises(GuestFault) as caught:
        a.ask(walk.command, gva)
    told = caught.value
    assert (page_of(told.gpa), told.access) == (page_of(GPA(table.address)), walk.access)


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("walk", TOLD_WALKS, ids=lambda walk: walk.command.name.lower())
def test_a_fault_that_is_told_to_be_of_a_table_is_of_that_and_not_of_the_access_behind_it(
    bed: Testbed, gdb: Debugger, walk: ToldWalk
) -> None:
    a = bed.guests[0]
    ((place, instruction),) = find(bed.machine, walk.reads, "arch_vcpu_run").items()
    gdb.breakpoint(f"*{place + walk.length:#x}")
    work = a.begin(walk.command, a.gva(a.window(0)) + 1)
    gdb.wait()
    gdb.evaluate(f"{walk.register(instruction)} = {walk.value:#x}")
    gdb.delete_breakpoints()
    gdb.cont()
    with pytest.raises(GuestFault) as caught:
        work.result()
    assert (caught.value.gpa, caught.value.access) == (a.window(0), walk.access)


# Before the guests are ready


def test_a_guest_finds_nothing_in_its_ram_that_was_there_before(
    bed: Testbed, fresh: Machine, arch: str
) -> None:
    frames = [guest.stage2(guest.page(LAST)).output for guest in bed.guests]
    for frame in frames:
        assert frame is not None
        fresh.memory.write(frame, b"\xa5" * PAGE_SIZE)
    fresh.cont()
    fresh.console.await_log(f"pageferry {arch} ready")
    found = {fresh.memory.read(frame, PAGE_SIZE) for frame in frames if frame is not None}
    assert found == {bytes(PAGE_SIZE)}


def test_that_the_guests_are_ready_is_told_once(fresh: Machine, arch: str) -> None:
    ready = f"# pageferry {arch} ready"
    fresh.cont()
    fresh.console.await_log(ready.removeprefix("# "))
    for _ in range(2):
        fresh.console.request("help")
    assert fresh.console.lines.count(ready) == 1


def test_nobody_is_answered_who_has_not_asked(fresh: Machine) -> None:
    gdb = fresh.debugger()
    for function in ("request_done", "console_print"):
        gdb.breakpoint(function)
    gdb.cont()
    stop = gdb.wait()
    assert stop.frame.function == "console_print"
    assert "ready" in gdb.text("format")


def test_what_a_guest_has_on_a_cpu_is_saved_before_another_one_has_it(fresh: Machine) -> None:
    gdb = fresh.debugger()
    for function in ("arch_vcpu_load", "arch_vcpu_save"):
        gdb.breakpoint(function)
    for expected in (("arch_vcpu_load", 1), ("arch_vcpu_save", 1), ("arch_vcpu_load", 2)):
        gdb.cont()
        assert (gdb.wait().frame.function, gdb.value("vcpu->vm->id")) == expected


def test_no_more_cpus_are_started_than_there_is_room_for(arch: str, kernel: Path) -> None:
    with Machine(architectures.get(arch), kernel, cpus=6) as machine:
        gdb = machine.debugger()
        gdb.breakpoint("vms_init")
        gdb.cont()
        gdb.wait()
        assert gdb.value("cpu_count") == gdb.value("sizeof cpus / sizeof cpus[0]")
