"""What a CPU wants of a guest's own table when stage 2 keeps it from that table.

x86-64: every entry that it looks at may have to be updated, so it always writes (APM 2, 15.25.6);
AArch64: it reads, but for an update of an entry that it has read (DDI 0487, D8.5). On RISC-V it
is htinst that tells, which an emulator may leave empty (privileged architecture, 8.6.3).
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.oracle.operands import Instruction, OfArch, of_none

from pageferry.abi import Access, Command


@dataclass(frozen=True)
class Walk(OfArch):
    """A command whose own access is another one than the `access` that its walk comes to."""

    command: Command
    access: Access


WALKS = [
    Walk("x86_64", Command.LOAD, Access.WRITE),
    Walk("aarch64", Command.STORE, Access.READ),
]


@dataclass(frozen=True)
class ToldWalk(Walk):
    """One of which a register tells.

    reads     the instruction that reads it, which is `length` bytes long
    register  gdb's name for where that puts it
    value     what tells of `access` to a table
    """

    reads: Instruction
    length: int
    register: Callable[[int], str]
    value: int


def destination(instruction: int) -> str:
    return f"$x{instruction >> 7 & 31}"


CSRR_HTINST = Instruction(0xFFFF_F07F, 0x64A0_2073, of_none)

TOLD_WALKS = [
    ToldWalk("riscv64", Command.STORE, Access.READ, CSRR_HTINST, 4, destination, 0x3000),
    ToldWalk("riscv64", Command.LOAD, Access.WRITE, CSRR_HTINST, 4, destination, 0x3020),
]
"""Privileged architecture, 8.6.3: pseudoinstructions for 64-bit accesses to a table."""
