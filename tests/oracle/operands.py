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


def of_tlbi_of_all(gdb: Debugger, _: int) -> tuple[int, int, int]:
    """It names no page: it is for all that CPUs made of both stages."""
    return gdb.value("$VTTBR_EL2") >> 48, 0, 0


# By architecture and CPUs: TLBI IPAS2E1IS, HFENCE.GVMA, ECALL. An x86-64 CPU flushes all.
ISSUED = {
    ("aarch64", 1): Instruction(0xFFFF_FFE0, 0xD50C_8020, of_tlbi),
    ("aarch64", 3): Instruction(0xFFFF_FFE0, 0xD50C_8020, of_tlbi),
    ("riscv64", 1): Instruction(0xFE00_7FFF, 0x6200_0073, of_hfence),
    ("riscv64", 3): Instruction(0xFFFF_FFFF, 0x0000_0073, of_remote_fence),
}

# TLBI VMALLE1IS, for what is made of both stages.
COMBINED = {
    ("aarch64", 1): Instruction(0xFFFF_FFFF, 0xD508_831F, of_tlbi_of_all),
    ("aarch64", 3): Instruction(0xFFFF_FFFF, 0xD508_831F, of_tlbi_of_all),
}


@dataclass(frozen=True)
class OfArch:
    """What one architecture has: a test with it as a parameter is none of another one's."""

    arch: str

    def applies_to(self, arch: str) -> bool:
        return arch == self.arch


@dataclass(frozen=True)
class Told(OfArch):
    """CPUs that are told one by one: by which numbers, kept in `numbers`, with {cpu}.

    mask     of those numbers, where the instruction of `ISSUED` is about to be executed
    length   of that instruction, in bytes
    refuses  what gdb does where it was executed, so that it has failed
    """

    numbers: str
    instruction: Instruction
    mask: Callable[[Debugger], int]
    length: int
    refuses: str


def of_hart_mask(gdb: Debugger) -> int:
    """The SBI's hart_mask from hart_mask_base on (its specification, 3.1)."""
    return gdb.value("$a0") << gdb.value("$a1")


TOLD = [Told("riscv64", "harts[{cpu}]", ISSUED["riscv64", 3], of_hart_mask, 4, "$a0 = -3l")]
"""On AArch64 every CPU is told at once; on x86-64 each by an interrupt, which is waited for."""


@dataclass(frozen=True)
class Entry(OfArch):
    """How a CPU says with which generation of a VM's translations it enters.

    current, entered  expressions, with {vm}, and with {vcpu} what is one vCPU's
    flush, flushes    what it flushes then, and the value for everything
    enters            the function that enters
    drives_out        the function that waits for those that have entered with an older one
    tells, told       the function that interrupts a CPU, and an expression for which
    """

    current: str
    entered: str
    flush: str
    flushes: int
    enters: str
    drives_out: str
    tells: str
    told: str


ENTRIES = [
    Entry(
        "x86_64",
        "vms[{vm}].generation",
        "vms[{vm}].vcpus[{vcpu}].arch.entered",
        "vms[{vm}].vcpus[{vcpu}].arch.vmcb->control.tlb_control",
        1,
        "vmcb_run",
        "drive_out",
        "send_interrupt",
        "id",
    )
]


def of_none(_: Debugger, __: int) -> tuple[int, int, int]:
    return 0, 0, 0


@dataclass(frozen=True)
class Switch(OfArch):
    """Where stage 2 becomes another VM's, stage 1 must be none (privileged architecture, 8.2.18).

    stage1  gdb's expression for the register that names its table
    """

    instruction: Instruction
    stage1: str


# CSRW hgatp
SWITCHES = [Switch("riscv64", Instruction(0xFFF0_7FFF, 0x6800_1073, of_none), "$vsatp")]

KICKS = [OfArch("aarch64")]
"""Where an interrupt may overtake what the CPU wrote before (GIC, IHI 0069, 12.1.4): neither
x86-64's stores do, nor those of RISC-V's SBI."""
