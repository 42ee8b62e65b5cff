"""How compilers make loads and stores that wait for others: instructions, by architecture.

Each function is given the code that lies before a store, `BEFORE` bytes of it, and the store.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.oracle.operands import Instruction, OfArch, of_none

BEFORE = 16

Test = Callable[[bytes, bytes], bool]


def word(code: bytes) -> int:
    """Its first 4 bytes, little-endian."""
    return int.from_bytes(code[:4], "little")


def any_word(code: bytes, step: int, mask: int, value: int) -> bool:
    """Whether a word of it is this instruction."""
    return any(word(code[at:]) & mask == value for at in range(0, len(code) - 3, step))


# x86-64 (APM 2, 7.1): stores are seen in their order; only a load can overtake a store, and
# not if the instruction is locked: XCHG with memory, or with prefix F0h.


def locked_x86_64(_: bytes, store: bytes) -> bool:
    rex = 0x40 <= store[0] <= 0x4F
    return store[0] == 0xF0 or store[int(rex)] in (0x86, 0x87)


def always(_: bytes, __: bytes) -> bool:
    return True


# AArch64 (DDI 0487, C6.2): STLR; LDAXR before STXR; SWPA, of FEAT_LSE


def releases_aarch64(_: bytes, store: bytes) -> bool:
    return word(store) & 0x3FFF_FC00 == 0x089F_FC00


def takes_aarch64(before: bytes, store: bytes) -> bool:
    exclusive = word(store) & 0x3FE0_7C00 == 0x0800_7C00
    swap = word(store) & 0x3FA0_FC00 == 0x38A0_8000
    return swap or (exclusive and any_word(before, 4, 0x3FFF_FC00, 0x085F_FC00))


# RISC-V (unprivileged, 2.7 and 8.4): FENCE RW,W before the store; AMOSWAP.W.AQ


def releases_riscv64(before: bytes, _: bytes) -> bool:
    return any_word(before, 2, 0x0310_707F, 0x0310_000F)


def takes_riscv64(_: bytes, store: bytes) -> bool:
    return word(store) & 0xFC00_707F == 0x0C00_202F


# Around a load: LDAR; FENCE R,RW after it


def acquires_aarch64(before: bytes, after: bytes) -> bool:
    return any_word(before + after, 4, 0x3FFF_FC00, 0x08DF_FC00)


def acquires_riscv64(_: bytes, after: bytes) -> bool:
    return any_word(after, 2, 0x0230_707F, 0x0230_000F)


@dataclass(frozen=True)
class Ordering:
    """Whether a store is one that ...

    takes      takes a lock: nobody else can between its load and its store, and nothing
               that comes later is done earlier
    releases   is seen after all that the CPU did before it
    acquires   (of a load) is done before all that the CPU does after it
    announces  is seen before the CPU loads anything else, where that is needed
    """

    takes: Test
    releases: Test
    acquires: Test
    announces: Test | None = None


ORDERING = {
    "x86_64": Ordering(locked_x86_64, always, always, locked_x86_64),
    "aarch64": Ordering(takes_aarch64, releases_aarch64, acquires_aarch64),
    "riscv64": Ordering(takes_riscv64, releases_riscv64, acquires_riscv64),
}


@dataclass(frozen=True)
class Asks(OfArch):
    """An instruction that asks the CPU, and the next one, after which the answer is there."""

    asks: Instruction
    settles: int


# AT S1E1R; ISB (DDI 0487, D8.10.6)
ASKS = [Asks("aarch64", Instruction(0xFFFF_FFE0, 0xD508_7800, of_none), 0xD503_3FDF)]


@dataclass(frozen=True)
class Handover(OfArch):
    """How a CPU gives one that it starts what that needs: stored, ordered, and then called."""

    given: str
    orders: Instruction
    calls: Instruction


# DSB SY, SMC; FENCE with W in both its sets, ECALL. An x86-64 CPU stores in order.
HANDOVERS = [
    Handover(
        "aarch64",
        "cpu_stack",
        Instruction(0xFFFF_FFFF, 0xD503_3F9F, of_none),
        Instruction(0xFFE0_001F, 0xD400_0003, of_none),
    ),
    Handover(
        "riscv64",
        "starting_stack",
        Instruction(0x0110_707F, 0x0110_000F, of_none),
        Instruction(0xFFFF_FFFF, 0x0000_0073, of_none),
    ),
]
