"""x86-64: long-mode tables for the guest, the same format nested for the hypervisor.

AMD64 Architecture Programmer's Manual, volume 2 (APM): section 5.3 "Long-Mode Page
Translation" draws the entries, 15.25 "Nested Paging" says what differs.

     63 62       52 51        40 39                 12 11  9  8  7  6  5  4  3  2  1  0
    +--+-----------+------------+---------------------+-----+--+--+--+--+--+--+--+--+--+
    |NX| available |    zero    | next table or page  | avl |G |PS|D |A |  cache |U |W |P |
    +--+-----------+------------+---------------------+-----+--+--+--+--+--+--+--+--+--+

      level 3 (PML4E)   bits 8 and 7 must be zero
      level 2 (PDPE)    PS = 1: a 1 GiB page; bit 12 is PAT, bits 29:13 must be zero
      level 1 (PDE)     PS = 1: a 2 MiB page; bit 12 is PAT, bits 20:13 must be zero
      level 0 (PTE)     bit 7 is PAT

"Zero" above bit 39 because the CPU is one of 40 physical address bits. EFER.NXE is
taken as set in both stages, and stage-1 rights are the supervisor's with CR0.WP set.
"""

from __future__ import annotations

from ..address import HPA
from ..protocol import Flush, Kick
from ..tables import MALFORMED, Entry, Kind, Rights, TableFormat
from ..traces import ControlBlock, Device, Instruction, Traces
from . import Arch

_PRESENT = 1 << 0
_WRITE = 1 << 1
_USER = 1 << 2
_ACCESSED = 1 << 5
_DIRTY = 1 << 6
_PAGE_SIZE = 1 << 7
_NO_EXECUTE = 1 << 63

_ADDRESS = 0x000F_FFFF_FFFF_F000
"""Bits 51:12 (APM 2, 5.3.3 to 5.3.5), in an entry and in CR3 (5.3.2)."""

_PHYSICAL_BITS = 40
"""MAXPHYADDR of QEMU's `max` CPU: CPUID 8000_0008 EAX[7:0]."""

_BEYOND_PHYSICAL = _ADDRESS & ~((1 << _PHYSICAL_BITS) - 1)
_PAT_OF_LARGE = 1 << 12
_ROOT = 3
_ROOT_ZERO = 0x180
_LARGE_LEVELS = (1, 2)


_RIGHTS = {
    0: Rights.READ | Rights.EXECUTE,
    _WRITE: Rights.ALL,
    _NO_EXECUTE: Rights.READ,
    _WRITE | _NO_EXECUTE: Rights.READ | Rights.WRITE,
}


def _decode(raw: int, level: int) -> Entry:
    """One present entry of long mode (APM 2, 5.3.3 to 5.3.5)."""
    large = level in _LARGE_LEVELS and bool(raw & _PAGE_SIZE)
    zero = _BEYOND_PHYSICAL
    address = _ADDRESS
    if level == _ROOT:
        zero |= _ROOT_ZERO
    if large:
        below = (1 << (12 + 9 * level)) - 1
        zero |= _ADDRESS & below & ~_PAT_OF_LARGE
        address &= ~below
    if raw & zero:
        return MALFORMED
    kind = Kind.LEAF if large or level == 0 else Kind.TABLE
    return Entry(kind, raw & address, _RIGHTS[raw & (_WRITE | _NO_EXECUTE)])


def _decode_nested(raw: int, level: int) -> Entry:
    """The same of a nested table: every guest access is a user access (APM 2, 15.25)."""
    entry = _decode(raw, level)
    if raw & _USER:
        return entry
    return entry._replace(rights=Rights.NONE)


def _root_of(register: int) -> int:
    """CR3 or nCR3 without its cache and PCID bits (APM 2, 5.3.2)."""
    return register & _ADDRESS


_TRACES = Traces(
    # 0F 01 D8 (APM 3, VMRUN)
    instructions=(Instruction("VMRUN", mask=0xFF_FFFF, value=0xD8_010F, enters=True),),
    # The low half of the local APIC's interrupt command register (APM 2, 16.5): writing it
    # sends the interrupt.
    devices=(Device("ICR", HPA(0xFEE0_0300), Kick),),
    # The VMCB (APM 2, table B-1). VMRUN loads RAX from it (15.5.1), so that a hypervisor
    # writes it before each entry.
    control_block=ControlBlock(
        expression="vms[{vm}].vcpus[{vcpu}].arch.vmcb",
        tag=(0x058, 4),
        flush=(0x05C, 1),
        root=(0x0B0, 8),
        always_written=(0x5F8, 8),
        # TLB_CONTROL (APM 2, 15.16.1). What flushes this guest's translations only, 3 and 7,
        # is for CPUs with FlushByASID; QEMU's have not got it.
        flushes={0: Flush.NONE, 1: Flush.ALL},
    ),
    # Each invalidation begins a new generation of the VM's translations (vcpu.c, smp.c).
    invalidated_by="vms[{vm}].generation",
    stores_in_order=True,  # APM 2, 7.2
)


ARCH = Arch(
    name="x86_64",
    qemu="qemu-system-x86_64",
    qemu_package="qemu-system-x86",
    machine_args=(
        "-M",
        "microvm,isa-serial=on,pit=off,pic=off,rtc=off",
        "-cpu",
        "max,la57=off",
        "-device",
        "pvpanic",
    ),
    icount=True,
    icount_in_turns=True,
    ram_base=HPA(0),
    stage1=TableFormat("x86-64 long mode", 4, _decode, _PRESENT, sign_extends=True),
    # Walking the guest's tables counts as writing them (APM 2, 15.25): the CPU sets
    # their accessed bits.
    stage2=TableFormat(
        "x86-64 nested", 4, _decode_nested, _PRESENT, table_access=Rights.READ | Rights.WRITE
    ),
    accessed_dirty=_ACCESSED | _DIRTY,
    root_of=_root_of,
    stage1_root="vms[{vm}].vcpus[{vcpu}].arch.vmcb->save.cr3",
    stage2_root="vms[{vm}].vcpus[{vcpu}].arch.vmcb->control.n_cr3",
    program_counter="vms[{vm}].vcpus[{vcpu}].arch.vmcb->save.rip",
    gdb_architecture="i386:x86-64",
    spare_register="rbx",
    remap_goal=400,
    traces=_TRACES,
)
