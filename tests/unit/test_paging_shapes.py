"""Tables of other shapes: wide, short and concatenated roots, halves, inherited bits."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.handmade import Shaped

from pageferry.address import HPA
from pageferry.arch import aarch64, riscv64
from pageferry.paging import Kind, Rights, leaves, table_frames, walk
from pageferry.tables import TableFormat


def armv8_table(output: int) -> int:
    """Table descriptor (DDI 0487, D8.3)."""
    return output | 0b11


def armv8_leaf(output: int, level: int) -> int:
    """Page or block with AF and, for stage 2, S2AP of 11; in stage 1 that would be read-only."""
    return output | 1 << 10 | (0b01 if level else 0b11)


def armv8_stage2_leaf(output: int, level: int) -> int:
    return armv8_leaf(output, level) | 0b11 << 6


def riscv_table(output: int) -> int:
    """PPN at bit 10, V (privileged architecture, 4.4.1)."""
    return output >> 2 | 1


def riscv_leaf(output: int, _: int) -> int:
    """V, R, W, X, A and D."""
    return output >> 2 | 0xCF


def riscv_guest_leaf(output: int, _: int) -> int:
    """The same and U (8.5.1)."""
    return output >> 2 | 0xDF


@dataclass(frozen=True)
class Shape:
    """A format, and how its tables are written."""

    fmt: TableFormat
    levels: int
    root_bits: int
    table: Callable[[int], int]
    leaf: Callable[[int, int], int]
    first: int = 0
    """The lowest address that the tables translate."""

    def made(self) -> Shaped:
        return Shaped(self.levels, self.root_bits, self.table)


def arm1(size: int, levels: int, root_bits: int, upper_half: bool = False) -> Shape:
    """TCR_EL1 with T0SZ = T1SZ = `size`, TG1 4 KiB, IPS 40 bits."""
    fmt = aarch64.stage1_format(size << 16 | size | 0b10 << 30 | 0b010 << 32, upper_half)
    first = (1 << 64) - (1 << (64 - size)) if upper_half else 0
    return Shape(fmt, levels, root_bits, armv8_table, armv8_leaf, first)


def arm2(size: int, start: int, levels: int, root_bits: int) -> Shape:
    """VTCR_EL2 with T0SZ, SL0, PS 40 bits."""
    fmt = aarch64.stage2_format(0b010 << 16 | start << 6 | size)
    return Shape(fmt, levels, root_bits, armv8_table, armv8_stage2_leaf)


SHAPES = {
    "Arm 39 bits": arm1(25, 3, 9),
    "Arm 48 bits": arm1(16, 4, 9),
    "Arm 42 bits, a short root": arm1(22, 4, 3),
    "Arm upper half": arm1(25, 3, 9, upper_half=True),
    "Arm stage 2, 39 bits": arm2(25, 1, 3, 9),
    "Arm stage 2, 2 tables": arm2(24, 1, 3, 10),
    "Arm stage 2, 16 tables": arm2(21, 1, 3, 13),
    "Sv39": Shape(riscv64.stage1_format(8 << 60), 3, 9, riscv_table, riscv_leaf),
    "Sv48": Shape(riscv64.stage1_format(9 << 60), 4, 9, riscv_table, riscv_leaf),
    "Sv39x4": Shape(riscv64.stage2_format(8 << 60), 3, 11, riscv_table, riscv_guest_leaf),
    "Sv48x4": Shape(riscv64.stage2_format(9 << 60), 4, 11, riscv_table, riscv_guest_leaf),
}
EVERY = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
LOW = 0x4060_4000
"""Indexes 1, 3 and 4 from level 2 on: below every width, and positive where there is a sign."""


@EVERY
def test_a_leaf_of_each_size_keeps_the_offset(shape: Shape) -> None:
    made, outputs = shape.made(), []
    for level, address in enumerate([LOW, 0x20_0000, 0x8000_0000]):
        made.leaf(address, shape.leaf(0x1_4000_0000, level), level)
        found = walk(made.memory, shape.fmt, made.root, shape.first + address + 0x567)
        outputs.append((found.output, found.size, found.rights))
    assert outputs == [
        (0x1_4000_0567, 0x1000, Rights.ALL),
        (0x1_4000_0567, 0x20_0000, Rights.ALL),
        (0x1_4000_0567, 0x4000_0000, Rights.ALL),
    ]


@EVERY
def test_the_last_entry_of_a_root_is_reached(shape: Shape) -> None:
    made = shape.made()
    last = (1 << 12 + 9 * (shape.levels - 1) + shape.root_bits) - 0x1000
    made.leaf(last, shape.leaf(0x7000, 0))
    found = walk(made.memory, shape.fmt, made.root, shape.fmt.extend(last))
    assert (found.output, found.steps[0].index) == (0x7000, (1 << shape.root_bits) - 1)


@EVERY
def test_the_frames_of_a_root_are_all_that_it_lies_in(shape: Shape) -> None:
    made = shape.made()
    frames = max(1, (8 << shape.root_bits) // 0x1000)
    assert table_frames(made.memory, shape.fmt, made.root) == {
        made.root + 0x1000 * frame for frame in range(frames)
    }


@pytest.mark.parametrize(
    ("name", "beyond"),
    [
        ("Arm 39 bits", [1 << 39, 1 << 63, 0xFFFF_FF80_0000_0000]),
        ("Arm upper half", [0, 1 << 38, 0xFFFF_FF7F_FFFF_FFFF]),
        ("Arm stage 2, 39 bits", [1 << 39, 0xFFFF_FF80_0000_0000]),
        ("Arm stage 2, 2 tables", [1 << 40]),
        ("Sv39", [1 << 38, 1 << 39, 0xFFFF_FFBF_FFFF_FFFF]),
        ("Sv48", [1 << 47]),
        ("Sv39x4", [1 << 41, 1 << 63, 0xFFFF_FFC0_0000_0000]),
        ("Sv48x4", [1 << 50]),
    ],
)
def test_an_address_that_no_index_can_hold_reads_no_entry(name: str, beyond: list[int]) -> None:
    made = SHAPES[name].made()
    found = [walk(made.memory, SHAPES[name].fmt, made.root, address) for address in beyond]
    assert [(it.kind, it.steps) for it in found] == [(Kind.BEYOND, ())] * len(beyond)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("Arm 39 bits", (1 << 39) - 1),
        ("Arm upper half", (1 << 64) - 1),
        ("Arm stage 2, 2 tables", (1 << 40) - 1),
        ("Sv39", (1 << 64) - 1),
        ("Sv39x4", (1 << 41) - 1),
    ],
)
def test_the_last_address_of_a_format_reads_an_entry(name: str, last: int) -> None:
    made = SHAPES[name].made()
    assert walk(made.memory, SHAPES[name].fmt, made.root, last).kind is Kind.ABSENT


@pytest.mark.parametrize(
    ("name", "size"),
    [("Sv39x4", 0x4000), ("Arm stage 2, 16 tables", 0x1_0000), ("Arm 39 bits", 0x1000)],
)
def test_a_root_is_aligned_to_its_size(name: str, size: int) -> None:
    made = SHAPES[name].made()
    with pytest.raises(ValueError, match=f"not aligned to {size:#x}"):
        walk(made.memory, SHAPES[name].fmt, HPA(made.root + size // 2), 0)


def test_a_short_root_may_share_its_frame() -> None:
    shape = SHAPES["Arm 42 bits, a short root"]
    made = shape.made()
    table = made.table()
    made.write(table + 0x40, shape.leaf(0x4000_0000, 2))
    found = walk(made.memory, shape.fmt, HPA(table + 0x40), 0x123)
    assert found.kind is Kind.MALFORMED  # no block of 512 GiB, but the entry was found
    assert table_frames(made.memory, shape.fmt, HPA(table + 0x40)) == {table}


# Inherited bits: APTable of stage 1 and the kernel's right to execute (DDI 0487, D8.4).

ARM = SHAPES["Arm 39 bits"]
EL0_WRITES = 0b01 << 6
NOT_EL0, READ_ONLY = 1 << 61, 1 << 62
HOW_EL1_EXECUTES = pytest.mark.parametrize(
    ("above", "rights"),
    [
        (0, Rights.READ | Rights.WRITE),
        (NOT_EL0, Rights.ALL),
        (READ_ONLY, Rights.READ | Rights.EXECUTE),
        (NOT_EL0 | READ_ONLY, Rights.READ | Rights.EXECUTE),
    ],
)


def below_table(above: int, level: int) -> Shaped:
    """A page that EL0 may write, below a table of such bits."""
    made = ARM.made()
    made.leaf(LOW, ARM.leaf(0x7000, 0) | EL0_WRITES)
    at = made.way(LOW, level)
    made.write(at, armv8_table(made.below[at]) | above)
    return made


@pytest.mark.parametrize("level", [1, 2])
@HOW_EL1_EXECUTES
def test_el1_executes_what_a_table_keeps_el0_from_writing(
    above: int, rights: Rights, level: int
) -> None:
    made = below_table(above, level)
    assert walk(made.memory, ARM.fmt, made.root, LOW).rights == rights


@pytest.mark.parametrize("level", [1, 2])
@HOW_EL1_EXECUTES
def test_a_listed_leaf_inherits_as_a_walked_one(above: int, rights: Rights, level: int) -> None:
    made = below_table(above, level)
    assert [leaf.rights for leaf in leaves(made.memory, ARM.fmt, made.root)] == [rights]


def test_an_aliased_table_inherits_on_each_way_what_that_way_has() -> None:
    made = below_table(0, 1)
    lowest = made.below[made.way(LOW, 1)]
    made.write(made.way(0x20_0000, 1), armv8_table(lowest) | NOT_EL0)
    found = [leaf.rights for leaf in leaves(made.memory, ARM.fmt, made.root)]
    assert sorted(found, key=lambda it: it.value) == [Rights.READ | Rights.WRITE, Rights.ALL]


def test_a_dirty_bit_modifier_writes_nothing_below_a_read_only_table() -> None:
    fmt = aarch64.stage1_format(25 | 0b010 << 32 | 0b11 << 39)  # HA and HD
    made = below_table(READ_ONLY, 1)
    made.leaf(LOW, ARM.leaf(0x7000, 0) | EL0_WRITES | 1 << 51 | 1 << 7)
    rights = walk(made.memory, fmt, made.root, LOW).rights
    assert rights == Rights.READ | Rights.EXECUTE


# All that a table maps, against a dictionary of what was put into it.

SLOT = st.sampled_from([0, 1, 2, 511])
PAGE = st.tuples(
    st.lists(SLOT, min_size=4, max_size=4),
    st.integers(0, (1 << 40) - 1),
    st.sampled_from([0, 0, 0, 1, 2]),
)


@EVERY
@given(chosen=st.lists(PAGE, max_size=10))
@settings(max_examples=25)
def test_random_tables_list_what_was_put_into_them(
    shape: Shape, chosen: list[tuple[list[int], int, int]]
) -> None:
    made, model = shape.made(), {}
    taken: list[tuple[int, int]] = []
    width = 12 + 9 * (shape.levels - 1) + shape.root_bits
    for slots, frame, level in chosen:
        size = 0x1000 << 9 * level
        address = sum(slot << 12 + 9 * place for place, slot in enumerate(slots))
        address = address % (1 << width) // size * size
        if any(begin < address + size and address < end for begin, end in taken):
            continue  # a table or another leaf is there already
        taken.append((address, address + size))
        output = frame // size * size
        made.leaf(address, shape.leaf(output, level), level)
        model[shape.fmt.extend(address)] = (output, size, Rights.ALL)
    found = leaves(made.memory, shape.fmt, made.root)
    assert {leaf.address: (leaf.output, leaf.size, leaf.rights) for leaf in found} == model
    for leaf in found:
        last = walk(made.memory, shape.fmt, made.root, leaf.address + leaf.size - 1)
        assert (last.output, last.rights) == (leaf.output + leaf.size - 1, leaf.rights)
