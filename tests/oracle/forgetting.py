"""What a CPU may hold that has to be forgotten though no page was taken.

An absent entry: x86-64 keeps none that is not present (APM 2, 5.5.2), AArch64 none that gives
a translation fault (DDI 0487, D8.13.1), RISC-V any until a fence (privileged architecture,
4.2.1 and 8.5.3).
"""

KEPT = {"x86_64": False, "aarch64": False, "riscv64": True}
"""Whether a CPU may keep an absent entry, and fault though the page is there by now."""

FORGETS_ALL = ("HFENCE.GVMA", "ALLE1")
"""Instructions by their names in `Traces`, each of its own CPU: of every VM."""

OF_ALL = {"riscv64": 0x6200_0073}
"""The one that forgets an absent entry: HFENCE.GVMA of x0 and x0, for registers that are zero
name page 0 of VMID 0."""

BLOCKS = {"x86_64": ("vmcbs", 0x05C, 4)}
"""Pages, a vCPU's each: where in them is said what to flush at an entry (APM 2, table B-1)."""

FLUSH_SHIFT, FLUSH_ALL = 32, 1
"""That field in the 8 bytes around it, and its value for everything."""
