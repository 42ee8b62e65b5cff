"""RISC-V: Sv39 or Sv48 tables for the guest, the same widened by two bits for the hypervisor.

RISC-V Instruction Set Manual, volume II: sections 4.4 and 4.5 draw the entries, 4.3.2 the
walk, 8.5 "Two-Stage Address Translation" says what differs.

     63 62  61 60    54 53                        10 9   8  7  6  5  4  3  2  1  0
    +--+------+--------+----------------------------+-----+--+--+--+--+--+--+--+--+
    |N | PBMT |  zero  |   next table or page >> 12 | RSW |D |A |G |U |X |W |R |V |
    +--+------+--------+----------------------------+-----+--+--+--+--+--+--+--+--+

      R = W = X = 0   a table: D, A and U must be zero, and it is none at level 0
      R = 0, W = 1    reserved
      otherwise       a leaf: of level n, the lowest 9n bits of its frame number are zero

N (Svnapot) and PBMT (Svpbmt) are zero too: the CPU has neither. It sets A and D by
itself. Rights of the guest's own tables are the supervisor's, with SUM and MXR clear.
"""

from __future__ import annotations

from functools import partial

from ..address import HPA
from ..protocol import Barrier, Invalidate, Kick
from ..tables import MALFORMED, PAGE_BITS, Entry, Kind, Rights, TableFormat
from ..traces import Instruction, Traces
from . import Arch, WayOut

_VALID = 1 << 0
_READ = 1 << 1
_WRITE = 1 << 2
_EXECUTE = 1 << 3
_USER = 1 << 4
_ACCESSED = 1 << 6
_DIRTY = 1 << 7
_ZERO = 0xFFC0_0000_0000_0000
_ZERO_IN_TABLE = _USER | _ACCESSED | _DIRTY
_FRAME_SHIFT = 10
_FRAME_NUMBER = (1 << 44) - 1

_RIGHTS = {
    _READ: Rights.READ,
    _READ | _WRITE: Rights.READ | Rights.WRITE,
    _EXECUTE: Rights.EXECUTE,
    _READ | _EXECUTE: Rights.READ | Rights.EXECUTE,
    _READ | _WRITE | _EXECUTE: Rights.ALL,
}
"""Table 4.5: what is not here is reserved."""


def _decode(raw: int, level: int, user: int) -> Entry:
    """One valid entry (4.3.2), for accesses of user mode if `user` is U, else of the supervisor."""
    if raw & _ZERO:
        return MALFORMED
    frame = raw >> _FRAME_SHIFT & _FRAME_NUMBER
    permissions = raw & (_READ | _WRITE | _EXECUTE)
    if not permissions:
        if not level or raw & _ZERO_IN_TABLE:
            return MALFORMED
        return Entry(Kind.TABLE, frame << PAGE_BITS, Rights.ALL)
    if permissions not in _RIGHTS or frame & ((1 << 9 * level) - 1):
        return MALFORMED
    rights = _RIGHTS[permissions] if raw & _USER == user else Rights.NONE
    return Entry(Kind.LEAF, frame << PAGE_BITS, rights)


def _decode_guest(raw: int, level: int) -> Entry:
    return _decode(raw, level, user=0)


def _decode_nested(raw: int, level: int) -> Entry:
    """Every guest access is a user access (8.5.1)."""
    return _decode(raw, level, user=_USER)


_LEVELS = {8: 3, 9: 4, 10: 5}
"""By MODE: Sv39, Sv48, Sv57, and the same with "x4" in hgatp (4.1.11, 8.2.10)."""


def _levels(register: str, value: int) -> int:
    mode = value >> 60
    if mode not in _LEVELS:
        raise ValueError(f"{register}.MODE is {mode}: it names no table known here")
    return _LEVELS[mode]


def stage1_format(satp: int) -> TableFormat:
    """What this value of satp or vsatp names. ValueError if it is none of Sv39, Sv48, Sv57."""
    levels = _levels("satp", satp)
    name = f"RISC-V Sv{PAGE_BITS + 9 * levels}"
    return TableFormat(name, levels, _decode_guest, _VALID, sign_extends=True)


def stage2_format(hgatp: int) -> TableFormat:
    """What this value of hgatp names. ValueError if it is none of Sv39x4, Sv48x4, Sv57x4."""
    levels = _levels("hgatp", hgatp)
    name = f"RISC-V Sv{PAGE_BITS + 9 * levels}x4"
    return TableFormat(name, levels, _decode_nested, _VALID, root_bits=11)


def _root_of(register: int) -> int:
    """PPN of satp, vsatp or hgatp, without MODE and ASID or VMID (4.1.11, 8.2.10)."""
    return (register & _FRAME_NUMBER) << PAGE_BITS


_HFENCE_GVMA = 0x6200_0073
"""For all addresses and VMIDs; a guest may not execute it (8.3.2)."""

# RISC-V privileged architecture: 8.3.2 HFENCE.GVMA; unprivileged: 2.7 FENCE, whose
# predecessor set is PI PO PR PW in bits 27 to 24, its successor set SI SO SR SW in 23 to 20.
#
# A remote fence is seen where it is executed: by OpenSBI, on each hart.
_TRACES = Traces(
    instructions=(
        Instruction("HFENCE.GVMA", 0xFE00_7FFF, _HFENCE_GVMA, partial(Invalidate, orders=True)),
        Instruction("FENCE W,W", 0x0110_707F, 0x0110_000F, Barrier),
        Instruction("ECALL", 0xFFFF_FFFF, 0x0000_0073, Kick),
    ),
)

ARCH = Arch(
    name="riscv64",
    qemu="qemu-system-riscv64",
    qemu_package="qemu-system-misc",
    machine_args=(
        "-M",
        "virt",
        "-cpu",
        "rv64,h=true",
        "-bios",
        "default",
        "-device",
        "pvpanic-pci,addr=1",
    ),
    icount=True,
    ram_base=HPA(0x8000_0000),
    # MODE as guest.S and the hypervisor set it: Sv39 and Sv39x4.
    stage1=stage1_format(8 << 60),
    stage2=stage2_format(8 << 60),
    accessed_dirty=_ACCESSED | _DIRTY,
    root_of=_root_of,
    stage1_root="vms[{vm}].vcpus[{vcpu}].arch.vsatp",
    stage2_root="vms[{vm}].vcpus[{vcpu}].arch.hgatp",
    program_counter="vms[{vm}].vcpus[{vcpu}].arch.pc",
    gdb_architecture="riscv:rv64",
    spare_register="s2",
    remap_goal=600,
    bios="opensbi-riscv64-generic-fw_dynamic.bin",
    bios_package="qemu-system-data",
    way_out=WayOut(r"\bV +=  +1\b", _HFENCE_GVMA),
    traces=_TRACES,
)
