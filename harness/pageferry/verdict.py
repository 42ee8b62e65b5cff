"""What happened to a page, told from what observers saw and from nothing else.

`judge` is a total function: every scene has exactly one verdict. It never learns
which operation was asked for, nor what the firmware answered. The rules are tried
from the top, strongest oracle first; the first that fits is the verdict, and
everything else that was wrong stands among the reasons.

    verdict          the observers saw

    unchanged        after = before in every detail, at both ends and elsewhere
    ill-posed        something changed, but the start was no hand-over's: the observers
                     disagreed already, the source did not read the page, the target had
                     one, both ends were one VM, or the frame was mapped elsewhere too
    stale-access     a guest reaches what its table denies, or reads what is not in the
                     frame its table names
    wrong-entry      a guest faults, by any of its vCPUs and addresses, where its table
                     grants
    second-mapping   one of the frames is named by another entry as well, or by an entry
                     of source or target that grants nothing
    nobody-reads     neither end reads
    bytes-lost       an end reads something else than the source read before

                     (from here on every reader reads the bytes of before)
                      source           target           frames
    remap             fault            read-write       target has the source's; the
                                                        source cannot get it back
    lend              fault            reads            the same, and it can
    given             fault            read-write       the same, and nobody tried
    one-reader        fault            read-only        the same, no lend
    share             read-only        read-only        both the source's
    one-writer        one of them read-write, the other read-only, both the source's
    two-writers       read-write       read-write       both the source's
    copy              as before        read-write       source its own, target another
    partial-copy      reads, less or   reads            source its own, target another
                      more, or target is read-only
    source-changed    reads otherwise  fault            source its own
    frame-differs     any other: a reader's page lies in a frame it should not (a move
                      by copying, two pages exchanged, a share of a copy)

"The source's frame" is the one its table named before. Rights to execute are not
part of a pattern, but a change of them is a change. What an entry says beside frame and
rights (a memory type, bits that are software's) is no part of a sight: a census has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from .address import GPA, HPA, in_hex
from .tables import Rights


class Access(Enum):
    """What a guest could do with a page: the strongest of what its aliases gave."""

    FAULT = "fault"
    READ_ONLY = "read-only"
    READ_WRITE = "read-write"


_RANK = {Access.FAULT: 0, Access.READ_ONLY: 1, Access.READ_WRITE: 2}


class Verdict(Enum):
    """The names of the table above."""

    REMAP = "remap"
    SHARE = "share"
    COPY = "copy"
    LEND = "lend"
    UNCHANGED = "unchanged"
    GIVEN = "given"
    ILL_POSED = "ill-posed"
    STALE_ACCESS = "stale-access"
    WRONG_ENTRY = "wrong-entry"
    SECOND_MAPPING = "second-mapping"
    NOBODY_READS = "nobody-reads"
    BYTES_LOST = "bytes-lost"
    ONE_READER = "one-reader"
    ONE_WRITER = "one-writer"
    TWO_WRITERS = "two-writers"
    PARTIAL_COPY = "partial-copy"
    SOURCE_CHANGED = "source-changed"
    FRAME_DIFFERS = "frame-differs"


@dataclass(frozen=True)
class Sight:
    """One end at one moment.

    frame   what the VM's table names, None for nothing
    rights  what the table allows
    access  what the guest itself could do, the strongest by any vCPU and alias
    least   the weakest of them where that is another, else None
    seen    digest of the bytes the guest read, None if it could not
    stored  digest of the frame's bytes in RAM, None without a frame

    Raises ValueError for what no observer can see: rights or bytes of no frame, a
    frame without bytes, a digest read without access.
    """

    frame: HPA | None
    rights: Rights
    access: Access
    seen: str | None
    stored: str | None
    least: Access | None = None

    __repr__ = in_hex

    def __post_init__(self) -> None:
        if self.least is not None and _RANK[self.least] >= _RANK[self.access]:
            raise ValueError(f"the weakest access is not the strongest: {self}")
        if (self.frame is None) != (self.stored is None):
            raise ValueError(f"a frame and its bytes come together: {self}")
        if self.frame is None and self.rights is not Rights.NONE:
            raise ValueError(f"rights to no frame: {self}")
        if (self.access is Access.FAULT) != (self.seen is None):
            raise ValueError(f"bytes are seen if and only if there is access: {self}")

    @property
    def weakest(self) -> Access:
        """By the vCPU and alias that could do least."""
        return self.least or self.access

    @property
    def granted(self) -> Access:
        """The access that the table allows."""
        if Rights.READ not in self.rights:
            return Access.FAULT
        return Access.READ_WRITE if Rights.WRITE in self.rights else Access.READ_ONLY


NOTHING = Sight(None, Rights.NONE, Access.FAULT, None, None)
"""No entry, and every access faults."""


@dataclass(frozen=True)
class End:
    """One end of the transfer: a VM's page, before and after."""

    vm: int
    gpa: GPA
    before: Sight
    after: Sight

    __repr__ = in_hex


@dataclass(frozen=True)
class Place:
    """An entry elsewhere that names one of the frames."""

    vm: int
    gpa: GPA
    frame: HPA

    __repr__ = in_hex


@dataclass(frozen=True)
class Scene:
    """All that was observed.

    strangers_before, strangers_after
              entries of any VM's table, other than the two ends', that name a frame
              of either end
    returned  whether the source got the page back by itself in a probe afterwards,
              None if nobody tried
    """

    source: End
    target: End
    strangers_before: frozenset[Place] = frozenset()
    strangers_after: frozenset[Place] = frozenset()
    returned: bool | None = None

    def __str__(self) -> str:
        """A line for each end and moment, with what each witness saw."""
        lines = [_COLUMNS.format("", "table's frame", "table", "guest", "guest read", "frame has")]
        for name, end in _ends(self):
            for when, sight in (("before", end.before), ("after", end.after)):
                lines.append(_line(f"{name} {when}", sight))
        return "\n".join(lines)


_COLUMNS = "    {:14}{:15}{:12}{:12}{:18}{}"


def _line(name: str, sight: Sight) -> str:
    frame = "none" if sight.frame is None else f"{sight.frame:#x}"
    granted, access = sight.granted.value, sight.access.value
    return _COLUMNS.format(name, frame, granted, access, sight.seen or "-", sight.stored or "-")


@dataclass(frozen=True)
class Judgement:
    """The verdict, in sentences why (the first are its own), and what it was made from."""

    verdict: Verdict
    reasons: tuple[str, ...]
    scene: Scene = field(compare=False)

    def __str__(self) -> str:
        because = "".join(f"\n    {reason}" for reason in self.reasons)
        return f"the verdict is {self.verdict.value}, because{because}\n{self.scene}"

    def require(self, verdict: Verdict) -> None:
        """AssertionError, with all that each witness saw, if the verdict is another."""
        __tracebackhide__ = True
        if self.verdict is not verdict:
            raise AssertionError(f"expected {verdict.value}; {self}")


def judge(scene: Scene) -> Judgement:
    """The one verdict of `scene`. Never raises."""
    if _unchanged(scene):
        return Judgement(Verdict.UNCHANGED, ("nothing differs from before",), scene)
    faults = [(verdict, reason) for verdict, rule in _FAULTS for reason in rule(scene)]
    if faults:
        return Judgement(faults[0][0], tuple(reason for _, reason in faults), scene)
    verdict = _pattern(scene)
    return Judgement(verdict, _account(scene), scene)


def _unchanged(scene: Scene) -> bool:
    return (
        scene.source.before == scene.source.after
        and scene.target.before == scene.target.after
        and scene.strangers_before == scene.strangers_after
        and not list(_contradictions(scene.source.before))
        and not list(_contradictions(scene.target.before))
    )


def _ends(scene: Scene) -> tuple[tuple[str, End], tuple[str, End]]:
    return ("source", scene.source), ("target", scene.target)


def _frame(frame: HPA | None) -> str:
    return "no frame" if frame is None else f"frame {frame:#x}"


def _stale(sight: Sight) -> Iterator[str]:
    if _RANK[sight.access] > _RANK[sight.granted]:
        yield f"reaches the page {sight.access.value}, its table says {sight.granted.value}"
    elif sight.seen is not None and sight.seen != sight.stored:
        yield f"reads what is not in {_frame(sight.frame)}, which its table names"


def _wrong(sight: Sight) -> Iterator[str]:
    if _RANK[sight.weakest] < _RANK[sight.granted]:
        some = "" if sight.weakest is sight.access else ", by some of its vCPUs and addresses,"
        yield f"has{some} {sight.weakest.value} where its table says {sight.granted.value}"


def _contradictions(sight: Sight) -> Iterator[str]:
    yield from _stale(sight)
    yield from _wrong(sight)


def _ill_posed(scene: Scene) -> Iterator[str]:
    for name, end in _ends(scene):
        for reason in _contradictions(end.before):
            yield f"before, the {name} {reason}"
    if scene.source.vm == scene.target.vm:
        yield "source and target are one VM"
    if scene.source.before.access is Access.FAULT:
        yield "the source did not read the page before"
    if scene.target.before != NOTHING:
        yield f"the target had {_frame(scene.target.before.frame)} there before"
    for place in sorted(scene.strangers_before, key=lambda p: (p.vm, p.gpa)):
        yield f"VM {place.vm} mapped {_frame(place.frame)} at {place.gpa:#x} before"


def _stale_access(scene: Scene) -> Iterator[str]:
    for name, end in _ends(scene):
        for reason in _stale(end.after):
            yield f"the {name} {reason}"


def _wrong_entry(scene: Scene) -> Iterator[str]:
    for name, end in _ends(scene):
        for reason in _wrong(end.after):
            yield f"the {name} {reason}"


def _second_mapping(scene: Scene) -> Iterator[str]:
    for place in sorted(scene.strangers_after, key=lambda p: (p.vm, p.gpa)):
        yield f"VM {place.vm} maps {_frame(place.frame)} at {place.gpa:#x} as well"
    for name, end in _ends(scene):
        if end.after.frame is not None and end.after.granted is Access.FAULT:
            yield f"the {name}'s table names {_frame(end.after.frame)} and grants nothing"


def _nobody_reads(scene: Scene) -> Iterator[str]:
    if all(end.after.access is Access.FAULT for _, end in _ends(scene)):
        yield "neither the source nor the target reads the page"


def _bytes_lost(scene: Scene) -> Iterator[str]:
    for name, end in _ends(scene):
        if end.after.seen not in (None, scene.source.before.seen):
            yield f"the {name} reads other bytes than the source read before"


_FAULTS: tuple[tuple[Verdict, Callable[[Scene], Iterator[str]]], ...] = (
    (Verdict.ILL_POSED, _ill_posed),
    (Verdict.STALE_ACCESS, _stale_access),
    (Verdict.WRONG_ENTRY, _wrong_entry),
    (Verdict.SECOND_MAPPING, _second_mapping),
    (Verdict.NOBODY_READS, _nobody_reads),
    (Verdict.BYTES_LOST, _bytes_lost),
)


def _pattern(scene: Scene) -> Verdict:
    """The lower half of the table: somebody reads, and reads the bytes of before."""
    source, target = scene.source.after, scene.target.after
    own = scene.source.before.frame
    if source.access is Access.FAULT:
        return _given(scene) if target.frame == own else Verdict.FRAME_DIFFERS
    if source.frame != own:
        return Verdict.FRAME_DIFFERS
    if target.access is Access.FAULT:
        return Verdict.SOURCE_CHANGED
    if target.frame != own:
        full = target.access is Access.READ_WRITE and source == scene.source.before
        return Verdict.COPY if full else Verdict.PARTIAL_COPY
    writers = [source.access, target.access].count(Access.READ_WRITE)
    return (Verdict.SHARE, Verdict.ONE_WRITER, Verdict.TWO_WRITERS)[writers]


def _given(scene: Scene) -> Verdict:
    """Only the target reads, in the source's frame: for good?"""
    if scene.returned:
        return Verdict.LEND
    if scene.target.after.access is Access.READ_ONLY:
        return Verdict.ONE_READER
    return Verdict.GIVEN if scene.returned is None else Verdict.REMAP


def _account(scene: Scene) -> tuple[str, ...]:
    """What was seen, for a verdict that no fault decides."""
    own = scene.source.before.frame
    found = [f"the source had {_frame(own)}"]
    for name, end in _ends(scene):
        frame = "the same frame" if end.after.frame == own else _frame(end.after.frame)
        found.append(f"the {name} now has {end.after.access.value} access, in {frame}")
    found.append("every reader reads the bytes of before")
    if scene.source.after.access is Access.FAULT:
        outcome = {True: "got it back", False: "could not get it back", None: "did not try"}
        found.append(f"asked to take it back by itself, the source {outcome[scene.returned]}")
    return tuple(found)
