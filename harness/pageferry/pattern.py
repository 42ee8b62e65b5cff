"""What the agent's FILL writes and its CHECKSUM computes, done again on bytes."""

from __future__ import annotations

from .address import PAGE_SIZE

FNV_OFFSET = 0xCBF2_9CE4_8422_2325
FNV_PRIME = 0x0000_0100_0000_01B3
"""FNV-1a, 64 bits (Fowler, Noll, Vo), with a 64-bit word instead of a byte a step."""

_WORD = 1 << 64


def checksum(page: bytes) -> int:
    """What the agent's CHECKSUM gives for these bytes (a multiple of 8)."""
    total = FNV_OFFSET
    for at in range(0, len(page), 8):
        total = (total ^ int.from_bytes(page[at : at + 8], "little")) * FNV_PRIME % _WORD
    return total


def fill_bytes(seed: int) -> bytes:
    """The page that the agent's FILL makes: 512 words, seed, seed + 1, ..."""
    return b"".join(((seed + i) % _WORD).to_bytes(8, "little") for i in range(PAGE_SIZE // 8))
