"""All that a table maps, against a dictionary of what was put into it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.handmade import NX, OPEN, Handmade, P, U, W
from tests.unit.test_paging_walk import WIDE_ROOT

from pageferry import arch
from pageferry.address import HPA
from pageferry.errors import HarnessError, MemoryUnreadable
from pageferry.memory import FakeMemory
from pageferry.paging import (
    Entry,
    Kind,
    Mapping,
    Rights,
    entries,
    leaves,
    pages,
    table_frames,
    walk,
)

X86 = arch.get("x86_64")
READ_ONLY = P | U | NX


@pytest.fixture
def made() -> Handmade:
    return Handmade()


@pytest.fixture
def root(made: Handmade) -> HPA:
    return made.table()


def test_an_empty_table_has_no_leaves(made: Handmade, root: HPA) -> None:
    assert leaves(made.memory, X86.stage2, root) == []


def test_a_leaf_is_listed_with_its_entry_and_rights(made: Handmade, root: HPA) -> None:
    made.map(root, 0x6010_0000, 0x7_7000, READ_ONLY)
    assert leaves(made.memory, X86.stage2, root) == [
        Mapping(0x6010_0000, HPA(0x7_7000), 0x1000, Rights.READ, 0x7_7000 | READ_ONLY, 0)
    ]


def test_a_table_is_decoded_again_when_it_has_changed_and_only_then(
    made: Handmade, root: HPA
) -> None:
    asked = []

    def decode(raw: int, level: int) -> Entry:
        asked.append(raw)
        return X86.stage2.decode(raw, level)

    counted = replace(X86.stage2, decode=decode)
    made.map(root, 0x1000, 0x7_7000)
    first = leaves(made.memory, counted, root)
    assert (len(asked), leaves(made.memory, counted, root), len(asked)) == (4, first, 4)
    made.map(root, 0x2000, 0x7_8000)
    assert len(leaves(made.memory, counted, root)) == 2
    assert len(asked) == 4 + 2


def test_a_leaf_of_each_size_is_listed(made: Handmade, root: HPA) -> None:
    made.map(root, 0x0000_1000, 0x7_7000)
    made.map(root, 0x0020_0000, 0x40_0000, level=1)
    made.map(root, 0x4000_0000, 0x8000_0000, level=2)
    found = leaves(made.memory, X86.stage2, root)
    assert [(leaf.address, leaf.output, leaf.size, leaf.level) for leaf in found] == [
        (0x0000_1000, 0x7_7000, 0x1000, 0),
        (0x0020_0000, 0x40_0000, 0x20_0000, 1),
        (0x4000_0000, 0x8000_0000, 0x4000_0000, 2),
    ]


def test_the_upper_half_is_listed_by_its_canonical_addresses(made: Handmade, root: HPA) -> None:
    made.map(root, 0x0000_FFFF_FFFF_F000, 0x7_7000)
    assert leaves(made.memory, X86.stage1, root)[0].address == 0xFFFF_FFFF_FFFF_F000


def test_a_table_reached_by_two_entries_is_listed_under_both(made: Handmade, root: HPA) -> None:
    made.map(root, 0x0000_1000, 0x7_7000)
    made.put(root, 5, made.get(root, 0))
    found = leaves(made.memory, X86.stage2, root)
    assert [leaf.address for leaf in found] == [0x1000, (5 << 39) + 0x1000]


def test_each_way_to_an_aliased_table_has_its_own_rights(made: Handmade, root: HPA) -> None:
    made.map(root, 0x0000_1000, 0x7_7000)
    made.put(root, 5, made.get(root, 0) & ~W | NX)
    found = leaves(made.memory, X86.stage2, root)
    assert [leaf.rights for leaf in found] == [Rights.ALL, Rights.READ]


def test_one_table_may_serve_two_levels(made: Handmade, root: HPA) -> None:
    made.map(root, 0x0000_1000, 0x7_7000)
    lowest = made.map(root, 0x0000_2000, 0x8_8000)
    made.put(root, 1, lowest | OPEN)  # now also a level-2 table, whose entries name more
    made.memory.write(HPA(0x7_7000), bytes(0x1000))
    made.memory.write(HPA(0x8_8000), bytes(0x1000))
    assert len(leaves(made.memory, X86.stage2, root)) == 2
    assert {0x7_7000, 0x8_8000} <= table_frames(made.memory, X86.stage2, root)


def test_a_slot_that_names_its_own_table_lists_the_tables_as_pages(
    made: Handmade, root: HPA
) -> None:
    made.map(root, 0x0000_1000, 0x7_7000)
    made.put(root, 0x1FF, root | OPEN)
    found = {leaf.address: leaf.output for leaf in leaves(made.memory, X86.stage1, root)}
    assert (found[0x1000], found[0xFFFF_FFFF_FFFF_F000], len(found)) == (0x7_7000, root, 5)


def test_a_table_full_of_itself_is_an_error_and_not_an_endless_list(
    made: Handmade, root: HPA
) -> None:
    for index in range(512):
        made.put(root, index, root | OPEN)
    with pytest.raises(HarnessError, match="68719476736 leaves"):
        leaves(made.memory, X86.stage1, root)


def test_a_table_full_of_itself_lies_in_one_frame(made: Handmade, root: HPA) -> None:
    for index in range(512):
        made.put(root, index, root | OPEN)
    assert table_frames(made.memory, X86.stage1, root) == {root}


def test_an_unreadable_table_is_an_error_and_not_an_empty_one(made: Handmade, root: HPA) -> None:
    made.map(root, 0x0000_1000, 0x7_7000)
    made.put(root, 9, 0x66_6000 | OPEN)
    with pytest.raises(MemoryUnreadable):
        leaves(made.memory, X86.stage2, root)


def test_a_malformed_entry_is_no_leaf_but_is_an_entry(made: Handmade, root: HPA) -> None:
    table = made.map(root, 0x0000_1000, 0x7_7000 | 1 << 45)
    assert leaves(made.memory, X86.stage2, root) == []
    malformed = [it for it in entries(made.memory, X86.stage2, root) if it.kind is Kind.MALFORMED]
    assert [(it.table, it.index, it.level) for it in malformed] == [(table, 1, 0)]


def test_the_frames_of_a_table_are_those_of_every_table_below(made: Handmade, root: HPA) -> None:
    made.map(root, 0x6000_0000, 0x7_7000)
    made.map(root, 0x6020_0000, 0x8_8000)
    assert table_frames(made.memory, X86.stage2, root) == set(range(root, made.next, 0x1000))


def test_a_wide_root_lies_in_all_of_its_frames() -> None:
    memory = FakeMemory()
    memory.write(HPA(0x8000), bytes(0x4000))
    assert table_frames(memory, WIDE_ROOT, HPA(0x8000)) == {0x8000, 0x9000, 0xA000, 0xB000}


def test_a_wide_root_is_listed_to_its_end() -> None:
    memory = FakeMemory()
    memory.write(HPA(0x8000), bytes(0x4000))
    memory.write(HPA(0x8000 + 8 * 2047), (0x4000_0000 | 3).to_bytes(8, "little"))
    assert [leaf.address for leaf in leaves(memory, WIDE_ROOT, HPA(0x8000))] == [2047 << 30]


def test_a_large_leaf_is_all_of_its_pages(made: Handmade, root: HPA) -> None:
    made.map(root, 0x6000_0000, 0x40_0000, level=1)
    found = pages(leaves(made.memory, X86.stage2, root))
    assert len(found) == 512
    assert found[max(found)] == (0x40_0000 + 0x1F_F000, Rights.ALL)


# Pages crowd into a few tables, so that they share them, meet large leaves and replace
# one another.
SLOT = st.sampled_from([0, 1, 2, 511])
PAGE = st.tuples(
    st.tuples(SLOT, SLOT, SLOT, SLOT),
    st.integers(0, (1 << 40) - 1),
    st.sampled_from([OPEN, P | W, P | U | NX, P | W | U | NX, P | U, NX | W]),
    st.sampled_from([0, 0, 0, 1, 2]),
)


def written(address: int, level: int) -> int:
    """The first address that the same leaf covers."""
    return address >> (12 + 9 * level) << (12 + 9 * level)


def rights_of(flags: int, nested: bool) -> Rights:
    """APM volume 2, 5.6 (read/write, no-execute) and 15.25 (user)."""
    if nested and not flags & U:
        return Rights.NONE
    write = Rights.WRITE if flags & W else Rights.NONE
    execute = Rights.NONE if flags & NX else Rights.EXECUTE
    return Rights.READ | write | execute


def canonical(address: int) -> int:
    """A guest-virtual address of 48 bits with its sign."""
    return address | 0xFFFF << 48 if address >> 47 else address


@given(st.lists(PAGE, max_size=12), st.booleans())
@settings(max_examples=60)
def test_random_tables_list_what_was_put_into_them(
    chosen: list[tuple[tuple[int, int, int, int], int, int, int]], nested: bool
) -> None:
    made = Handmade(1 << 32)
    root = made.table()
    taken: list[tuple[int, int]] = []
    model: dict[int, tuple[int, int, Rights]] = {}
    for (top, upper, middle, low), frame, flags, level in chosen:
        address = written(top << 39 | upper << 30 | middle << 21 | low << 12, level)
        size = 0x1000 << 9 * level
        if any(begin < address + size and address < end for begin, end in taken):
            continue  # a table or another leaf is there already
        taken.append((address, address + size))
        output = frame // size * size
        made.map(root, address, output, flags, level)
        if flags & P:
            shown = address if nested else canonical(address)
            model[shown] = (output, size, rights_of(flags, nested))
    fmt = X86.stage2 if nested else X86.stage1
    found = leaves(made.memory, fmt, root)
    assert {leaf.address: (leaf.output, leaf.size, leaf.rights) for leaf in found} == model
    assert [leaf.address for leaf in found] == sorted(model)
    for leaf in found:
        last = walk(made.memory, fmt, root, leaf.address + leaf.size - 1)
        assert (last.output, last.rights) == (leaf.output + leaf.size - 1, leaf.rights)


def test_few_leaves_that_are_too_many_pages_are_not_listed() -> None:
    giant = Mapping(0, HPA(0), 1 << 33, Rights.ALL, 0, 3)
    with pytest.raises(HarnessError, match=f"{1 << 21} pages, more than"):
        pages([giant])
