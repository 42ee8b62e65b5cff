"""Page tables of any architecture, read from physical memory.

An address is cut into one index per level and an offset. Levels count from the
leaf up; with four levels of nine bits (x86-64, Sv48, most of AArch64):

     63            48 47     39 38     30 29     21 20     12 11         0
    +----------------+---------+---------+---------+---------+------------+
    |  sign or zero  | index 3 | index 2 | index 1 | index 0 |   offset   |
    +----------------+---------+---------+---------+---------+------------+
                        root                          leaf
      one entry       512 GiB     1 GiB     2 MiB     4 KiB
      covers

What an entry's bits mean is the architecture's: its `TableFormat` decodes one
entry at a time. What is known here is where the entries are, and that rights only
ever shrink on the way down. A table that cannot be read raises MemoryUnreadable;
it is never "absent".

With two stages every stage-1 table lies at a guest-physical address, so stage 2
translates the address of each of its entries as well:

    GVA -[stage 1]-> GPA -[stage 2]-> HPA
            |
            each entry read: GPA of the entry -[stage 2]-> HPA
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

from .address import GPA, GVA, HPA, PAGE_SIZE, Address, in_hex, page_of
from .errors import HarnessError
from .memory import PhysicalMemory, read_u64
from .tables import (
    ENTRY_SIZE,
    Entry,
    Kind,
    Mapping,
    Rights,
    Step,
    Table,
    TableFormat,
    decoded,
    leads_to,
)

__all__ = [
    "LEAF_LIMIT",
    "Entry",
    "Failure",
    "GuestStep",
    "GuestTranslation",
    "Kind",
    "Mapping",
    "Rights",
    "Step",
    "TableFormat",
    "Translation",
    "entries",
    "leaves",
    "pages",
    "table_frames",
    "walk",
    "walk_guest",
]

LEAF_LIMIT = 1 << 20
"""More leaves or pages than this (4 GiB in 4 KiB) only come of tables that are wrong."""


@dataclass(frozen=True)
class Translation:
    """What became of one address in one stage, with every entry on the way.

    kind    LEAF when it is mapped; otherwise why it is not
    level   where the walk ended
    output  the byte `address` leads to, None unless mapped
    rights  what all entries on the way allow together
    size    bytes the last entry covers
    """

    address: Address
    steps: tuple[Step, ...]
    kind: Kind
    level: int
    output: HPA | None
    rights: Rights
    size: int

    __repr__ = in_hex

    @property
    def mapped(self) -> bool:
        """Whether the address leads anywhere (its rights may still be NONE)."""
        return self.kind is Kind.LEAF

    @property
    def entry(self) -> int | None:
        """The last entry read, as it is in memory; None if none was."""
        return self.steps[-1].raw if self.steps else None

    def denied_at(self, access: Rights) -> int | None:
        """The highest level whose entry withholds a part of `access`, None if none does."""
        return next((s.level for s in self.steps if access not in s.rights), None)


def require_root(fmt: TableFormat, root: int) -> None:
    """ValueError for an address that is not aligned as a root table is."""
    size = fmt.table_size(fmt.levels - 1)
    if root % size:
        raise ValueError(f"{root:#x} is no table of {fmt.name}: it is not aligned to {size:#x}")


def _descend(
    read: Callable[[int], int | None], fmt: TableFormat, root: int, address: int
) -> Iterator[tuple[Step, Entry]]:
    """The entries on the way to `address`, until one is no table or none can be read."""
    if fmt.extend(address) != address:
        return
    table, above = root, 0
    for level in reversed(range(fmt.levels)):
        index = fmt.index(address, level)
        raw = read(table + ENTRY_SIZE * index)
        if raw is None:
            return
        entry = fmt.entry(raw, level, above)
        yield Step(table, level, index, raw, entry.kind, entry.rights), entry
        if entry.kind is not Kind.TABLE:
            return
        table = entry.output
        above |= raw & fmt.inherited


def _conclude(fmt: TableFormat, address: int, way: list[tuple[Step, Entry]]) -> Translation:
    if not way:
        root = fmt.levels - 1
        return Translation(address, (), Kind.BEYOND, root, None, Rights.NONE, fmt.span(root))
    steps = tuple(step for step, _ in way)
    last, entry = way[-1]
    size = fmt.span(last.level)
    if last.kind is not Kind.LEAF:
        return Translation(address, steps, last.kind, last.level, None, Rights.NONE, size)
    rights = Rights.ALL
    for step in steps:
        # Python's flags are slow to combine, and most tables withhold nothing.
        if step.rights is not Rights.ALL:
            rights &= step.rights
    output = HPA(entry.output + address % size)
    return Translation(address, steps, Kind.LEAF, last.level, output, rights, size)


def walk(memory: PhysicalMemory, fmt: TableFormat, root: HPA, address: int) -> Translation:
    """Translate `address` through the tables at `root`, as the CPU would.

    Raises MemoryUnreadable if a table is not in `memory`, ValueError if `root` is
    not aligned as a root is (take a register's flags away with `Arch.root_of` first).
    """
    require_root(fmt, root)
    way = list(_descend(lambda at: read_u64(memory, HPA(at)), fmt, root, address))
    return _conclude(fmt, address, way)


class _Tables:
    """Every table below a root, each read once for each level it serves.

    The memo by (table, level) makes an aliased table cost one read, and a table
    that contains itself end: the level falls with every step.
    """

    def __init__(self, memory: PhysicalMemory, fmt: TableFormat, root: HPA) -> None:
        require_root(fmt, root)
        self.fmt = fmt
        self._memory = memory
        self._found: dict[tuple[int, int], Table] = {}
        self._counts: dict[tuple[int, int], int] = {}
        self.count = self._count(root, fmt.levels - 1)

    def _count(self, table: int, level: int) -> int:
        key = (table, level)
        if key not in self._counts:
            data = self._memory.read(HPA(table), self.fmt.table_size(level))
            found = self._found[key] = decoded(self.fmt, level, data)
            below = sum(self._count(address, level - 1) for address in found.below)
            self._counts[key] = found.leaves + below
        return self._counts[key]

    def visited(self) -> Iterable[tuple[int, int]]:
        """(table, level) of each table read."""
        return self._found

    def steps(self) -> list[Step]:
        """Every entry that is not absent, each table's once for each level it serves."""
        return [
            Step(table, level, index, raw, entry.kind, entry.rights)
            for (table, level), found in self._found.items()
            for index, raw, entry in found.entries
        ]

    def collect(
        self,
        found: list[Mapping],
        table: int,
        base: int,
        level: int,
        granted: Rights = Rights.ALL,
        above: int = 0,
    ) -> None:
        """Add to `found` the leaves below `table`, whose first byte translates `base`.

        granted, above  the rights and the inherited bits of the entries that lead there
        """
        if not self._counts[table, level]:
            return
        known = self._found[table, level]
        for each in leads_to(self.fmt, known, base, level, granted, above):
            if isinstance(each, Mapping):
                found.append(each)
            else:
                self.collect(found, *each)


def leaves(memory: PhysicalMemory, fmt: TableFormat, root: HPA) -> list[Mapping]:
    """Every leaf below `root`, by rising address; complete, aliases included.

    Raises MemoryUnreadable as `walk` does, and HarnessError above LEAF_LIMIT leaves.
    Malformed entries are no leaves: `entries` shows them.
    """
    tables = _Tables(memory, fmt, root)
    if tables.count > LEAF_LIMIT:
        raise HarnessError(
            f"{fmt.name} tables at {root:#x} map {tables.count} leaves, more than {LEAF_LIMIT}: "
            "they contain themselves"
        )
    found: list[Mapping] = []
    tables.collect(found, root, 0, fmt.levels - 1)
    return found


def entries(memory: PhysicalMemory, fmt: TableFormat, root: HPA) -> list[Step]:
    """Every entry below `root` that is not absent, malformed ones included."""
    return _Tables(memory, fmt, root).steps()


def table_frames(memory: PhysicalMemory, fmt: TableFormat, root: HPA) -> frozenset[HPA]:
    """The frames that the tables below `root` lie in, the root's own included."""
    return frozenset(
        page_of(HPA(table + offset))
        for table, level in _Tables(memory, fmt, root).visited()
        for offset in range(0, fmt.table_size(level), PAGE_SIZE)
    )


def pages(mappings: Iterable[Mapping]) -> dict[GPA, tuple[HPA, Rights]]:
    """Stage-2 leaves page by page. HarnessError if that is more than LEAF_LIMIT of them."""
    found = list(mappings)
    count = sum(leaf.size for leaf in found) // PAGE_SIZE
    if count > LEAF_LIMIT:
        raise HarnessError(f"stage 2 maps {count} pages, more than {LEAF_LIMIT}: too many to list")
    pages = {
        address + offset: (output + offset, rights)
        for address, output, size, rights, *_ in found
        for offset in range(0, size, PAGE_SIZE)
    }
    return cast(dict[GPA, tuple[HPA, Rights]], pages)  # a call for each would be most of it


@dataclass(frozen=True)
class Failure:
    """Where a guest's access ends without data.

    stage        1 or 2
    level        of that stage
    kind         ABSENT, MALFORMED, BEYOND or DENIED
    address      what that stage could not translate: a GVA (stage 1) or a GPA (stage 2)
    table_level  stage 2 failed on the stage-1 table of this level; None if on the data
    """

    stage: int
    level: int
    kind: Kind
    address: Address
    table_level: int | None = None

    __repr__ = in_hex

    def __str__(self) -> str:
        what = "" if self.table_level is None else f" (stage-1 table of level {self.table_level})"
        leaf = "" if self.level else " (the leaf)"
        return (
            f"stage {self.stage} fails at level {self.level}{leaf}: "
            f"{self.address:#x}{what} is {self.kind.value}"
        )


class GuestStep(NamedTuple):
    """One stage-1 entry: how stage 2 found it, and what it says (None if it did not)."""

    level: int
    nested: Translation
    step: Step | None


@dataclass(frozen=True)
class GuestTranslation:
    """What became of a guest-virtual address in both stages.

    steps   the stage-1 entries, each with the stage-2 walk to it
    stage1  None if stage 2 kept a stage-1 table from being read
    stage2  of the page itself; None if stage 1 leads nowhere
    """

    gva: GVA
    steps: tuple[GuestStep, ...]
    stage1: Translation | None
    stage2: Translation | None
    table_access: Rights

    __repr__ = in_hex

    @property
    def gpa(self) -> GPA | None:
        """What stage 1 makes of the address."""
        found = self.stage1
        return None if found is None or found.output is None else GPA(found.output)

    @property
    def hpa(self) -> HPA | None:
        """What both stages make of it, whatever the rights."""
        return None if self.stage2 is None else self.stage2.output

    @property
    def rights(self) -> Rights:
        """What both stages allow together."""
        if self.stage1 is None or self.stage2 is None:
            return Rights.NONE
        return self.stage1.rights & self.stage2.rights

    def fails(self, access: Rights = Rights.READ) -> Failure | None:
        """Which stage stops an `access` to the address, at which level; None if it succeeds."""
        for passed in self.steps:
            if failure := _failure(2, passed.nested, self.table_access, passed.level):
                return failure
        for stage, found in ((1, self.stage1), (2, self.stage2)):
            if found and (failure := _failure(stage, found, access)):
                return failure
        return None


def _failure(
    stage: int, found: Translation, access: Rights, table_level: int | None = None
) -> Failure | None:
    if not found.mapped:
        return Failure(stage, found.level, found.kind, found.address, table_level)
    level = found.denied_at(access)
    if level is None:
        return None
    return Failure(stage, level, Kind.DENIED, found.address, table_level)


def walk_guest(
    memory: PhysicalMemory,
    stage1_fmt: TableFormat,
    stage1_root: GPA,
    stage2_fmt: TableFormat,
    stage2_root: HPA,
    gva: GVA,
) -> GuestTranslation:
    """Translate `gva` through a guest's own table and the hypervisor's.

    Raises MemoryUnreadable if a frame that stage 2 leads to is not in `memory`,
    ValueError if a root is not aligned as roots are.
    """
    require_root(stage1_fmt, stage1_root)
    nested: list[Translation] = []

    def read(at: int) -> int | None:
        found = walk(memory, stage2_fmt, stage2_root, at)
        nested.append(found)
        if found.output is None or stage2_fmt.table_access not in found.rights:
            return None
        return read_u64(memory, found.output)

    way = list(_descend(read, stage1_fmt, stage1_root, gva))
    reads = [step for step, _ in way] + [None] * (len(nested) - len(way))
    root = stage1_fmt.levels - 1
    steps = tuple(
        GuestStep(root - depth, *passed)
        for depth, passed in enumerate(zip(nested, reads, strict=True))
    )
    stage1 = None if None in reads else _conclude(stage1_fmt, gva, way)
    stage2 = None
    if stage1 is not None and stage1.output is not None:
        stage2 = walk(memory, stage2_fmt, stage2_root, stage1.output)
    return GuestTranslation(gva, steps, stage1, stage2, stage2_fmt.table_access)
