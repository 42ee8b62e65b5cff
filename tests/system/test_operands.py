"""Of which VM and page a translation is forgotten: no plugin sees operands, gdb does."""

from tests.oracle.operands import ISSUED, Instruction

from pageferry import Testbed
from pageferry.address import HPA, PAGE_SIZE
from pageferry.debugger import Debugger

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
    gdb.delete_breakpoints()
    gdb.cont()
    assert pending.result().status == 0
