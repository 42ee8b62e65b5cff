"""Of which VM and page a translation is forgotten: no plugin sees operands, gdb does."""

from collections.abc import Sequence
from contextlib import suppress

import pytest
from tests.oracle.operands import (
    COMBINED,
    ENTRIES,
    ISSUED,
    SWITCHES,
    TOLD,
    Entry,
    Switch,
    Told,
)
from tests.system.code import find

from pageferry import Command, Testbed
from pageferry.abi import GuestMap, Operation, Status
from pageferry.address import PAGE_SIZE
from pageferry.debugger import Debugger
from pageferry.errors import FirmwarePanic, WaitTimeout
from pageferry.guest import Guest
from pageferry.testbed import Door

NONCE = 0x5EED

TABLE = 512
"""Pages that one table of leaves maps."""

BORDERS = [TABLE - 1, TABLE, GuestMap.WINDOW_SIZE // PAGE_SIZE - 1]
"""Of the window: the last page of a table, the first of the next one, the last of all."""


def test_an_invalidation_names_the_vm_and_the_page(
    bed: Testbed, gdb: Debugger, arch: str, cpus: int
) -> None:
    names_the_vm_and_the_page(bed, gdb, (arch, cpus), bed.guests)


def test_an_invalidation_names_the_second_vm_where_that_loses_the_page(
    bed: Testbed, gdb: Debugger, arch: str, cpus: int
) -> None:
    names_the_vm_and_the_page(bed, gdb, (arch, cpus), bed.guests[::-1])


def names_the_vm_and_the_page(
    bed: Testbed, gdb: Debugger, kind: tuple[str, int], guests: Sequence[Guest]
) -> None:
    """In the function's arguments, and in every instruction's that it comes to."""
    a, b = guests
    expected = (a.vm, a.page(3), PAGE_SIZE)
    gdb.breakpoint("*arch_invalidate")  # its first instruction, where every argument still is
    pending = bed.machine.console.submit(f"remap {a.vm} {a.page(3):#x} {b.vm} {b.window(4):#x}")
    gdb.wait()
    assert (gdb.value("vm->id"), gdb.value("page.value"), PAGE_SIZE) == expected
    if kind in ISSUED:
        wanted = ISSUED[kind]
        places = find(bed.machine, wanted)
        assert places
        for address in places:
            gdb.breakpoint(f"*{address:#x}")
        gdb.cont()
        instruction = places[gdb.wait().frame.address]
        assert wanted.operands(gdb, instruction) == expected
    if kind in COMBINED:
        wanted = COMBINED[kind]
        places = find(bed.machine, wanted)
        assert places
        for address in places:
            gdb.breakpoint(f"*{address:#x}")
        gdb.cont()
        gdb.wait()
        assert wanted.operands(gdb, wanted.value) == (a.vm, 0, 0)
    gdb.delete_breakpoints()
    gdb.cont()
    assert pending.result().status == 0


def forgotten(
    bed: Testbed, gdb: Debugger, door: Door, operation: Operation, caller: Guest, *arguments: int
) -> list[tuple[int, int]]:
    """VM and page of each invalidation on the way to the answer."""
    console = bed.machine.console
    if door is Door.GUEST:
        work = caller.begin(Command.HYPERCALL, operation, *arguments)
    else:
        words = " ".join(map(str, arguments))
        pending = console.submit(f"{operation.name.lower()} {caller.vm} {words}")
    found = []
    while gdb.wait().frame.function == "arch_invalidate":
        found.append((gdb.value("vm->id"), gdb.value("page.value")))
        gdb.cont()
    gdb.cont()
    status = work.result().value if door is Door.GUEST else pending.result().status
    assert status == Status.OK
    return found


@pytest.mark.parametrize("by", [Door.CONSOLE, Door.GUEST], ids=lambda it: f"by-{it.value}")
@pytest.mark.parametrize("number", [0, *BORDERS])
def test_every_operation_has_each_page_forgotten_that_somebody_loses_a_right_to(
    bed: Testbed, gdb: Debugger, number: int, by: Door
) -> None:
    """An emulator's CPUs forget more than they are asked to, and no plugin sees of what."""
    a, b = bed.guests
    gdb.breakpoint("*arch_invalidate")
    gdb.breakpoint("request_done")

    def lost_by(operation: Operation, caller: Guest, *arguments: int) -> list[tuple[int, int]]:
        return forgotten(bed, gdb, by, operation, caller, *arguments)

    there, back = b.window(number), a.window(number)
    for source, page, target, place in ((a, a.page(0), b, there), (b, there, a, back)):
        to = (target.vm, place)
        owner, borrower = (source.vm, page), (target.vm, place)
        for end, arguments in (
            (Operation.RECLAIM, (source, page)),
            (Operation.RELINQUISH, (target, place)),
        ):
            assert lost_by(Operation.SHARE, source, page, *to) == [owner]
            assert lost_by(end, *arguments) == [borrower, owner]
        assert lost_by(Operation.REMAP, source, page, *to) == [owner]
    gdb.delete_breakpoints()


@pytest.mark.pageferry(cpus=4)
@pytest.mark.parametrize("told", TOLD, ids=["harts"])
def test_cpus_that_are_told_one_by_one_are_named_as_the_platform_knows_them(
    bed: Testbed, gdb: Debugger, told: Told
) -> None:
    a, b = bed.guests
    numbers = {bed.firmware.read_int(f"vms[1].vcpus[{it.index}].cpu"): 0 for it in a.vcpus}
    for number, cpu in enumerate(numbers, 9):  # that no CPU here has
        numbers[cpu] = number
        bed.firmware.write(told.numbers.format(cpu=cpu), number)
    for address in find(bed.machine, told.instruction):
        gdb.breakpoint(f"*{address:#x}")
    bed.machine.console.submit(f"remap 1 {a.page(3):#x} 2 {b.window(4):#x}")
    gdb.wait()
    assert told.mask(gdb) == sum(1 << number for number in numbers.values())


@pytest.mark.pageferry(cpus=3)
@pytest.mark.parametrize("told", TOLD, ids=["harts"])
def test_a_cpu_that_is_kicked_is_named_as_the_platform_knows_it(
    bed: Testbed, gdb: Debugger, told: Told
) -> None:
    cpu = bed.firmware.read_int(f"vms[{bed.guests[0].vm}].vcpus[0].cpu")
    number = 9  # that no CPU here has
    bed.firmware.write(told.numbers.format(cpu=cpu), number)
    for address in find(bed.machine, told.instruction, "arch_kick"):
        gdb.breakpoint(f"*{address:#x}")
    bed.guests[0].begin(Command.PING)
    gdb.wait()
    assert told.mask(gdb) == 1 << number


@pytest.mark.pageferry(cpus=3)
@pytest.mark.parametrize("told", TOLD, ids=["harts"])
def test_the_machine_stops_if_other_cpus_cannot_be_told(
    bed: Testbed, gdb: Debugger, told: Told
) -> None:
    a, b = bed.guests
    for address in find(bed.machine, told.instruction):
        gdb.breakpoint(f"*{address:#x}")
    pending = bed.machine.console.submit(f"remap 1 {a.page(3):#x} 2 {b.window(4):#x}")
    address = gdb.wait().frame.address
    gdb.delete_breakpoints()
    gdb.breakpoint(f"*{address + told.length:#x}")
    gdb.cont()
    gdb.wait()
    gdb.evaluate(told.refuses)
    gdb.delete_breakpoints()
    gdb.cont()
    with pytest.raises(FirmwarePanic):
        pending.result()


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("switch", SWITCHES, ids=["roots"])
def test_no_guest_s_table_is_in_use_while_stage_2_becomes_another_one_s(
    bed: Testbed, gdb: Debugger, switch: Switch
) -> None:
    places = find(bed.machine, switch.instruction, "arch_vcpu_load")
    assert places
    for address in places:
        gdb.breakpoint(f"*{address:#x}")
    for guest in bed.guests:
        guest.begin(Command.PING)
    gdb.wait()
    assert gdb.value(switch.stage1) == 0


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("entry", ENTRIES, ids=["generation"])
@pytest.mark.parametrize("number", [0, 1], ids=["first", "second"])
def test_a_page_that_is_taken_while_a_cpu_enters_is_forgotten_at_that_entry(
    bed: Testbed, gdb: Debugger, entry: Entry, number: int
) -> None:
    read, vm = bed.firmware.read_int, bed.guests[number].vm
    entered, current = entry.entered.format(vm=vm, vcpu=0), entry.current.format(vm=vm)
    gdb.watchpoint(entered)
    bed.machine.console.submit(f"ask {vm} {NONCE} {int(Command.PING)}")
    gdb.wait()
    bed.firmware.write(current, read(current) + 1)  # as another CPU does that takes it
    gdb.delete_breakpoints()
    gdb.breakpoint(entry.enters)
    gdb.cont()
    gdb.wait()
    assert read(entered) == read(current)
    assert read(entry.flush.format(vm=vm, vcpu=0)) == entry.flushes


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("entry", ENTRIES, ids=["generation"])
def test_who_enters_just_before_a_page_is_taken_is_driven_out(
    bed: Testbed, gdb: Debugger, entry: Entry
) -> None:
    assert driven_out(bed, gdb, entry, newer=0)


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("entry", ENTRIES, ids=["generation"])
def test_who_enters_just_after_a_page_is_taken_is_not_waited_for(
    bed: Testbed, gdb: Debugger, entry: Entry
) -> None:
    assert not driven_out(bed, gdb, entry, newer=1)


def driven_out(bed: Testbed, gdb: Debugger, entry: Entry, newer: int) -> bool:
    """Whether a CPU is that has entered with the generation before, or one so much newer."""
    a, b = bed.guests
    current = entry.current.format(vm=a.vm)
    generation = bed.firmware.read_int(current) + newer
    gdb.watchpoint(current)
    bed.machine.console.submit(f"remap {a.vm} {a.page(3):#x} {b.vm} {b.window(4):#x}")
    gdb.wait()
    entered = entry.entered.format(vm=a.vm, vcpu=0)
    bed.firmware.write(entered, generation)  # as another CPU does that enters
    gdb.delete_breakpoints()
    gdb.breakpoint(entry.drives_out)
    gdb.breakpoint("request_done")
    gdb.cont()
    return gdb.wait().frame.function == entry.drives_out


@pytest.mark.pageferry(cpus=4)
@pytest.mark.parametrize("entry", ENTRIES, ids=["generation"])
def test_a_guest_that_waits_has_been_left_by_every_cpu(bed: Testbed, entry: Entry) -> None:
    vcpus = [vcpu for guest in bed.guests for vcpu in guest.vcpus]
    inside = {it: entry.entered.format(vm=it.vm, vcpu=it.index) for it in vcpus}
    assert [it for it in vcpus if bed.firmware.read_int(inside[it])] == []


@pytest.mark.pageferry(cpus=4)
@pytest.mark.parametrize("entry", ENTRIES, ids=["generation"])
def test_every_cpu_that_runs_the_guest_is_told_and_no_other(
    bed: Testbed, gdb: Debugger, entry: Entry
) -> None:
    a, b = bed.guests
    for vcpu in (*a.vcpus, b):
        vcpu.begin(Command.WATCH, vcpu.gva(vcpu.page(0))).await_rounds(1)
    gdb.breakpoint(entry.tells)
    gdb.breakpoint("request_done")
    bed.machine.console.submit(f"remap {a.vm} {a.page(3):#x} {b.vm} {b.window(4):#x}")
    told = []
    with suppress(WaitTimeout, FirmwarePanic):  # of who is not told, and so does not leave
        while gdb.wait().frame.function == entry.tells:
            told.append(gdb.value(entry.told))
            gdb.cont()
    assert told == [bed.firmware.read_int(f"vms[1].vcpus[{it.index}].cpu") for it in a.vcpus]
