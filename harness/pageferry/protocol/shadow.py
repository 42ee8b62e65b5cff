"""The stage-2 tables of every VM, kept up to date store by store.

A store into a live table, one that is reached from a root, is a `Change`. What lies below
an entry is read from memory as it is then, so that tables may be filled before they are
linked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..address import GPA, HPA, PAGE_SIZE, page_of
from ..tables import ENTRY_SIZE, Entry, Kind, Rights, TableFormat


class Page(NamedTuple):
    """One page of a VM and the frame it has."""

    vm: int
    gpa: GPA
    frame: HPA
    rights: Rights


class Table(NamedTuple):
    """A live table: of the entries at `level`, from the one for `gpa` on."""

    vm: int
    base: HPA
    level: int
    gpa: int


@dataclass(frozen=True)
class Below:
    """What an entry leads to."""

    pages: tuple[Page, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Change:
    """An entry that means something else than before; `gpa` is its first page."""

    vm: int
    gpa: GPA
    before: Entry
    after: Entry
    lost: Below
    gained: Below

    @property
    def replaces(self) -> bool:
        """Whether the entry went from one translation to another, or gained a right."""
        if Kind.ABSENT in (self.before.kind, self.after.kind):
            return False
        same = self.before[:2] == self.after[:2]
        return not same or bool(self.after.rights & ~self.before.rights)


class Shadow:
    """The tables.

    fmt      how entries are decoded
    ignored  bits of an entry that the CPU sets by itself
    roots    by VM
    words    memory by the address of 8 bytes, where it is not zero
    """

    def __init__(
        self, fmt: TableFormat, ignored: int, roots: Mapping[int, HPA], words: Mapping[int, int]
    ) -> None:
        self._format = fmt
        self._ignored = ignored
        self._words = dict(words)
        self._tables: dict[HPA, Table] = {}
        self._mapped: dict[HPA, dict[tuple[int, GPA], Rights]] = {}
        for vm, root in roots.items():
            self._link(self._table(Table(vm, root, fmt.levels - 1, 0)))

    def store(self, address: HPA, value: int) -> Change | None:
        """Memory changes. None if no live table does."""
        old = self._words.get(address, 0)
        self._words[address] = value
        table = self._tables.get(page_of(address))
        if table is None or not (old ^ value) & ~self._ignored:
            return None
        span = self._format.span(table.level)
        gpa = table.gpa + (address - table.base) // ENTRY_SIZE * span
        before, after = (self._format.entry(raw, table.level) for raw in (old, value))
        lost = self._below(before, table.vm, gpa, table.level)
        gained = self._below(after, table.vm, gpa, table.level)
        self._unlink(lost)
        self._link(gained)
        return Change(table.vm, GPA(gpa), before, after, lost, gained)

    def mappings(self, frame: HPA) -> Mapping[tuple[int, GPA], Rights]:
        """Who reaches the frame now, where, and with which rights."""
        return self._mapped.get(frame, {})

    def is_table(self, frame: HPA) -> bool:
        """Whether a live table lies in the frame."""
        return frame in self._tables

    def _below(self, entry: Entry, vm: int, gpa: int, level: int) -> Below:
        if entry.kind is Kind.TABLE:
            return self._table(Table(vm, HPA(entry.output), level - 1, gpa))
        if entry.kind is not Kind.LEAF:
            return Below()
        offsets = range(0, self._format.span(level), PAGE_SIZE)
        pages = (Page(vm, GPA(gpa + it), HPA(entry.output + it), entry.rights) for it in offsets)
        return Below(pages=tuple(pages))

    def _table(self, table: Table) -> Below:
        pages: list[Page] = []
        tables = [table]
        for offset in range(0, self._format.table_size(table.level), ENTRY_SIZE):
            raw = self._words.get(table.base + offset, 0)
            if not raw:
                continue
            gpa = table.gpa + offset // ENTRY_SIZE * self._format.span(table.level)
            entry = self._format.entry(raw, table.level)
            below = self._below(entry, table.vm, gpa, table.level)
            pages += below.pages
            tables += below.tables
        return Below(tuple(pages), tuple(tables))

    def frames(self, table: Table) -> list[HPA]:
        """The frames that a table lies in."""
        size = self._format.table_size(table.level)
        return [page_of(HPA(table.base + offset)) for offset in range(0, size, PAGE_SIZE)]

    def _link(self, below: Below) -> None:
        for table in below.tables:
            self._tables.update(dict.fromkeys(self.frames(table), table))
        for page in below.pages:
            self._mapped.setdefault(page.frame, {})[page.vm, page.gpa] = page.rights

    def _unlink(self, below: Below) -> None:
        for table in below.tables:
            for frame in self.frames(table):
                self._tables.pop(frame, None)
        for page in below.pages:
            self._mapped.get(page.frame, {}).pop((page.vm, page.gpa), None)
