"""The descriptor of RISC-V, against the bits that the privileged architecture draws.

Sections 4.3 to 4.6 have the entries of Sv39, Sv48 and Sv57, 8.5 what the second stage adds.
"""

import pytest

from pageferry import arch
from pageferry.arch.riscv64 import stage1_format, stage2_format
from pageferry.paging import Kind, Rights
from pageferry.tables import TableFormat

RISCV = arch.get("riscv64")
STAGE1, STAGE2 = RISCV.stage1, RISCV.stage2
STAGES = pytest.mark.parametrize("fmt", [STAGE1, STAGE2], ids=lambda fmt: fmt.name)

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
RSW = 3 << 8
RESERVED = set(range(54, 64))
"""60:54, PBMT (62:61) and N (63): this CPU has neither Svpbmt nor Svnapot (4.4.1)."""


def leaf(fmt: TableFormat, permissions: int = R | W | X) -> int:
    """An entry of a page for whom the stage is made: the supervisor, or every guest."""
    return V | permissions | A | D | (U if fmt is STAGE2 else 0)


def test_the_cpu_of_riscv64_sets_the_accessed_and_the_dirty_bit() -> None:
    assert RISCV.accessed_dirty == A | D == 0xC0


def test_a_root_register_gives_its_table_without_mode_and_asid() -> None:
    assert RISCV.root_of(8 << 60 | 0xABCD << 44 | 0x8_0200) == 0x8020_0000


# What an entry is (4.3.2)


@STAGES
@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_an_entry_that_is_not_valid_is_absent_whatever_else_it_says(
    fmt: TableFormat, level: int
) -> None:
    assert fmt.entry(2**64 - 2, level).kind is Kind.ABSENT


@STAGES
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_an_entry_without_r_w_and_x_names_a_table(fmt: TableFormat, level: int) -> None:
    entry = fmt.entry(0x8_0201 << 10 | V, level)
    assert (entry.kind, entry.output, entry.rights) == (Kind.TABLE, 0x8020_1000, Rights.ALL)


@STAGES
def test_there_is_no_table_below_the_lowest_level(fmt: TableFormat) -> None:
    assert fmt.entry(0x8_0201 << 10 | V, 0).kind is Kind.MALFORMED


@STAGES
@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_an_entry_with_r_is_a_leaf_at_every_level(fmt: TableFormat, level: int) -> None:
    assert fmt.entry(leaf(fmt), level).kind is Kind.LEAF


@STAGES
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("more", [0, X], ids=["W", "WX"])
def test_an_entry_with_w_and_without_r_is_malformed(
    fmt: TableFormat, level: int, more: int
) -> None:
    assert fmt.entry(leaf(fmt, W | more), level).kind is Kind.MALFORMED


@STAGES
def test_exactly_the_reserved_bits_make_a_page_malformed(fmt: TableFormat) -> None:
    changeable = set(range(4, 64))
    malformed = {
        bit for bit in changeable if fmt.entry(leaf(fmt) ^ 1 << bit, 0).kind is Kind.MALFORMED
    }
    assert malformed == RESERVED


@STAGES
@pytest.mark.parametrize("level", [1, 2])
def test_exactly_reserved_bits_and_d_a_u_make_an_entry_of_a_table_malformed(
    fmt: TableFormat, level: int
) -> None:
    changeable = set(range(4, 64))
    malformed = {bit for bit in changeable if fmt.entry(V ^ 1 << bit, level).kind is Kind.MALFORMED}
    assert malformed == RESERVED | {4, 6, 7}


@STAGES
@pytest.mark.parametrize(("level", "aligned"), [(1, 19), (2, 28), (3, 37)])
def test_exactly_a_misaligned_frame_makes_a_large_leaf_malformed(
    fmt: TableFormat, level: int, aligned: int
) -> None:
    malformed = {
        bit
        for bit in range(10, 54)
        if fmt.entry(leaf(fmt) | 1 << bit, level).kind is Kind.MALFORMED
    }
    assert malformed == set(range(10, aligned))


@STAGES
def test_a_frame_number_has_44_bits(fmt: TableFormat) -> None:
    raw = (1 << 44) - 1 << 10 | leaf(fmt)
    assert fmt.entry(raw, 0).output == 0xFF_FFFF_FFFF_F000


# What it permits (table 4.5)


@STAGES
@pytest.mark.parametrize(
    ("permissions", "rights"),
    [
        (R, Rights.READ),
        (R | W, Rights.READ | Rights.WRITE),
        (X, Rights.EXECUTE),
        (R | X, Rights.READ | Rights.EXECUTE),
        (R | W | X, Rights.ALL),
    ],
)
def test_a_leaf_permits_by_r_w_and_x(fmt: TableFormat, permissions: int, rights: Rights) -> None:
    assert fmt.entry(leaf(fmt, permissions), 0).rights == rights


def test_a_page_of_the_guests_user_is_nothing_to_its_kernel() -> None:
    entry = STAGE1.entry(7 << 10 | leaf(STAGE1) | U, 0)
    assert (entry.kind, entry.output, entry.rights) == (Kind.LEAF, 0x7000, Rights.NONE)


def test_every_guest_is_a_user_to_the_second_stage() -> None:
    entry = STAGE2.entry(7 << 10 | leaf(STAGE2) & ~U, 0)
    assert (entry.kind, entry.output, entry.rights) == (Kind.LEAF, 0x7000, Rights.NONE)


@STAGES
@pytest.mark.parametrize("bits", [G, RSW, A, D, A | D])
def test_what_is_left_to_others_means_nothing_to_a_leaf(fmt: TableFormat, bits: int) -> None:
    assert fmt.entry(leaf(fmt) ^ bits, 0) == fmt.entry(leaf(fmt), 0)


# What the registers say (4.1.11, 8.2.10)


@pytest.mark.parametrize(
    ("mode", "levels", "width"), [(8, 3, 39), (9, 4, 48), (10, 5, 57)], ids=["39", "48", "57"]
)
def test_mode_says_how_many_levels_there_are(mode: int, levels: int, width: int) -> None:
    first, second = stage1_format(mode << 60), stage2_format(mode << 60)
    assert (first.levels, first.width, first.name) == (levels, width, f"RISC-V Sv{width}")
    assert (second.levels, second.width, second.name) == (
        levels,
        width + 2,
        f"RISC-V Sv{width}x4",
    )


def test_the_root_of_the_second_stage_has_16_kib() -> None:
    assert [STAGE2.table_size(level) for level in (2, 1, 0)] == [0x4000, 0x1000, 0x1000]


def test_only_the_guests_own_addresses_have_a_sign() -> None:
    assert (STAGE1.sign_extends, STAGE2.sign_extends) == (True, False)


@pytest.mark.parametrize("mode", [0, 1, 7, 11, 15])
def test_a_mode_without_tables_known_here_is_refused_by_its_name(mode: int) -> None:
    with pytest.raises(ValueError, match=rf"^satp\.MODE is {mode}:"):
        stage1_format(mode << 60 | 0x8_0000)
    with pytest.raises(ValueError, match=rf"^hgatp\.MODE is {mode}:"):
        stage2_format(mode << 60 | 0x8_0000)
