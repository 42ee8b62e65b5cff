"""The descriptor of AArch64, against the bits that DDI 0487 draws.

D8.3 has the entries, D8.4 what they permit. Levels are Pageferry's: 0 is Arm's 3.
"""

import pytest

from pageferry import arch
from pageferry.arch.aarch64 import stage1_format, stage2_format
from pageferry.paging import Kind, Rights
from pageferry.tables import TableFormat

ARM = arch.get("aarch64")
READ_WRITE = Rights.READ | Rights.WRITE
READ_EXECUTE = Rights.READ | Rights.EXECUTE

# TCR_EL1: T0SZ 5:0, EPD0 7, TG0 15:14, T1SZ 21:16, EPD1 23, TG1 31:30, IPS 34:32,
#          HA 39, HD 40, HPD0 41, HPD1 42, DS 59.
# VTCR_EL2: T0SZ 5:0, SL0 7:6, TG0 15:14, PS 18:16, HA 21, HD 22, DS 32.
TCR = 25 | 25 << 16 | 0b10 << 30 | 0b010 << 32
VTCR = 25 | 1 << 6 | 0b010 << 16
TCR_HA, TCR_HD, VTCR_HA, VTCR_HD = 1 << 39, 1 << 40, 1 << 21, 1 << 22

STAGE1, STAGE2 = stage1_format(TCR), stage2_format(VTCR)
STAGES = pytest.mark.parametrize("fmt", [STAGE1, STAGE2], ids=lambda fmt: fmt.name)

BLOCK, TABLE, PAGE = 0b01, 0b11, 0b11
AF = 1 << 10
PAGE1 = PAGE | AF
S2_READ, S2_WRITE = 1 << 6, 1 << 7
PAGE2 = PAGE | AF | S2_READ | S2_WRITE
USER, READ_ONLY = 1 << 6, 1 << 7
DBM, PXN, UXN = 1 << 51, 1 << 53, 1 << 54
PXN_TABLE, UXN_TABLE, NOT_USER_TABLE, READ_ONLY_TABLE, NS_TABLE = (1 << n for n in range(59, 64))


def test_the_guest_and_the_hypervisor_translate_39_bits_in_3_levels() -> None:
    assert [(fmt.levels, fmt.width) for fmt in (ARM.stage1, ARM.stage2)] == [(3, 39), (3, 39)]


def test_the_cpu_sets_no_accessed_and_no_dirty_bit_unless_told_to() -> None:
    assert ARM.accessed_dirty == 0


def test_a_root_register_gives_its_table_without_asid_and_cnp() -> None:
    assert ARM.root_of(0xABCD_1234_5678_9001) == 0x1234_5678_9000


# What an entry is (D8.3)


@STAGES
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_an_entry_that_is_not_valid_is_absent_whatever_else_it_says(
    fmt: TableFormat, level: int
) -> None:
    assert fmt.entry(2**64 - 2, level).kind is Kind.ABSENT


@STAGES
@pytest.mark.parametrize("level", [1, 2, 3])
def test_bit_1_makes_a_table_above_the_lowest_level(fmt: TableFormat, level: int) -> None:
    assert fmt.entry(0x7000 | TABLE, level).kind is Kind.TABLE


@STAGES
def test_bit_1_makes_a_page_at_the_lowest_level(fmt: TableFormat) -> None:
    assert fmt.entry(0x7000 | PAGE, 0).kind is Kind.LEAF


@STAGES
@pytest.mark.parametrize("level", [1, 2])
def test_an_entry_without_bit_1_is_a_block(fmt: TableFormat, level: int) -> None:
    assert fmt.entry(0x40000000 | BLOCK, level).kind is Kind.LEAF


@STAGES
def test_a_page_without_bit_1_is_malformed(fmt: TableFormat) -> None:
    assert fmt.entry(0x7000 | BLOCK, 0).kind is Kind.MALFORMED


@STAGES
def test_a_block_of_512_gib_is_malformed(fmt: TableFormat) -> None:
    assert fmt.entry(BLOCK, 3).kind is Kind.MALFORMED


@STAGES
@pytest.mark.parametrize(
    ("level", "entry"),
    [(3, TABLE), (2, TABLE), (1, TABLE), (2, BLOCK), (1, BLOCK), (0, PAGE)],
)
def test_exactly_an_address_past_the_output_size_makes_an_entry_malformed(
    fmt: TableFormat, level: int, entry: int
) -> None:
    malformed = {
        bit for bit in range(2, 64) if fmt.entry(entry ^ 1 << bit, level).kind is Kind.MALFORMED
    }
    assert malformed == set(range(40, 48))


OUTPUT_SIZES = [(0, 32), (1, 36), (2, 40), (3, 42), (4, 44), (5, 48), (6, 48), (7, 48)]


@pytest.mark.parametrize(("code", "bits"), OUTPUT_SIZES)
def test_the_output_size_of_stage_1_is_ips(code: int, bits: int) -> None:
    fmt = stage1_format(TCR & ~(7 << 32) | code << 32)
    kinds = {bit: fmt.entry(1 << bit | PAGE1, 0).kind for bit in range(12, 48)}
    assert [bit for bit in kinds if kinds[bit] is Kind.MALFORMED] == list(range(bits, 48))


@pytest.mark.parametrize(("code", "bits"), OUTPUT_SIZES)
def test_the_output_size_of_stage_2_is_ps(code: int, bits: int) -> None:
    fmt = stage2_format(VTCR & ~(7 << 16) | code << 16)
    kinds = {bit: fmt.entry(1 << bit | PAGE2, 0).kind for bit in range(12, 48)}
    assert [bit for bit in kinds if kinds[bit] is Kind.MALFORMED] == list(range(bits, 48))


@STAGES
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_an_entry_names_a_frame_by_bits_12_to_39(fmt: TableFormat, level: int) -> None:
    raw = 0xFFFF_00FF_FFFF_FFFF
    assert fmt.entry(raw, level).output == 0xFF_FFFF_F000


@STAGES
@pytest.mark.parametrize(("level", "block"), [(1, 0xAB_CDE0_0000), (2, 0xAB_C000_0000)])
def test_the_bits_below_the_address_of_a_block_are_ignored(
    fmt: TableFormat, level: int, block: int
) -> None:
    low = (1 << (12 + 9 * level)) - 0x1000
    assert fmt.entry(block | low | BLOCK, level).output == block


# What stage 1 permits EL1 (D8.4)


@pytest.mark.parametrize(
    ("permissions", "rights"),
    [
        (0, Rights.ALL),
        (USER, READ_WRITE),
        (READ_ONLY, READ_EXECUTE),
        (READ_ONLY | USER, READ_EXECUTE),
        (PXN, READ_WRITE),
        (UXN, Rights.ALL),
        (PXN | READ_ONLY, Rights.READ),
        (PXN | USER, READ_WRITE),
    ],
)
def test_a_leaf_of_stage_1_permits_by_ap_and_pxn(permissions: int, rights: Rights) -> None:
    assert STAGE1.entry(0x7000 | PAGE1 | permissions, 0).rights == rights


@STAGES
def test_a_leaf_without_the_access_flag_permits_nothing(fmt: TableFormat) -> None:
    entry = fmt.entry(0x7000 | PAGE2 & ~AF, 0)
    assert (entry.kind, entry.output, entry.rights) == (Kind.LEAF, 0x7000, Rights.NONE)


@pytest.mark.parametrize(
    ("fmt", "page"),
    [(stage1_format(TCR | TCR_HA), PAGE1), (stage2_format(VTCR | VTCR_HA), PAGE2)],
)
def test_a_leaf_needs_no_access_flag_if_the_cpu_sets_it(fmt: TableFormat, page: int) -> None:
    assert fmt.entry(0x7000 | page & ~AF, 0).rights == Rights.ALL


@pytest.mark.parametrize(
    ("fmt", "read_only"),
    [
        (stage1_format(TCR | TCR_HA | TCR_HD), PAGE1 | READ_ONLY),
        (stage2_format(VTCR | VTCR_HA | VTCR_HD), PAGE2 & ~S2_WRITE),
    ],
)
def test_a_page_with_dbm_is_writable_if_the_cpu_keeps_the_dirty_state(
    fmt: TableFormat, read_only: int
) -> None:
    rights = [fmt.entry(0x7000 | read_only | more, 0).rights for more in (0, DBM)]
    assert rights == [READ_EXECUTE, Rights.ALL]


@pytest.mark.parametrize(
    ("fmt", "read_only"),
    [
        (STAGE1, PAGE1 | READ_ONLY),
        (stage1_format(TCR | TCR_HA), PAGE1 | READ_ONLY),
        (stage1_format(TCR | TCR_HD), PAGE1 | READ_ONLY),
        (STAGE2, PAGE2 & ~S2_WRITE),
        (stage2_format(VTCR | VTCR_HA), PAGE2 & ~S2_WRITE),
        (stage2_format(VTCR | VTCR_HD), PAGE2 & ~S2_WRITE),
    ],
)
def test_dbm_means_nothing_otherwise(fmt: TableFormat, read_only: int) -> None:
    assert fmt.entry(0x7000 | read_only | DBM, 0).rights == READ_EXECUTE


@pytest.mark.parametrize(
    ("bits", "rights"),
    [
        (PXN_TABLE, READ_WRITE),
        (UXN_TABLE, Rights.ALL),
        (NOT_USER_TABLE, Rights.ALL),
        (READ_ONLY_TABLE, READ_EXECUTE),
        (NS_TABLE, Rights.ALL),
        (PXN_TABLE | READ_ONLY_TABLE, Rights.READ),
    ],
)
def test_a_table_of_stage_1_binds_what_is_below(bits: int, rights: Rights) -> None:
    assert STAGE1.entry(0x7000 | TABLE | bits, 1).rights == rights


@pytest.mark.parametrize(("upper_half", "disable"), [(False, 1 << 41), (True, 1 << 42)])
def test_a_table_of_stage_1_binds_nothing_if_that_is_disabled(
    upper_half: bool, disable: int
) -> None:
    binding = TABLE | PXN_TABLE | READ_ONLY_TABLE
    tcrs = TCR, TCR | disable
    formats = [stage1_format(tcr, upper_half) for tcr in tcrs]
    assert [fmt.entry(binding, 1).rights for fmt in formats] == [Rights.READ, Rights.ALL]
    assert [bool(fmt.inherited) for fmt in formats] == [True, False]


# What stage 2 permits EL1 (D8.4, FEAT_XNX)


@pytest.mark.parametrize(
    ("s2ap", "rights"),
    [
        (0, Rights.EXECUTE),
        (S2_READ, READ_EXECUTE),
        (S2_WRITE, Rights.WRITE | Rights.EXECUTE),
        (S2_READ | S2_WRITE, Rights.ALL),
    ],
)
def test_a_leaf_of_stage_2_permits_by_s2ap(s2ap: int, rights: Rights) -> None:
    assert STAGE2.entry(0x7000 | PAGE | AF | s2ap, 0).rights == rights


@pytest.mark.parametrize(
    ("xn", "rights"),
    [(0b00, Rights.ALL), (0b01, READ_WRITE), (0b10, READ_WRITE), (0b11, Rights.ALL)],
)
def test_xn_of_stage_2_tells_apart_el1_and_el0(xn: int, rights: Rights) -> None:
    assert STAGE2.entry(0x7000 | PAGE2 | xn << 53, 0).rights == rights


def test_a_table_of_stage_2_binds_nothing() -> None:
    assert STAGE2.entry(0x7000 | TABLE | 0xFFF << 52, 1).rights == Rights.ALL


@pytest.mark.parametrize(
    ("fmt", "leaf", "meaning"),
    [
        (STAGE1, PAGE1, {0, 1, 6, 7, 10, 53, *range(12, 48)}),
        (STAGE2, PAGE2, {0, 1, 6, 7, 10, 53, 54, *range(12, 48)}),
    ],
)
def test_exactly_these_bits_of_a_page_mean_something(
    fmt: TableFormat, leaf: int, meaning: set[int]
) -> None:
    found = {bit for bit in range(64) if fmt.entry(leaf ^ 1 << bit, 0) != fmt.entry(leaf, 0)}
    assert found == meaning


# What the registers say


@pytest.mark.parametrize(
    ("size", "levels", "root_bits"),
    [(16, 4, 9), (24, 4, 1), (25, 3, 9), (28, 3, 6), (33, 3, 1), (34, 2, 9), (48, 1, 4)],
)
def test_t0sz_says_how_many_levels_stage_1_has(size: int, levels: int, root_bits: int) -> None:
    fmt = stage1_format(TCR & ~0x3F | size)
    assert (fmt.levels, fmt.root_bits, fmt.width) == (levels, root_bits, 64 - size)


def test_the_upper_half_has_its_own_size() -> None:
    tcr = TCR & ~(0x3F << 16) | 16 << 16
    assert [stage1_format(tcr, upper_half).width for upper_half in (False, True)] == [39, 48]


@pytest.mark.parametrize(
    ("size", "start", "levels", "root_bits"),
    [(16, 2, 4, 9), (24, 2, 4, 1), (24, 1, 3, 10), (21, 1, 3, 13), (25, 1, 3, 9), (34, 0, 2, 9)],
)
def test_sl0_says_where_a_walk_of_stage_2_begins(
    size: int, start: int, levels: int, root_bits: int
) -> None:
    fmt = stage2_format(VTCR & ~0xFF | start << 6 | size)
    assert (fmt.levels, fmt.root_bits, fmt.width) == (levels, root_bits, 64 - size)


@pytest.mark.parametrize(
    ("tcr", "upper_half", "field"),
    [
        (TCR | 0b01 << 14, False, "TCR_EL1.TG0 is 0b1"),
        (TCR | 0b10 << 14, False, "TCR_EL1.TG0 is 0b10"),
        (TCR ^ 0b11 << 30, True, "TCR_EL1.TG1 is 0b1"),
        (TCR | 0b11 << 30, True, "TCR_EL1.TG1 is 0b11"),
        (TCR | 1 << 7, False, "TCR_EL1.EPD0"),
        (TCR | 1 << 23, True, "TCR_EL1.EPD1"),
        (TCR | 1 << 59, False, "DS"),
        (TCR & ~0x3F | 15, False, "TCR_EL1.T0SZ is 0b1111"),
        (TCR | 0x3F << 16, True, "TCR_EL1.T1SZ"),
    ],
)
def test_what_stage_1_cannot_be_is_refused_by_the_name_of_the_field(
    tcr: int, upper_half: bool, field: str
) -> None:
    with pytest.raises(ValueError, match=field):
        stage1_format(tcr, upper_half)


@pytest.mark.parametrize(
    ("vtcr", "field"),
    [
        (VTCR | 0b01 << 14, "VTCR_EL2.TG0 is 0b1"),
        (VTCR | 0b10 << 14, "VTCR_EL2.TG0 is 0b10"),
        (VTCR | 1 << 32, "DS"),
        (VTCR & ~0x3F, "VTCR_EL2.T0SZ is 0b0"),
        (VTCR & ~0x3F | 20, "VTCR_EL2.SL0 is 0b1: 3 levels do not translate 44 bits"),
        (VTCR | 0b11 << 6, "VTCR_EL2.SL0 is 0b11: 1 levels do not translate 39 bits"),
        (VTCR & ~0xFF | 2 << 6 | 25, "VTCR_EL2.SL0 is 0b10: 4 levels do not translate 39 bits"),
    ],
)
def test_what_stage_2_cannot_be_is_refused_by_the_name_of_the_field(vtcr: int, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        stage2_format(vtcr)
