"""One address through one stage, in tables written by hand."""

import pytest
from tests.unit.handmade import NX, OPEN, PS, Handmade, P, U, W

from pageferry import arch
from pageferry.address import HPA
from pageferry.errors import MemoryUnreadable
from pageferry.memory import FakeMemory
from pageferry.paging import Kind, Rights, TableFormat, walk
from pageferry.tables import Entry

X86 = arch.get("x86_64")
READ_WRITE = Rights.READ | Rights.WRITE

# Bits 47:39 are 1, 38:30 are 2, 29:21 are 3, 20:12 are 4, and the offset is 0x567.
ADDRESS = 0x0000_0080_8060_4567


@pytest.fixture
def made() -> Handmade:
    return Handmade()


@pytest.fixture
def root(made: Handmade) -> HPA:
    return made.table()


@pytest.mark.parametrize(
    ("level", "page", "output"),
    [
        pytest.param(0, 0x1_2345_6000, 0x1_2345_6567, id="4 KiB"),
        pytest.param(1, 0x1_2340_0000, 0x1_2340_4567, id="2 MiB"),
        pytest.param(2, 0x1_4000_0000, 0x1_4060_4567, id="1 GiB"),
    ],
)
def test_a_leaf_of_each_size_keeps_the_offset(
    made: Handmade, root: HPA, level: int, page: int, output: int
) -> None:
    made.map(root, ADDRESS, page, level=level)
    assert walk(made.memory, X86.stage2, root, ADDRESS).output == output


@pytest.mark.parametrize(("level", "size"), [(0, 0x1000), (1, 0x20_0000), (2, 0x4000_0000)])
def test_a_translation_knows_the_size_of_its_leaf(
    made: Handmade, root: HPA, level: int, size: int
) -> None:
    made.map(root, ADDRESS, 0x1_4000_0000, level=level)
    assert walk(made.memory, X86.stage2, root, ADDRESS).size == size


def test_every_entry_on_the_way_is_kept(made: Handmade, root: HPA) -> None:
    lowest = made.map(root, ADDRESS, 0x7_7000)
    steps = walk(made.memory, X86.stage2, root, ADDRESS).steps
    assert [(step.level, step.index, step.kind) for step in steps] == [
        (3, 1, Kind.TABLE),
        (2, 2, Kind.TABLE),
        (1, 3, Kind.TABLE),
        (0, 4, Kind.LEAF),
    ]
    assert (steps[0].table, steps[3].table) == (root, lowest)


def test_a_step_shows_the_entry_as_it_is_in_memory(made: Handmade, root: HPA) -> None:
    lowest = made.map(root, ADDRESS, 0x7_7000, P | W | U | NX | 0x60)
    last = walk(made.memory, X86.stage2, root, ADDRESS).steps[-1]
    assert (last.raw, last.address) == (0x7_7000 | NX | 0x67, lowest + 4 * 8)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_walk_of_an_absent_entry_names_the_level(made: Handmade, root: HPA, level: int) -> None:
    made.map(root, ADDRESS, 0x7_7000)
    table = walk(made.memory, X86.stage2, root, ADDRESS).steps[3 - level].table
    made.put(table, 4 - level, OPEN & ~P)
    found = walk(made.memory, X86.stage2, root, ADDRESS)
    assert (found.kind, found.level, found.output) == (Kind.ABSENT, level, None)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_an_entry_with_a_reserved_bit_is_malformed_and_not_absent(
    made: Handmade, root: HPA, level: int
) -> None:
    made.map(root, ADDRESS, 0x7_7000)
    step = walk(made.memory, X86.stage2, root, ADDRESS).steps[3 - level]
    made.put(step.table, step.index, step.raw | 1 << 40)
    found = walk(made.memory, X86.stage2, root, ADDRESS)
    assert (found.kind, found.level, found.output) == (Kind.MALFORMED, level, None)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("withheld", "rights"),
    [
        (W, Rights.READ | Rights.EXECUTE),
        (NX, Rights.READ | Rights.WRITE),
        (U, Rights.NONE),
    ],
    ids=["W", "NX", "U"],
)
def test_what_one_level_withholds_the_whole_translation_withholds(
    made: Handmade, root: HPA, level: int, withheld: int, rights: Rights
) -> None:
    made.map(root, ADDRESS, 0x7_7000)
    step = walk(made.memory, X86.stage2, root, ADDRESS).steps[3 - level]
    made.put(step.table, step.index, step.raw ^ withheld)
    assert walk(made.memory, X86.stage2, root, ADDRESS).rights == rights


def test_the_level_that_withholds_a_right_is_named(made: Handmade, root: HPA) -> None:
    made.map(root, ADDRESS, 0x7_7000)
    step = walk(made.memory, X86.stage2, root, ADDRESS).steps[2]
    made.put(step.table, step.index, step.raw & ~W)
    found = walk(made.memory, X86.stage2, root, ADDRESS)
    assert (found.denied_at(Rights.WRITE), found.denied_at(Rights.READ)) == (1, None)


@pytest.mark.parametrize("address", [1 << 47, 0xFFFF_0000_0000_0000, 1 << 48, -1])
def test_a_guests_address_that_is_not_canonical_reads_no_entry(
    made: Handmade, root: HPA, address: int
) -> None:
    found = walk(made.memory, X86.stage1, root, address)
    assert (found.kind, found.steps, found.output) == (Kind.BEYOND, (), None)


def test_the_upper_half_is_translated_by_the_upper_entries(made: Handmade, root: HPA) -> None:
    made.map(root, 0xFFFF_8000_0000_1000 & (1 << 48) - 1, 0x7_7000)
    assert walk(made.memory, X86.stage1, root, 0xFFFF_8000_0000_1008).output == 0x7_7008


def test_a_guest_physical_address_has_no_sign(made: Handmade, root: HPA) -> None:
    made.map(root, 1 << 47, 0x7_7000)
    assert walk(made.memory, X86.stage2, root, 1 << 47).output == 0x7_7000


def test_a_guest_physical_address_past_the_width_reads_no_entry(made: Handmade, root: HPA) -> None:
    made.map(root, 0, 0x7_7000)
    assert walk(made.memory, X86.stage2, root, 1 << 48).kind is Kind.BEYOND


def test_a_table_that_cannot_be_read_is_not_an_absent_entry(made: Handmade, root: HPA) -> None:
    made.put(root, 1, 0x66_6000 | OPEN)
    with pytest.raises(MemoryUnreadable, match="no 8 bytes at 0x666010"):
        walk(made.memory, X86.stage2, root, ADDRESS)


def test_a_table_that_contains_itself_ends_the_walk_at_the_leaf(made: Handmade, root: HPA) -> None:
    made.put(root, 0x1FF, root | OPEN)
    found = walk(made.memory, X86.stage1, root, 0xFFFF_FFFF_FFFF_FFF8)
    assert (found.level, found.output) == (0, root + 0xFF8)


def test_a_root_that_is_not_page_aligned_is_a_mistake_of_the_caller(
    made: Handmade, root: HPA
) -> None:
    with pytest.raises(ValueError, match="no table of x86-64 nested"):
        walk(made.memory, X86.stage2, HPA(root + 0x18), ADDRESS)


def test_a_large_entry_at_the_root_is_malformed(made: Handmade, root: HPA) -> None:
    made.put(root, 1, OPEN | PS)
    assert walk(made.memory, X86.stage2, root, ADDRESS).kind is Kind.MALFORMED


# Another machine's tables, described in three lines: two levels of nine bits under a
# root of eleven, as Sv39x4 has it (RISC-V privileged architecture, "Guest-Page Faults").


def decode_toy(raw: int, level: int) -> Entry:
    """Bit 0: valid, bit 1: leaf."""
    kind = Kind.LEAF if raw & 2 else Kind.TABLE
    return Entry(kind, raw & ~0xFFF, Rights.ALL)


WIDE_ROOT = TableFormat("toy", levels=3, decode=decode_toy, root_bits=11)


def test_a_wide_root_is_indexed_by_all_of_its_bits() -> None:
    memory = FakeMemory()
    memory.write(HPA(0x8000), bytes(0x4000))
    memory.write(HPA(0x8000 + 8 * 0x5A5), (0x4000_0000 | 3).to_bytes(8, "little"))
    found = walk(memory, WIDE_ROOT, HPA(0x8000), 0x5A5 << 30 | 0x1234)
    assert (found.steps[0].index, found.output) == (0x5A5, 0x4000_1234)


def test_a_wide_root_makes_the_address_wider() -> None:
    memory = FakeMemory()
    memory.write(HPA(0x8000), bytes(0x4000))
    kinds = [walk(memory, WIDE_ROOT, HPA(0x8000), 1 << bit).kind for bit in (40, 41)]
    assert kinds == [Kind.ABSENT, Kind.BEYOND]
