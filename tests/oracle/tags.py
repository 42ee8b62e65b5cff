"""By what number each architecture tells the translations of its VMs apart."""

TAGS = {
    "x86_64": ("vms[{vm}].vcpus[{vcpu}].arch.vmcb->control.asid", 0),
    "aarch64": ("vms[{vm}].vcpus[{vcpu}].arch.vttbr", 48),
    "riscv64": ("vms[{vm}].vcpus[{vcpu}].arch.hgatp", 44),
}
"""Where the machine keeps it: an expression, and its first bit there."""

TAG_BITS = (1 << 14) - 1
"""The widest of them: RISC-V's VMID."""
