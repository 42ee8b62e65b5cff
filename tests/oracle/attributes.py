"""What an entry for a page of a guest says beside its frame and the guest's rights.

Every CPU must come to the same with it, whatever of the architecture it has: memory that is
cached as usual and coherent, and nothing that some CPUs would first have to write there.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.oracle.operands import OfArch


def of_x86_64(entry: int) -> bool:
    """APM 2, 5.3: U; neither PWT, PCD nor PAT."""
    return entry & 0x9C == 0x04


def of_aarch64(entry: int) -> bool:
    """DDI 0487, D8.3: AF; inner shareable; write-back, with FEAT_S2FWB and without; XN is of
    EL1 and EL0 alike; neither Contiguous nor DBM."""
    return (
        entry >> 8 & 15 == 0b0111
        and entry >> 51 & 3 == 0
        and entry >> 2 & 15 in (0b1111, 0b0110)
        and entry >> 53 & 3 in (0b00, 0b10)
    )


def of_riscv64(entry: int) -> bool:
    """Privileged architecture, 4.4.1: D, A, U; neither G, N nor PBMT."""
    return entry & 0xF0 == 0xD0 and entry >> 61 == 0


USUAL: dict[str, Callable[[int], bool]] = {
    "x86_64": of_x86_64,
    "aarch64": of_aarch64,
    "riscv64": of_riscv64,
}

TABLES = {
    "x86_64": (0xFFF0_0000_0000_0FDF, 0b111),  # U, W, P; the CPU sets A
    "aarch64": (0xFFFF_0000_0000_0FFF, 0b11),
    "riscv64": (0xFFC0_0000_0000_03FF, 0b1),  # V
}
"""Bits of an entry that leads to a table, and what they are to be: the rest is the frame."""


@dataclass(frozen=True)
class Mapped(OfArch):
    """An entry of the hypervisor's own tables: of a symbol, by its index, what is not its frame."""

    table: str
    index: int
    mask: int
    wanted: int


ARM, X86 = 0xFFFF_0000_0000_0FFF, 0xFFF0_0000_0000_0F9F

OWN = [
    Mapped("x86_64", "pd", 0, X86, 0x83),  # PS, W, P, but A and D, which the CPU sets
    # DDI 0487, D8.3: XN; AF, SH; AP 01; attribute 1 is a device's; a block
    Mapped("aarch64", "root", 0, ARM, 1 << 54 | 0x445),
    Mapped("aarch64", "blocks", 0, ARM, 1 << 54 | 0x741),
    Mapped("aarch64", "blocks", 1, ARM, 0x741),
    Mapped("aarch64", "blocks", 7, ARM, 1 << 54 | 0x741),
]
"""On RISC-V the hypervisor has none."""
