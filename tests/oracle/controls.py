"""What keeps a guest from what it is not given, where an emulator cannot show that it is needed.

By architecture: expressions of gdb's in the hypervisor, with {vm} if it is a VM's, the bits of
their value that matter, and what they are to be.
"""

from typing import NamedTuple


class Control(NamedTuple):
    """`value & mask` is to be `wanted`."""

    value: str
    mask: int
    wanted: int


ALL = (1 << 64) - 1


def _block(field: str, mask: int) -> Control:
    """A word of the VMCB (APM 2, table B-1), of which all these bits are to be set."""
    return Control(f"vms[{{vm}}].vcpus[0].arch.vmcb->control.{field}", mask, mask)


CONTROLS = {
    "x86_64": (
        _block("intercept_cr", 1 << 20),  # writes of CR4
        _block("intercept_dr", 0xFFFF_FFFF),
        _block("intercept_exceptions", 1 << 17),  # #AC, which may fault on its own delivery
        # SHUTDOWN, FERR_FREEZE, task switches, MSRs, ports, INVLPGA, HLT, INVD, RDPMC, INIT,
        # SMI, NMI, INTR
        _block("intercept_events", 0xF540_800F),
        # VMRUN, VMMCALL, VMLOAD, VMSAVE, STGI, CLGI, SKINIT, RDTSCP, ICEBP, WBINVD, MONITOR,
        # MWAIT, XSETBV
        _block("intercept_instructions", 0x3FFF),
        _block("v_intr", 1 << 24),  # V_INTR_MASKING
        _block("np_enable", 1),
        # PAT and DR7 as after a reset (APM 2, table 14-1)
        Control("vms[{vm}].vcpus[0].arch.vmcb->save.g_pat", ALL, 0x0007_0406_0007_0406),
        Control("vms[{vm}].vcpus[0].arch.vmcb->save.dr7", ALL, 0x400),
    ),
    "aarch64": (  # DDI 0487, D19.2
        # TERR, TLOR, TPU, TPCP, TSW, TACR, TIDCP, TSC, TID3 to TID0, TWE, TWI: the traps of what
        # every CPU has that can run this
        Control("$HCR_EL2", 0x18_01FF_E000, 0x18_01FF_E000),
        Control("$HCR_EL2", 0x8000_003B, 0x8000_003B),  # RW, AMO, IMO, FMO, SWIO, VM
        # FWB, without which entries that are made for it mean something else
        Control("($HCR_EL2 >> 46 & 1) == features.forced_write_back", ALL, 1),
        Control("$CPTR_EL2", 0xC010_1500, 0xC010_1100),  # TCPAC, TAM, TTA, TSM, TZ; not TFP
        Control("$MDCR_EL2", 0x0008_4E60, 0x0008_4E60),  # TTRF, TPMS, TDRA to TDA, TPM, TPMCR
        Control("$HSTR_EL2", 0xBFEF, 0xBFEF),
        Control("$CNTHCTL_EL2", 3, 0),  # EL1PCEN, EL1PCTEN
        Control("$HCRX_EL2", ALL, 0),
        # PS, TG0, SH0, ORGN0, IRGN0, SL0, T0SZ: tables are walked as CPUs see memory
        Control("$VTCR_EL2", ALL, 0x8002_3559),
        Control("$TCR_EL2", ALL, 0x8082_3519),
        Control("$MAIR_EL2", ALL, 0x00FF),  # write-back, and device
        Control("$SCTLR_EL2", 0x100D, 0x100D),  # I, SA, C, M
        Control("$VMPIDR_EL2", ALL, 1 << 31),  # nothing of the CPU's own
        Control("$CNTVOFF_EL2", ALL, 0),
        Control("$CPACR", ALL, 3 << 20),  # FPEN
    ),
    "riscv64": (  # privileged architecture, 8.2
        Control("$henvcfg", ALL, 0),
        Control("$hcounteren", ALL, 1 << 2),  # IR
        Control("$hideleg", ALL, 0),
        Control("$hedeleg", ALL, 0xB1FF),
        Control("$hvip", ALL, 0),
        Control("$htimedelta", ALL, 0),
        Control("$hstatus", 0x70_0200, 1 << 21),  # VTSR, VTW, VTVM and HU: VTW alone
    ),
}
