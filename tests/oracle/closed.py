"""Where a CPU says whether it takes interrupts: an expression of gdb's that is 0 if it does not.

x86-64 RFLAGS.IF; AArch64 PSTATE.A, I and F, which are 1 then; RISC-V sstatus.SIE.
"""

from dataclasses import dataclass

from tests.oracle.operands import Instruction, OfArch, of_none

OPEN = {
    "x86_64": "$eflags & 0x200",
    "aarch64": "~$cpsr & 0x1c0",
    "riscv64": "$sstatus & 2",
}


@dataclass(frozen=True)
class Sleep(OfArch):
    """Where a CPU opens its interrupts and sleeps: none may come between, or nobody wakes it."""

    function: str
    both: Instruction


# STI; HLT: nothing comes before the end of what follows STI (APM 2, 8.1.6).
SLEEPS = [Sleep("x86_64", "arch_idle", Instruction(0xFFFF, 0xF4FB, of_none))]
"""Elsewhere a pending interrupt ends the sleep though it is closed."""


@dataclass(frozen=True)
class Opening(OfArch):
    """After a guest's run: the instruction that would let interrupts in."""

    function: str
    instruction: Instruction


# STGI
OPENINGS = [Opening("x86_64", "vmcb_run", Instruction(0xFF_FFFF, 0xDC_010F, of_none))]
