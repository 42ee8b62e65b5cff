"""The instructions that each architecture invalidates with, and where their operands are."""

from collections.abc import Callable
from dataclasses import dataclass

from pageferry.address import PAGE_SIZE
from pageferry.debugger import Debugger


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
