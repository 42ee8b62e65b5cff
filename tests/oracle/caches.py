"""What no emulator needs: instructions that make CPUs see what was stored, or forget it."""

from dataclasses import dataclass

from tests.oracle.operands import Instruction, OfArch, of_none

from pageferry.debugger import Debugger


@dataclass(frozen=True)
class Fetch(OfArch):
    """By what instructions are fetched anew that were stored as data, and in which function.

    completes  the one after which it is done, for every CPU, if there is one
    """

    instruction: Instruction
    function: str
    completes: Instruction | None = None


IC_IALLUIS = Instruction(0xFFFF_FFFF, 0xD508_711F, of_none)
DSB_ISH = Instruction(0xFFFF_FFFF, 0xD503_3B9F, of_none)
FENCE_I = Instruction(0xFFFF_FFFF, 0x0000_100F, of_none)

FETCHES = [
    Fetch("aarch64", IC_IALLUIS, "arch_vcpu_init", DSB_ISH),
    Fetch("riscv64", FENCE_I, "arch_vcpu_load"),
]
"""An x86-64 CPU does it by itself (APM 2, 7.6.1)."""

DSB_NSH = Instruction(0xFFFF_FFFF, 0xD503_379F, of_none)

# IC IALLU; TLBI ALLE2, for the hypervisor's own translations
EMPTIES = [
    Fetch("aarch64", Instruction(0xFFFF_FFFF, 0xD508_751F, of_none), "enable_mmu", DSB_NSH),
    Fetch("aarch64", Instruction(0xFFFF_FFFF, 0xD50C_871F, of_none), "enable_mmu", DSB_NSH),
]
"""What a CPU does that may hold something of whoever was there before."""

# SC.D to zero
RESERVATIONS = [Fetch("riscv64", Instruction(0xF9F0_707F, 0x1800_302F, of_none), "arch_vcpu_load")]
"""By what a reservation is ended (unprivileged, 8.2): x86-64 has none, an ERET ends AArch64's."""


@dataclass(frozen=True)
class Clean(OfArch):
    """A CPU on which a guest may go around the caches, so that what they hold has to leave them.

    arguments   for the emulator, to have such a CPU
    function    which does it
    start, size expressions for where and how much, at its beginning
    line        the instruction, of one line, whose address is its first operand
    completes   the one after which it is done, for every CPU
    """

    arguments: tuple[str, ...]
    function: str
    start: str
    size: str
    line: Instruction
    completes: Instruction


def of_line(gdb: Debugger, instruction: int) -> tuple[int, int, int]:
    return gdb.value(f"$x{instruction & 31}"), 0, 0


# DC CIVAC, DSB SY; a Cortex-A57 has no FEAT_S2FWB (DDI 0487, D8.6.5).
CLEANS = [
    Clean(
        "aarch64",
        ("-cpu", "cortex-a57"),
        "clean",
        "start.value",
        "size",
        Instruction(0xFFFF_FFE0, 0xD50B_7E20, of_line),
        Instruction(0xFFFF_FFFF, 0xD503_3F9F, of_none),
    )
]
