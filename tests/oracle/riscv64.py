"""RISC-V: Sv39 to Sv57 and the same x4 (privileged architecture, 4.3 to 4.6 and 8.5).

The emulator refuses guest-physical addresses whose highest bit is set: `limit` keeps below.
For the monitor, it lets the supervisor read what is the user's, as if SUM was set.
"""

from tests.oracle import Regime, Stage

from pageferry.arch import riscv64

U_BIT = 4
V, R, W, X, U, A, D = (1 << bit for bit in (0, 1, 2, 3, 4, 6, 7))

ATTRIBUTES = (*range(10), *range(54, 64))
FRAME_OF_A_LARGE_LEAF = (10, 11, 18, 19, 27)
FRAME_TOO_FAR = (50, 53)


def table(output: int) -> int:
    return output >> 2 | V


def leaf1(_: int, output: int) -> int:
    return output >> 2 | V | R | W | X | A | D


def leaf2(_: int, output: int) -> int:
    return output >> 2 | V | R | W | X | U | A | D


def regime(mode: int, levels: int) -> Regime:
    first, second = riscv64.stage1_format(mode << 60), riscv64.stage2_format(mode << 60)
    width = 12 + 9 * levels
    leaf_bits = ATTRIBUTES + FRAME_OF_A_LARGE_LEAF + FRAME_TOO_FAR
    return Regime(
        f"Sv{width} under Sv{width}x4",
        Stage(first, table, leaf1, ATTRIBUTES, leaf_bits, frozenset({U_BIT}), 1 << width),
        Stage(second, table, leaf2, ATTRIBUTES, leaf_bits, frozenset(), 1 << (width + 1)),
        lambda root1, root2: (mode << 60 | root1 >> 12, mode << 60 | 1 << 44 | root2 >> 12),
    )


REGIMES = (regime(8, 3), regime(9, 4), regime(10, 5))
