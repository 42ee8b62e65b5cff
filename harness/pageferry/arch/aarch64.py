"""AArch64: VMSAv8-64 tables with the 4 KiB granule, the guest's at EL1 and stage 2.

Arm Architecture Reference Manual (DDI 0487): D8.3 "Translation table descriptor formats"
draws the entries, D8.4 "Memory access control" says what they permit.

      63 62 61 60  59 58  55 54 53 52  51  50 48 47           12 11 10  9  8 7  6 5  2  1  0
     +--+-----+--+---+------+-----+--+----+-----+---------------+--+--+-----+----+----+--+--+
     |NS| AP  |UX|PX |           -              |  next table   |         -           | 1| 1|
     +--+-----+--+---+------+-----+--+----+-----+---------------+--+--+-----+----+----+--+--+
     |      -        |  -   |UX PX| C|DBM |  -  |  page, block  |nG|AF| SH  | AP |attr| T| 1|
     +---------------+------+-----+--+----+-----+---------------+--+--+-----+----+----+--+--+

      T            1: a table, or at level 0 a page; 0: a block of level 1 or 2
      of a table   in stage 1 AP, UX and PX bind everything below; in stage 2 they are nothing
      AP           stage 1: bit 7 read-only, bit 6 for EL0 too; stage 2: bit 7 write, bit 6 read
      UX PX        no execution at EL0, EL1; in stage 2 they are a number, XN (FEAT_XNX)

Levels are Pageferry's: 0 is what Arm calls 3. What is left out here is ignored, as the CPU
does. Stage-1 rights are those of EL1 with PSTATE.PAN and SCTLR_EL1.WXN clear, and an
address comes without its tag (TCR_EL1.TBI). What EL0 may write, EL1 does not execute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..address import HPA
from ..protocol import Barrier, Effect, Invalidate, Kick, Part, Select, Settle
from ..tables import MALFORMED, PAGE_BITS, Entry, Kind, Rights, TableFormat
from ..traces import Instruction, Traces
from . import Arch

_VALID = 1 << 0
_TABLE_OR_PAGE = 1 << 1
_ADDRESS = 0x0000_FFFF_FFFF_F000
_ACCESSED = 1 << 10
_DIRTY_BIT_MODIFIER = 1 << 51

_EL0_TOO = 1 << 6
_READ_ONLY = 1 << 7
_NO_EXECUTE_AT_EL1 = 1 << 53
_TABLE_NO_EXECUTE_AT_EL1 = 1 << 59
_TABLE_NOT_EL0 = 1 << 61
_TABLE_READ_ONLY = 1 << 62

_STAGE2_READ = 1 << 6
_STAGE2_WRITE = 1 << 7
_XN_SHIFT = 53
_XN_OF_EL1 = (0b01, 0b10)
"""XN[1:0] that forbid EL1 to execute; 11 forbids EL0 only, 00 nobody."""

_BLOCK_LEVELS = (1, 2)
_INDEX_BITS = 9
_OUTPUT_BITS = (32, 36, 40, 42, 44, 48, 48, 48)
"""By TCR_EL1.IPS or VTCR_EL2.PS. 52 bits are 48 unless DS is set."""


@dataclass(frozen=True)
class _Stage:
    """One stage: how many bits its addresses have, and what its entries permit."""

    output_bits: int
    of_table: Callable[[int], Rights]
    of_leaf: Callable[[int], Rights]

    def decode(self, raw: int, level: int) -> Entry:
        """One valid entry; an address past the output size is an Address size fault."""
        address = raw & _ADDRESS
        if address >> self.output_bits:
            return MALFORMED
        if raw & _TABLE_OR_PAGE:
            if level:
                return Entry(Kind.TABLE, address, self.of_table(raw))
        elif level not in _BLOCK_LEVELS:
            return MALFORMED
        below = (1 << (PAGE_BITS + _INDEX_BITS * level)) - 1
        return Entry(Kind.LEAF, address & ~below, self.of_leaf(raw))


def _all(_: int) -> Rights:
    return Rights.ALL


def _of_stage1_table(raw: int) -> Rights:
    rights = Rights.ALL
    if raw & _TABLE_READ_ONLY:
        rights &= ~Rights.WRITE
    if raw & _TABLE_NO_EXECUTE_AT_EL1:
        rights &= ~Rights.EXECUTE
    return rights


def _of_stage1_leaf(raw: int, sets_accessed: bool, sets_dirty: bool) -> Rights:
    if not (raw & _ACCESSED or sets_accessed):
        return Rights.NONE
    rights = Rights.READ
    if not raw & _READ_ONLY or (sets_dirty and raw & _DIRTY_BIT_MODIFIER):
        rights |= Rights.WRITE
    if not raw & _NO_EXECUTE_AT_EL1 and not (raw & _EL0_TOO and Rights.WRITE in rights):
        rights |= Rights.EXECUTE
    return rights


def _inherit(above: int, leaf: int) -> int:
    """AP of a leaf below such tables. EL1 may execute what they keep EL0 from writing."""
    if above & _TABLE_READ_ONLY:
        leaf |= _READ_ONLY
        leaf &= ~_DIRTY_BIT_MODIFIER
    if above & _TABLE_NOT_EL0:
        leaf &= ~_EL0_TOO
    return leaf


def _of_stage2_leaf(raw: int, sets_accessed: bool, sets_dirty: bool) -> Rights:
    rights = Rights.NONE
    if not (raw & _ACCESSED or sets_accessed):
        return rights
    if raw & _STAGE2_READ:
        rights |= Rights.READ
    if raw & _STAGE2_WRITE or (sets_dirty and raw & _DIRTY_BIT_MODIFIER):
        rights |= Rights.WRITE
    if raw >> _XN_SHIFT & 0b11 not in _XN_OF_EL1:
        rights |= Rights.EXECUTE
    return rights


def _field(register: int, high: int, low: int) -> int:
    return register >> low & (1 << (high - low + 1)) - 1


def _require(holds: bool, field: str, value: int, why: str) -> None:
    if not holds:
        raise ValueError(f"{field} is {value:#b}: {why}")


def _width(field: str, size: int) -> int:
    """Bits of an input address: TnSZ says how many of 64 it lacks, 16 to 48 (FEAT_TTST)."""
    _require(16 <= size <= 48, field, size, "tables of 4 KiB translate 16 to 48 bits")
    return 64 - size


def stage1_format(tcr: int, upper_half: bool = False) -> TableFormat:
    """What TTBR0_EL1 names under this TCR_EL1, or TTBR1_EL1 for the upper half.

    ValueError, naming the field, if it asks for what is not known here.
    """
    half, at = (1, 16) if upper_half else (0, 0)
    granule, granule_4k = _field(tcr, at + 15, at + 14), 0b10 if upper_half else 0b00
    _require(granule == granule_4k, f"TCR_EL1.TG{half}", granule, "no granule of 4 KiB")
    _require(not tcr >> at + 7 & 1, f"TCR_EL1.EPD{half}", 1, "there is no such table")
    _require(not tcr >> 59, "TCR_EL1[63:59]", tcr >> 59, "DS, 52-bit addresses, is not known")
    width = _width(f"TCR_EL1.T{half}SZ", _field(tcr, at + 5, at))
    sets_accessed, sets_dirty = bool(tcr >> 39 & 1), bool(tcr >> 40 & tcr >> 39 & 1)
    flat = tcr >> 41 + half & 1  # HPD: tables bind nothing below
    stage = _Stage(
        _OUTPUT_BITS[_field(tcr, 34, 32)],
        _all if flat else _of_stage1_table,
        partial(_of_stage1_leaf, sets_accessed=sets_accessed, sets_dirty=sets_dirty),
    )
    levels = -(-(width - PAGE_BITS) // _INDEX_BITS)
    return TableFormat(
        "AArch64 stage 1",
        levels,
        stage.decode,
        _VALID,
        root_bits=width - PAGE_BITS - _INDEX_BITS * (levels - 1),
        upper_half=upper_half,
        inherited=0 if flat else _TABLE_READ_ONLY | _TABLE_NOT_EL0,
        inherit=_inherit,
    )


def stage2_format(vtcr: int) -> TableFormat:
    """What VTTBR_EL2 names under this VTCR_EL2.

    SL0 says at which level a walk begins, so up to 16 tables may be concatenated there.
    ValueError, naming the field, if it asks for what is not known here or cannot be.
    """
    granule, start = _field(vtcr, 15, 14), _field(vtcr, 7, 6)
    _require(granule == 0b00, "VTCR_EL2.TG0", granule, "no granule of 4 KiB")
    _require(not vtcr >> 32, "VTCR_EL2[63:32]", vtcr >> 32, "DS, 52-bit addresses, is not known")
    width = _width("VTCR_EL2.T0SZ", _field(vtcr, 5, 0))
    levels = {0: 2, 1: 3, 2: 4, 3: 1}[start]
    root_bits = width - PAGE_BITS - _INDEX_BITS * (levels - 1)
    fits = 1 <= root_bits <= _INDEX_BITS + 4
    _require(fits, "VTCR_EL2.SL0", start, f"{levels} levels do not translate {width} bits")
    sets_accessed, sets_dirty = bool(vtcr >> 21 & 1), bool(vtcr >> 22 & vtcr >> 21 & 1)
    stage = _Stage(
        _OUTPUT_BITS[_field(vtcr, 18, 16)],
        _all,
        partial(_of_stage2_leaf, sets_accessed=sets_accessed, sets_dirty=sets_dirty),
    )
    return TableFormat("AArch64 stage 2", levels, stage.decode, _VALID, root_bits=root_bits)


def _root_of(register: int) -> int:
    """BADDR of TTBR0_EL1, TTBR1_EL1 or VTTBR_EL2: bits 47:1."""
    return register & 0x0000_FFFF_FFFF_FFFE


_OPCODE = 0xFFFF_FFFF
_NO_REGISTER = _OPCODE & ~31  # Rt


def _tlbi(name: str, op1: int, crm: int, op2: int, parts: Part) -> Instruction:
    """SYS #op1, C8, Ccrm, #op2 (DDI 0487, C5.5). What ends in IS is broadcast."""
    value = 0xD508_0000 | op1 << 16 | 8 << 12 | crm << 8 | op2 << 5
    means = partial(
        Invalidate, parts=parts, everywhere=name.endswith("IS"), effect=Effect.AT_BARRIER
    )
    return Instruction(name, _NO_REGISTER, value, means)


def _dsb(name: str, crm: int, publishes: bool, completes: bool) -> Instruction:
    """DSB (C6.2): CRm says for whom, and whether for stores only."""
    means = partial(Barrier, publishes=publishes, completes=completes)
    return Instruction(f"DSB {name}", _OPCODE, 0xD503_309F | crm << 8, means)


_TRACES = Traces(
    instructions=(
        _tlbi("IPAS2E1IS", 4, 0, 1, Part.STAGE2),
        _tlbi("IPAS2LE1IS", 4, 0, 5, Part.STAGE2),
        _tlbi("IPAS2E1", 4, 4, 1, Part.STAGE2),
        _tlbi("IPAS2LE1", 4, 4, 5, Part.STAGE2),
        _tlbi("VMALLE1IS", 0, 3, 0, Part.COMBINED),
        _tlbi("VMALLE1", 0, 7, 0, Part.COMBINED),
        _tlbi("VMALLS12E1IS", 4, 3, 6, Part.ALL),
        _tlbi("VMALLS12E1", 4, 7, 6, Part.ALL),
        _tlbi("ALLE1IS", 4, 3, 4, Part.ALL),
        _tlbi("ALLE1", 4, 7, 4, Part.ALL),
        _dsb("SY", 15, publishes=True, completes=True),
        _dsb("ST", 14, publishes=True, completes=False),
        _dsb("ISH", 11, publishes=True, completes=True),
        _dsb("ISHST", 10, publishes=True, completes=False),
        # MSR VTTBR_EL2 (S3_4_C2_C1_0), which holds for what follows an ISB (D19.1.2, C6.2)
        Instruction("MSR VTTBR_EL2", _NO_REGISTER, 0xD51C_2100, Select),
        Instruction("ISB", _OPCODE, 0xD503_3FDF, Settle),
        # MSR ICC_SGI1R_EL1: S3_0_C12_C11_5
        Instruction("SGI", _NO_REGISTER, 0xD518_CBA0, Kick),
    ),
)

ARCH = Arch(
    name="aarch64",
    qemu="qemu-system-aarch64",
    qemu_package="qemu-system-arm",
    machine_args=(
        "-M",
        "virt,virtualization=on,gic-version=3,highmem=off",
        "-cpu",
        "max,cntfrq=1000000000",
        "-device",
        "pvpanic-pci,addr=1",
    ),
    icount=True,
    icount_in_turns=True,
    ram_base=HPA(0x4000_0000),
    # The registers as guest.S and the hypervisor set them: 39 bits in, 40 bits out.
    stage1=stage1_format(0x2_0080_3519),
    stage2=stage2_format(0x8002_3559),
    accessed_dirty=0,
    root_of=_root_of,
    stage1_root="vms[{vm}].vcpus[{vcpu}].arch.ttbr0",
    stage2_root="vms[{vm}].vcpus[{vcpu}].arch.vttbr",
    program_counter="vms[{vm}].vcpus[{vcpu}].arch.pc",
    gdb_architecture="aarch64",
    spare_register="x19",
    remap_goal=400,
    traces=_TRACES,
)
