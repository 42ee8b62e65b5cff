"""Of which VM and page a translation is forgotten: no plugin sees operands, gdb does."""

from collections.abc import Callable
from dataclasses import dataclass

from pageferry import Testbed
from pageferry.address import HPA, PAGE_SIZE
from pageferry.debugger import Debugger

CODE = 256
"""Bytes of `arch_invalidate` that are searched."""


@dataclass(frozen=True)
class Instruction:
    """`operands` gives VM, page and bytes, where the instruction is about to be executed."""

    mask: int
    value: int
    operands: Callable[[Debugger, int], tuple[int, int, int]]


def of_tlbi(gdb: Debugger, instruction: int) -> tuple[int, int, int]:
    page = gdb.value(f"$x{instruction & 31}") << 12
    return gdb.value("$VTTBR_EL2") >> 48, page, PAGE_SIZE


def of_hfence(gdb: Debugger, instruction: int) -> tuple[int, int, int]:
    address, vmid = instruction >> 15 & 31, instruction >> 20 & 31
    return gdb.value(f"$x{vmid}"), gdb.value(f"$x{address}") << 2, PAGE_SIZE


def of_remote_fence(gdb: Debugger, _: int) -> tuple[int, int, int]:
    return gdb.value("$a4"), gdb.value("$a2"), gdb.value("$a3")


# By architecture and CPUs: TLBI IPAS2E1IS, HFENCE.GVMA, ECALL. An x86-64 CPU flushes all.
ISSUED = {
    ("aarch64", 1): Instruction(0xFFFF_FFE0, 0xD50C_8020, of_tlbi),
    ("aarch64", 3): Instruction(0xFFFF_FFE0, 0xD50C_8020, of_tlbi),
    ("riscv64", 1): Instruction(0xFE00_7FFF, 0x6200_0073, of_hfence),
    ("riscv64", 3): Instruction(0xFFFF_FFFF, 0x0000_0073, of_remote_fence),
}


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
    gdb.breakpoint("arch_invalidate")
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
