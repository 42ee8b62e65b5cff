"""Where a CPU says whether it takes interrupts: an expression of gdb's that is 0 if it does not.

x86-64 RFLAGS.IF; AArch64 PSTATE.A, I and F, which are 1 then; RISC-V sstatus.SIE.
"""

OPEN = {
    "x86_64": "$eflags & 0x200",
    "aarch64": "~$cpsr & 0x1c0",
    "riscv64": "$sstatus & 2",
}
