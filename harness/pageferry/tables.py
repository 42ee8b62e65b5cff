"""What page tables are made of: rights, entries, and the format that decodes them.

An architecture describes its tables with one `TableFormat` a stage, and shares no
code and no constant with the firmware. `paging` follows what is described.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, Flag
from functools import cached_property, lru_cache
from operator import or_
from typing import NamedTuple

from .address import HPA, Address, Word, in_hex

PAGE_BITS = 12
ENTRY_SIZE = 8
"""Bytes of one entry, in every format there is a descriptor for."""

TABLES_KEPT = 64
"""Tables that are kept decoded: most are looked at again before they change."""


class Rights(Flag):
    """What an entry, or a whole translation, allows."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4
    ALL = READ | WRITE | EXECUTE


class Kind(Enum):
    """What an entry is, and why a translation ended."""

    ABSENT = "absent"
    TABLE = "table"
    LEAF = "leaf"
    MALFORMED = "malformed"
    """Present, with a reserved bit set: the CPU refuses it, which is not absence."""
    BEYOND = "beyond the address width"
    """No entry was read: the address has bits the format cannot translate."""
    DENIED = "denied"
    """Translated, but not for the access asked about."""


class Entry(NamedTuple):
    """One decoded entry: `output` is the next table's address, or the leaf's first byte."""

    kind: Kind
    output: Address
    rights: Rights

    def __repr__(self) -> str:
        return in_hex(self)


ABSENT = Entry(Kind.ABSENT, 0, Rights.NONE)
MALFORMED = Entry(Kind.MALFORMED, 0, Rights.NONE)


@dataclass(frozen=True)
class TableFormat:
    """One architecture's tables for one stage.

    decode        (present entry, level) -> Entry; never TABLE at level 0
    present       an entry with none of these bits is absent
    root_bits     index bits at the root: more than the others where root tables are
                  concatenated (Sv39x4, AArch64 stage 2), less where it is not filled
    sign_extends  upper bits copy the highest translated bit; otherwise they are zero
    upper_half    upper bits are all one: the other half has tables of its own (AArch64)
    table_access  what this stage must allow a page that holds another stage's table
    inherited     bits of a table's entry that change what a leaf below it means (AArch64)
    inherit       (those bits of all tables above, leaf) -> the leaf as it counts there
    """

    name: str
    levels: int
    decode: Callable[[int, int], Entry]
    present: int = 1
    index_bits: int = 9
    root_bits: int = 9
    sign_extends: bool = False
    upper_half: bool = False
    table_access: Rights = Rights.READ
    inherited: int = 0
    inherit: Callable[[int, int], int] = or_

    def span(self, level: int) -> int:
        """Bytes covered by one entry at `level`."""
        return 1 << (PAGE_BITS + self.index_bits * level)

    def table_size(self, level: int) -> int:
        """Bytes of one table at `level`."""
        bits = self.root_bits if level == self.levels - 1 else self.index_bits
        return ENTRY_SIZE << bits

    @cached_property
    def width(self) -> int:
        """How many low bits of an address are translated."""
        return PAGE_BITS + self.index_bits * (self.levels - 1) + self.root_bits

    def extend(self, address: int) -> int:
        """`address` cut to the width, then extended to 64 bits as the format does it."""
        low = address & ((1 << self.width) - 1)
        if self.upper_half or (self.sign_extends and low >> (self.width - 1)):
            low |= (1 << 64) - (1 << self.width)
        return low

    def index(self, address: int, level: int) -> int:
        """Which entry of a table at `level` translates `address`."""
        bits = self.root_bits if level == self.levels - 1 else self.index_bits
        return address >> (PAGE_BITS + self.index_bits * level) & ((1 << bits) - 1)

    def entry(self, raw: int, level: int, above: int = 0) -> Entry:
        """What the 64-bit entry `raw` of a table at `level` says.

        above  the `inherited` bits of the entries that lead to that table
        """
        if not raw & self.present:
            return ABSENT
        entry = self.decode(raw, level)
        if above and entry.kind is Kind.LEAF:
            return self.decode(self.inherit(above, raw), level)
        return entry


@dataclass(frozen=True, eq=False)
class Table:
    """A whole table, decoded. One is the same as itself only, to be found again quickly.

    entries  (index, as it is in memory, decoded) of each that is not absent
    leaves   how many of them are leaves
    below    the addresses of the tables that the others lead to
    """

    entries: tuple[tuple[int, int, Entry], ...]
    leaves: int
    below: tuple[int, ...]


@lru_cache(maxsize=TABLES_KEPT)
def decoded(fmt: TableFormat, level: int, data: bytes) -> Table:
    """What the bytes of a table at `level` say."""
    words = struct.unpack(f"<{len(data) // ENTRY_SIZE}Q", data)
    found = tuple(
        (index, raw, fmt.decode(raw, level)) for index, raw in enumerate(words) if raw & fmt.present
    )
    leaves = sum(entry.kind is Kind.LEAF for _, _, entry in found)
    below = tuple(entry.output for _, _, entry in found if entry.kind is Kind.TABLE)
    return Table(found, leaves, below)


@dataclass(frozen=True, slots=True)
class Step:
    """One entry that was looked at. `rights` are what it allows by itself."""

    table: Address
    level: int
    index: int
    raw: Word
    kind: Kind
    rights: Rights

    __repr__ = in_hex

    @property
    def address(self) -> int:
        """Where the entry lies, in the address space of its table."""
        return self.table + ENTRY_SIZE * self.index


class Mapping(NamedTuple):
    """One leaf: `size` bytes from `address` on lead to those from `output` on."""

    address: Address
    output: HPA
    size: int
    rights: Rights
    entry: Word
    level: int

    def __repr__(self) -> str:
        return in_hex(self)


Below = tuple[int, int, int, Rights, int]
"""A table and what counts there: its address, the first that it translates, its level,
the rights and the inherited bits of the entries that lead to it."""


@lru_cache(maxsize=TABLES_KEPT)
def leads_to(
    fmt: TableFormat, table: Table, base: int, level: int, granted: Rights, above: int
) -> tuple[Mapping | Below, ...]:
    """The leaves and tables that a table leads to, by rising address; arguments as `Below`."""
    span = fmt.span(level)
    is_root = level == fmt.levels - 1  # its index alone says how addresses are extended
    found: list[Mapping | Below] = []
    for index, raw, alone in table.entries:
        entry = fmt.entry(raw, level, above) if above else alone
        start = fmt.extend(index * span) if is_root else base + index * span
        # Python's flags are slow to combine, and most tables withhold nothing.
        rights = entry.rights if granted is Rights.ALL else granted & entry.rights
        if entry.kind is Kind.LEAF:
            found.append(Mapping(start, HPA(entry.output), span, rights, raw, level))
        elif entry.kind is Kind.TABLE:
            found.append((entry.output, start, level - 1, rights, above | raw & fmt.inherited))
    return tuple(found)
