"""Registers that a guest has for itself, and those that a C function finds kept after a call.

By architecture, as gdb names them. What is set by an instruction of the guest only, or has
bits that are not its own, is not among them.
"""

from dataclasses import dataclass

from tests.oracle.operands import OfArch

GENERAL = {
    "x86_64": ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", *(f"r{it}" for it in range(8, 16))),
    "aarch64": tuple(f"x{it}" for it in range(31)),
    "riscv64": (
        *("ra", "gp", "tp"),
        *(f"a{it}" for it in range(8)),
        *(f"s{it}" for it in range(12)),
        *(f"t{it}" for it in range(7)),
    ),
}

FLOATING = {
    "x86_64": [f"xmm{it}.v2_int64[{half}]" for it in range(16) for half in range(2)],
    "aarch64": [f"v{it}.d.u[{half}]" for it in range(32) for half in range(2)],
    "riscv64": [
        *(f"ft{it}" for it in range(12)),
        *(f"fs{it}" for it in range(12)),
        *(f"fa{it}" for it in range(8)),
    ],
}

SYSTEM = {
    "x86_64": ("fs_base", "gs_base", "k_gs_base"),
    "aarch64": (),  # QEMU lets gdb read them only: the guest has `residue` for them
    "riscv64": ("sscratch", "sepc", "scause", "stval", "scounteren"),
}

BITS: dict[str, dict[str, int]] = {
    "x86_64": {"eflags": 1 << 18, "mxcsr": 1 << 15, "fctrl": 1 << 10},  # AC, FZ, RC
    "aarch64": {"fpcr": 1 << 22, "fpsr": 1 << 0},  # RMode, IOC
    "riscv64": {"sstatus": 1 << 18, "senvcfg": 1 << 0},  # SUM, FIOM
}
"""Bits of its own in other registers, which are 0 in a guest that did nothing to them."""

ROUNDING = [OfArch("aarch64"), OfArch("riscv64")]
"""Whose `residue` holds how a guest rounds. On x86-64 it is about x87's last instruction, which
FXSAVE need not keep (APM 2, 11.4.4)."""

CALLED = {
    "x86_64": ("vmcb_run", "*(unsigned long *)$rsp", ("rbx", "rbp", "r12", "r13", "r14", "r15")),
    "aarch64": ("guest_run", "$x30", tuple(f"x{it}" for it in range(19, 30))),
    "riscv64": ("vcpu_enter", "$ra", ("tp", *(f"s{it}" for it in range(12)))),
}
"""What enters a guest, where it returns to at its first instruction, and what it keeps."""

STRANGE = {
    "x86_64": "vcpu->arch.vmcb->save.rflags |= 0x100",
    "aarch64": "vcpu->arch.pstate &= ~0xfull",
    "riscv64": "vcpu->arch.sstatus &= ~0x100ull",
}
"""Gives a guest a state in which no kernel goes on: x86-64 RFLAGS.TF, by which each instruction
traps; AArch64 EL0; RISC-V user mode, by SPP."""

USER = {
    "x86_64": ("vcpu->arch.vmcb->save.cpl", 3),
    "aarch64": ("vcpu->arch.pstate & 0xf", 0),
    "riscv64": ("vcpu->arch.sstatus & 0x100", 0),
}
"""What tells that a vCPU was in its user when it left the guest: x86-64 CPL; AArch64 EL0; RISC-V
SPP."""

GIVEN = {"x86_64": "gprs.rdi", "aarch64": "x[1]", "riscv64": "gprs.a1"}
"""Of a vCPU's state: the register of a hypercall that comes after the status."""


@dataclass(frozen=True)
class Interrupted(OfArch):
    """Where an interrupt of the hypervisor itself begins, and goes back to: expressions."""

    begins: str
    returns: str


# Vector 32, the tick; 16 bytes a stub.
INTERRUPTED = [Interrupted("x86_64", "(long)&trap_stubs + 16 * 32", "*(unsigned long *)$rsp")]
"""The others end in nothing but a panic."""
