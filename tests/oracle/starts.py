"""What a vCPU finds at its first instruction, whoever ran on its CPU before.

By architecture: expressions of gdb's in the guest, and their values.
"""

from dataclasses import dataclass

from tests.oracle.operands import OfArch

STARTS: dict[str, dict[str, int]] = {
    "x86_64": {  # MXCSR as after a reset, FCW as after FNINIT (APM 1, 4.2.2 and 6.2.2)
        "$mxcsr & 0xffff": 0x1F80,
        "$fctrl": 0x037F,
        "$eflags & 0x3fffff": 1 << 1,
        "$efer & 0x1900": 0x1900,  # SVME, NXE, LME
    },
    "aarch64": {  # DDI 0487, C5.2.19, D19.2
        "$cpsr & 0x3df": 0x3C5,  # D, A, I, F; EL1 with its own stack
        "$SCTLR": 0x30D0_0800,
        "$TCR_EL1": 0,
        "$MAIR_EL1": 0,
        "$VBAR": 0,
        "$SP_EL1": 0,
        "$TTBR0_EL1": 0,
    },
    "riscv64": {  # privileged architecture, 4.1 and 8.2
        "$sstatus": 2 << 32,  # UXL alone
        "$stvec": 0,
        "$vsatp": 0,
    },
}


@dataclass(frozen=True)
class Ready(OfArch):
    """What a CPU has where it is about to enter a guest: expressions, and their values."""

    values: dict[str, int]


READY = [
    Ready("x86_64", {"$efer & 0x1800": 0x1800}),  # SVME, NXE
    # External, timer and software interrupts
    Ready("riscv64", {"$sie": 0x222, "$scounteren": 0}),
]
"""What AArch64's CPUs have is in `controls`."""
