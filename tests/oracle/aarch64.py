"""AArch64: EL1 and stage 2, 4 KiB granule (DDI 0487, D8.3; TCR_EL1, VTCR_EL2).

For the monitor, the emulator takes the access flag as set; an entry of a table that is
changed into a block's has none.
"""

from tests.oracle import Regime, Stage

from pageferry.arch import aarch64
from pageferry.tables import TableFormat

TABLE_BIT, AF_BIT = 1, 10
AF, NORMAL_OUTER_INNER = 1 << AF_BIT, 0b1111 << 2
READ_WRITE = 0b11 << 6
VMID = 1 << 48

OUTPUT_BITS = 44
ATTRIBUTES = (*range(12), *range(48, 64))
BEYOND_THE_OUTPUT_SIZE = tuple(range(OUTPUT_BITS, 48))
RES0_OF_A_BLOCK = (12, 16, 17, 20)

IPS_44 = 0b100 << 32
HA, HD, HPD0, HPD1 = 1 << 39, 1 << 40, 1 << 41, 1 << 42
TG1_4K = 0b10 << 30

VTCR_44_OUT = 1 << 31 | 0b100 << 16
VTCR_HA, VTCR_HD = 1 << 21, 1 << 22


def tcr(width: int, more: int = 0) -> int:
    """Both halves alike."""
    size = 64 - width
    return size << 16 | size | TG1_4K | IPS_44 | more


def vtcr(width: int, start: int, more: int = 0) -> int:
    return VTCR_44_OUT | start << 6 | (64 - width) | more


def table(output: int) -> int:
    return output | 0b11


def leaf1(level: int, output: int) -> int:
    return output | AF | (0b01 if level else 0b11)


def leaf2(level: int, output: int) -> int:
    return output | AF | READ_WRITE | NORMAL_OUTER_INNER | (0b01 if level else 0b11)


def stage(fmt: TableFormat, first: bool) -> Stage:
    return Stage(
        fmt,
        table,
        leaf1 if first else leaf2,
        table_bits=ATTRIBUTES + BEYOND_THE_OUTPUT_SIZE,
        leaf_bits=ATTRIBUTES + BEYOND_THE_OUTPUT_SIZE + RES0_OF_A_BLOCK,
        overlooked=frozenset({AF_BIT, TABLE_BIT}),
        limit=1 << (fmt.width if first else min(fmt.width, OUTPUT_BITS)),
    )


def regime(name: str, first: int, second: int, upper_half: bool = False) -> Regime:
    return Regime(
        name,
        stage(aarch64.stage1_format(first, upper_half), True),
        stage(aarch64.stage2_format(second), False),
        lambda root1, root2: (first, root1, second, root2 | VMID),
    )


REGIMES = (
    regime("39 bits twice", tcr(39), vtcr(39, 1)),
    regime("48 bits, 40 bits under 2 tables", tcr(48), vtcr(40, 1)),
    regime("upper half", tcr(39), vtcr(39, 1), upper_half=True),
    regime("36 bits, 43 bits under 16 tables", tcr(36), vtcr(43, 1)),
    regime("42 bits under a short root twice", tcr(42), vtcr(42, 2)),
    regime(
        "the CPU sets AF and the dirty state, tables bind nothing",
        tcr(48, HA | HD | HPD0 | HPD1),
        vtcr(39, 1, VTCR_HA | VTCR_HD),
    ),
)
