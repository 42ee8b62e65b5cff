"""What an entry for a page of a guest says beside its frame and the guest's rights.

Every CPU must come to the same with it, whatever of the architecture it has: memory that is
cached as usual and coherent, and nothing that some CPUs would first have to write there.
"""

from collections.abc import Callable


def of_x86_64(entry: int) -> bool:
    """APM 2, 5.3: U; neither PWT, PCD nor PAT."""
    return entry & 0x9C == 0x04


def of_aarch64(entry: int) -> bool:
    """DDI 0487, D8.3: AF; inner shareable; write-back, with FEAT_S2FWB and without; XN is of
    EL1 and EL0 alike."""
    return (
        entry >> 8 & 7 == 0b111
        and entry >> 2 & 15 in (0b1111, 0b0110)
        and entry >> 53 & 3 in (0b00, 0b10)
    )


def of_riscv64(entry: int) -> bool:
    """Privileged architecture, 4.4.1: D, A, U; neither N nor PBMT."""
    return entry & 0xD0 == 0xD0 and entry >> 61 == 0


USUAL: dict[str, Callable[[int], bool]] = {
    "x86_64": of_x86_64,
    "aarch64": of_aarch64,
    "riscv64": of_riscv64,
}
