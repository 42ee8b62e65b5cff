"""x86-64: long mode (AMD64 APM volume 2, 5.3).

Of the supervisor's own tables: the emulator walks no nested ones for the monitor, and
the program that tries accesses is no hypervisor.
"""

from tests.oracle import Regime, Stage

from pageferry import arch

P, W, U, PS = 1 << 0, 1 << 1, 1 << 2, 1 << 7

RESERVED = (7, 8, *range(40, 52))
RESERVED_IN_A_LARGE_PAGE = (12, 13, 20)
NO_EXECUTE = 63
OTHERS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 11, *range(52, 63))


def table(output: int) -> int:
    return output | P | W | U


def leaf(level: int, output: int) -> int:
    return output | P | W | U | (PS if level else 0)


LONG_MODE = Stage(
    arch.get("x86_64").stage1,
    table,
    leaf,
    table_bits=(*OTHERS, NO_EXECUTE, *RESERVED),
    leaf_bits=(*OTHERS, NO_EXECUTE, *RESERVED, *RESERVED_IN_A_LARGE_PAGE),
    overlooked=frozenset(RESERVED + RESERVED_IN_A_LARGE_PAGE),
    limit=1 << 48,
)

REGIMES = (Regime("long mode", LONG_MODE, None, lambda root, _: (root,)),)
