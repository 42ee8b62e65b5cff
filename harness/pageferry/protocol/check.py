"""The rules of the protocol, applied to events in their order.

Of every break is known which CPUs may still hold what it has taken away: those that ran
the VM since they last forgot its translations. They leave that set by an invalidation that
has taken effect, or by a flush at their next entry. Whoever makes an entry that the break
was for, or gives the lock back, claims that the break is complete.

A CPU outside its guest may hold what it likes, until it enters with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..address import GPA, HPA, page_of
from ..tables import Rights, TableFormat
from . import events as ev
from .shadow import Change, Page, Shadow

Held = tuple[int, int]
"""A CPU, and the tag under which it holds translations."""


class Rule(Enum):
    """What has to be so."""

    BREAK_FIRST = "a frame that somebody can write is nobody else's: break before make"
    VALID_TO_VALID = "an entry never goes from one translation to another: break before make"
    INVALIDATE = "between break and make there is an invalidation"
    EVERY_CPU = "the invalidation reaches every CPU that may hold the translation"
    COMPLETE = "the invalidation is complete before the make"
    ENTER = "no CPU enters a guest with a translation that had to be forgotten"
    TAG = "the translations of two VMs never have the same tag on a CPU"
    TABLE = "no guest reaches a frame that holds a table"
    TABLE_REUSE = "a frame that held a table is used again only when no CPU walks it"
    PUBLISH = "table walkers find a new entry before the lock is given back"
    LOCK = "tables and books change under the lock"
    WHOLE = "the lock is kept until a frame is one VM's to write, or only read"
    CONTENT = "what is in a frame is there before a guest has it"
    ACCESS = "after completion the old owner does not reach the frame"


@dataclass(frozen=True)
class Violation:
    """A rule, the event that broke it, what was expected of it, and of which break."""

    rule: Rule
    event: ev.Event
    expected: str
    broken: ev.Event | None = None


@dataclass(frozen=True)
class Start:
    """How things stood before the first event.

    fmt, ignored, roots, words  the tables, as in `Shadow`
    inside            by CPU, the VM and the tag of the guest that runs there
    holds             what CPUs may hold of which VMs
    stores_in_order   table walkers see stores in order, so no barrier has to publish them
    has_lock          the events tell who has the lock
    """

    fmt: TableFormat
    ignored: int
    roots: Mapping[int, HPA]
    words: Mapping[int, int]
    inside: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    holds: frozenset[tuple[Held, int]] = frozenset()
    stores_in_order: bool = True
    has_lock: bool = True


@dataclass(eq=False)
class _Break:
    """A translation that was taken away, or a table that was (rights: NONE)."""

    store: ev.Store
    vm: int
    gpa: GPA
    frame: HPA
    rights: Rights
    holders: dict[Held, ev.Part]
    published: bool
    issued: bool = False
    told: int = 0

    def __str__(self) -> str:
        return f"page {self.gpa:#x} of VM {self.vm}, frame {self.frame:#x}"

    def forget(self, held: Held, parts: ev.Part) -> None:
        left = self.holders.get(held, ev.Part.NONE) & ~parts
        if left:
            self.holders[held] = left
        else:
            self.holders.pop(held, None)

    def effective(self, held: Held, parts: ev.Part) -> ev.Part:
        """Combined translations are made again from what is left of stage 2."""
        first_gone = not self.holders[held] & ~parts & ev.Part.STAGE2
        return parts if first_gone else parts & ~ev.Part.COMBINED


class _Check:
    def __init__(self, start: Start) -> None:
        self.found: list[Violation] = []
        self._start = start
        self._shadow = Shadow(start.fmt, start.ignored, start.roots, start.words)
        self._inside = dict(start.inside)  # by CPU: VM and tag
        self._holds = set(start.holds)
        self._entered: dict[Held, int] = {}  # by which VM, and since then not forgotten
        self._open: list[_Break] = []
        self._claimed: dict[Held, list[_Break]] = {}  # complete, as was claimed
        self._on_the_way: dict[int, list[tuple[_Break, Held, ev.Part]]] = {}
        self._locked: set[int] = set()
        self._unsettled: set[int] = set()  # CPUs that have selected another VM
        self._changed: dict[HPA, ev.Store] = {}  # frames, since the lock was taken
        self._unpublished: dict[int, ev.Store] = {}  # by CPU: the entry that it made last
        self._suspects: list[ev.Access] = []

    def _violated(
        self, rule: Rule, event: ev.Event, expected: str, broken: _Break | None = None
    ) -> None:
        self.found.append(Violation(rule, event, expected, broken.store if broken else None))

    def feed(self, event: ev.Event) -> None:
        """The next event."""
        match event:
            case ev.Store():
                self._store(event)
            case ev.Access():
                self._access(event)
            case ev.Enter():
                self._enter(event)
            case ev.Leave():
                self._inside.pop(event.cpu, None)
                self._unsettled.discard(event.cpu)
            case ev.Select():
                self._unsettled.add(event.cpu)
            case ev.Settle():
                self._unsettled.discard(event.cpu)
            case ev.Invalidate():
                if event.cpu not in self._unsettled:
                    self._invalidate(event)
            case ev.Books():
                self._under_lock(event)
            case ev.Barrier():
                self._barrier(event)
            case ev.Kick():
                for broken in self._open:
                    broken.told += broken.store.cpu == event.cpu
            case ev.Lock():
                self._lock(event)

    # Tables

    def _store(self, event: ev.Store) -> None:
        for broken in [it for it in self._open if it.frame == page_of(event.address)]:
            if not broken.rights and self._missing(broken):
                self._violated(Rule.TABLE_REUSE, event, f"the table of {broken} is walked", broken)
                self._open.remove(broken)
        for vm, gpa in self._shadow.mappings(page_of(event.address)):
            what = f"this is in the frame before it is page {gpa:#x} of VM {vm}"
            self._violated(Rule.CONTENT, event, what)
        change = self._shadow.store(event.address, event.value)
        if change is None:
            return
        self._under_lock(event)
        if change.replaces:
            what = f"the entry for page {change.gpa:#x} of VM {change.vm} becomes absent first"
            self._violated(Rule.VALID_TO_VALID, event, what)
        else:
            for page in (*change.lost.pages, *change.gained.pages):
                self._changed[page.frame] = event
            self._make(event, change)
        self._break(event, change)

    def _under_lock(self, event: ev.Event) -> None:
        if self._start.has_lock and event.cpu not in self._locked:
            self._violated(Rule.LOCK, event, f"CPU {event.cpu} takes the lock first")

    def _break(self, event: ev.Store, change: Change) -> None:
        kept = {(page.gpa, page.frame): page.rights for page in change.gained.pages}
        for page in change.lost.pages:
            taken = page.rights & ~kept.get((page.gpa, page.frame), Rights.NONE)
            if taken:
                self._open.append(self._new_break(event, page, taken))
        for table in change.lost.tables:
            for frame in self._shadow.frames(table):
                page = Page(table.vm, GPA(table.gpa), frame, Rights.NONE)
                self._open.append(self._new_break(event, page, Rights.NONE))

    def _new_break(self, event: ev.Store, page: Page, taken: Rights) -> _Break:
        holders = {held: ev.Part.ALL for held, vm in self._holds if vm == page.vm}
        published = self._start.stores_in_order
        return _Break(event, page.vm, page.gpa, page.frame, taken, holders, published)

    def _make(self, event: ev.Store, change: Change) -> None:
        made = change.gained.pages or change.gained.tables
        if made and not self._start.stores_in_order:
            self._unpublished[event.cpu] = event
        for page in change.gained.pages:
            for (vm, gpa), rights in self._shadow.mappings(page.frame).items():
                other = (vm, gpa) != (page.vm, page.gpa)
                if other and (rights | page.rights) & Rights.WRITE:
                    what = f"frame {page.frame:#x} is no longer page {gpa:#x} of VM {vm}"
                    self._violated(Rule.BREAK_FIRST, event, what)
            if self._shadow.is_table(page.frame):
                self._violated(Rule.TABLE, event, f"frame {page.frame:#x} is given to no guest")
            for broken in list(self._open):
                if broken.frame == page.frame or (broken.vm, broken.gpa) == page[:2]:
                    self._claim(broken, event)
            self._suspects = [
                it for it in self._suspects if not (it.number >= event.since and _allows(page, it))
            ]

    # Invalidation

    def _missing(self, broken: _Break) -> tuple[Rule, str] | None:
        """What the break still needs to be complete."""
        if not broken.issued:
            return Rule.INVALIDATE, f"an invalidation of {broken} comes before this"
        for cpu, tag in broken.holders:
            if self._inside.get(cpu) != (broken.vm, tag):
                continue
            on_the_way = any(
                it is broken and held == (cpu, tag)
                for queue in self._on_the_way.values()
                for it, held, _ in queue
            )
            if broken.told or on_the_way:
                return Rule.COMPLETE, f"CPU {cpu} has forgotten {broken} before this"
            return Rule.EVERY_CPU, f"CPU {cpu}, in VM {broken.vm}, is told to forget {broken}"
        return None

    def _claim(self, broken: _Break, event: ev.Event) -> None:
        """The event says that the break is complete."""
        self._open.remove(broken)
        missing = self._missing(broken)
        if missing:
            rule, expected = missing
            self._violated(rule, event, expected, broken)
            self._changed.pop(broken.frame, None)  # once is enough
            return
        for held in broken.holders:
            self._claimed.setdefault(held, []).append(broken)

    def _invalidate(self, event: ev.Invalidate) -> None:
        claimed = (broken for breaks in self._claimed.values() for broken in breaks)
        for broken in [*self._open, *claimed]:
            meant = event.vm in (None, broken.vm) and event.gpa in (None, broken.gpa)
            ordered = event.orders and event.cpu == broken.store.cpu
            if not meant or not (broken.published or ordered):
                continue
            broken.issued = True
            if event.effect is ev.Effect.AT_ENTRY:  # done by whoever enters
                continue
            for held in list(broken.holders):
                if not event.everywhere and held[0] != event.cpu:
                    continue
                parts = broken.effective(held, event.parts)
                if event.effect is ev.Effect.AT_ONCE:
                    broken.forget(held, parts)
                else:
                    queue = self._on_the_way.setdefault(event.cpu, [])
                    queue.append((broken, held, parts))

    def _barrier(self, event: ev.Barrier) -> None:
        if event.completes:
            for broken, held, parts in self._on_the_way.pop(event.cpu, []):
                broken.forget(held, parts)
        if event.publishes:
            self._unpublished.pop(event.cpu, None)
            for broken in self._open:
                broken.published |= broken.store.cpu == event.cpu

    def _lock(self, event: ev.Lock) -> None:
        if event.taken:
            self._locked.add(event.cpu)
            return
        self._locked.discard(event.cpu)
        made = self._unpublished.pop(event.cpu, None)
        if made:
            what = f"a barrier publishes the entry at {made.address:#x} before this"
            self._violated(Rule.PUBLISH, event, what)
        for broken in [it for it in self._open if it.store.cpu == event.cpu]:
            self._claim(broken, event)
        self._whole(event)

    def _whole(self, event: ev.Lock) -> None:
        """No other CPU finds a change half done."""
        for frame in [it for it, store in self._changed.items() if store.cpu == event.cpu]:
            store = self._changed.pop(frame)
            rights = list(self._shadow.mappings(frame).values())
            if not rights or (len(rights) == 1 and not rights[0] & Rights.WRITE):
                what = f"somebody has frame {frame:#x}, and writes it if it has it alone, by now"
                self.found.append(Violation(Rule.WHOLE, event, what, store))

    # Guests

    def _enter(self, event: ev.Enter) -> None:
        held = event.cpu, event.tag
        if event.flush is not ev.Flush.NONE:
            self._flush(event)
        before = self._entered.setdefault(held, event.vm)
        if before != event.vm:
            what = f"VM {event.vm} has another tag than VM {before}, or the CPU flushes"
            self._violated(Rule.TAG, event, what)
        for broken in self._claimed.pop(held, []):
            if held in broken.holders:
                what = f"CPU {event.cpu} forgets {broken} first"
                self._violated(Rule.ENTER, event, what, broken)
        self._holds.add((held, event.vm))
        self._inside[event.cpu] = event.vm, event.tag

    def _flush(self, event: ev.Enter) -> None:
        for held, vm in list(self._holds):
            cpu, tag = held
            if cpu == event.cpu and (event.flush is ev.Flush.ALL or tag == event.tag):
                self._holds.discard((held, vm))
                self._entered.pop(held, None)
                self._claimed.pop(held, None)
                for broken in self._open:
                    broken.holders.pop(held, None)

    def _access(self, event: ev.Access) -> None:
        for (vm, _), rights in self._shadow.mappings(event.frame).items():
            if vm == event.vm and rights & event.right:
                return
        if not any(_may_still(broken, event) for broken in self._open):
            self._suspects.append(event)

    def end(self) -> list[Violation]:
        """All that was found, in order. A guest may have used an entry just made, whose
        store was recorded a little later: such accesses are no longer suspects."""
        for event in self._suspects:
            rule = Rule.TABLE if self._shadow.is_table(event.frame) else Rule.ACCESS
            what = f"VM {event.vm} has no way to {event.right.name} frame {event.frame:#x}"
            self._violated(rule, event, what)
        return sorted(self.found, key=lambda it: it.event.number)


def _allows(page: Page, access: ev.Access) -> bool:
    same = (page.vm, page.frame) == (access.vm, access.frame)
    return same and bool(page.rights & access.right)


def _may_still(broken: _Break, access: ev.Access) -> bool:
    """Whether the CPU may use the old translation, for the break is not yet complete."""
    same = (broken.vm, broken.frame) == (access.vm, access.frame)
    return (
        same
        and bool(broken.rights & access.right)
        and any(cpu == access.cpu for cpu, _ in broken.holders)
    )


def check(start: Start, events: Iterable[ev.Event]) -> list[Violation]:
    """Every violation of a rule, in order; empty if there is none."""
    it = _Check(start)
    for event in events:
        it.feed(event)
    return it.end()
