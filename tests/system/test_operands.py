"""Of which VM and page a translation is forgotten: no plugin sees operands, gdb does."""

import pytest
from tests.oracle.operands import COMBINED, ENTRIES, ISSUED, TOLD, Entry, Instruction, Told

from pageferry import Command, Testbed
from pageferry.address import HPA, PAGE_SIZE
from pageferry.debugger import Debugger

NONCE = 0x5EED

CODE = 256
"""Bytes of `arch_invalidate` that are searched."""


def find(bed: Testbed, wanted: Instruction) -> dict[int, int]:
    """Every place of it, and what stands there: a compiler may have made several of one."""
    start = bed.machine.image.symbol("arch_invalidate")
    code = bed.machine.memory.read(HPA(start), CODE)
    words = {at: int.from_bytes(code[at : at + 4], "little") for at in range(0, CODE - 4, 2)}
    return {start + at: it for at, it in words.items() if it & wanted.mask == wanted.value}


def test_an_invalidation_names_the_vm_and_the_page(
    bed: Testbed, gdb: Debugger, arch: str, cpus: int
) -> None:
    a, b = bed.guests
    expected = (a.vm, a.page(3), PAGE_SIZE)
    gdb.breakpoint("*arch_invalidate")  # its first instruction, where every argument still is
    pending = bed.machine.console.submit(f"remap 1 {a.page(3):#x} 2 {b.window(4):#x}")
    gdb.wait()
    assert (gdb.value("vm->id"), gdb.value("page.value"), PAGE_SIZE) == expected
    if (arch, cpus) in ISSUED:
        wanted = ISSUED[arch, cpus]
        places = find(bed, wanted)
        assert places
        for address in places:
            gdb.breakpoint(f"*{address:#x}")
        gdb.cont()
        instruction = places[gdb.wait().frame.address]
        assert wanted.operands(gdb, instruction) == expected
    if (arch, cpus) in COMBINED:
        wanted = COMBINED[arch, cpus]
        places = find(bed, wanted)
        assert places
        for address in places:
            gdb.breakpoint(f"*{address:#x}")
        gdb.cont()
        gdb.wait()
        assert wanted.operands(gdb, wanted.value) == (a.vm, 0, 0)
    gdb.delete_breakpoints()
    gdb.cont()
    assert pending.result().status == 0


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
    for address in find(bed, told.instruction):
        gdb.breakpoint(f"*{address:#x}")
    bed.machine.console.submit(f"remap 1 {a.page(3):#x} 2 {b.window(4):#x}")
    gdb.wait()
    assert told.mask(gdb) == sum(1 << number for number in numbers.values())


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("entry", ENTRIES, ids=["generation"])
def test_a_page_that_is_taken_while_a_cpu_enters_is_forgotten_at_that_entry(
    bed: Testbed, gdb: Debugger, entry: Entry
) -> None:
    read, vm = bed.firmware.read_int, bed.guests[0].vm
    entered, current = entry.entered.format(vm=vm), entry.current.format(vm=vm)
    gdb.watchpoint(entered)
    bed.machine.console.submit(f"ask {vm} {NONCE} {int(Command.PING)}")
    gdb.wait()
    bed.firmware.write(current, read(current) + 1)  # as another CPU does that takes it
    gdb.delete_breakpoints()
    gdb.breakpoint(entry.enters)
    gdb.cont()
    gdb.wait()
    assert read(entered) == read(current)
    assert read(entry.flush.format(vm=vm)) == entry.flushes
