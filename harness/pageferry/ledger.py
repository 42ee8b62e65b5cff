"""The hypervisor's own books against what should be true: wrong bookkeeping has a name.

Tables that are right today with books that are wrong are tomorrow's leak: the books
decide who may give a page away. `discrepancies` compares each record of a frame with
the ownership model and with the tables that were walked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from .address import GPA, HPA, in_hex
from .ownership import Disagreement, State, Wrong
from .tables import Rights


class Kind(Enum):
    """What a record says a frame is, by the hypervisor's own names."""

    HYPERVISOR = "FRAME_HYPERVISOR"
    FREE = "FRAME_FREE"
    TABLE = "FRAME_TABLE"
    GUEST = "FRAME_GUEST"


@dataclass(frozen=True)
class Record:
    """What the hypervisor wrote down about one frame (struct frame); 0 is nobody."""

    kind: Kind
    owner: int = 0
    borrower: int = 0
    rights: Rights = Rights.NONE
    owner_gpa: GPA = GPA(0)  # noqa: RUF009
    borrower_gpa: GPA = GPA(0)  # noqa: RUF009

    __repr__ = in_hex


NOBODY = Record(Kind.HYPERVISOR)
"""The record of a frame that is never handed out."""

FREE = Record(Kind.FREE)
"""The record of a frame that is nobody's yet."""


def discrepancies(
    state: State, tables: Mapping[HPA, int], records: Mapping[HPA, Record]
) -> list[Disagreement]:
    """Where the records say something else than `state`, whose copies are bound.

    tables   frames of stage-2 tables, found by walking, and the VM each belongs to
    records  of every frame that is not NOBODY
    """
    expected = _expected(state, tables)
    frames = expected.keys() | records.keys() | (state.free or set())
    found = [
        Disagreement(Wrong.BOOKKEEPING, text)
        for frame in sorted(frames)
        for text in _compare(
            frame, expected.get(frame) or _of_nobody(state, frame), records.get(frame, NOBODY)
        )
    ]
    return found


def _of_nobody(state: State, frame: HPA) -> Record:
    """What the record of a frame is that nobody has."""
    return FREE if frame in (state.free or ()) else NOBODY


def _expected(state: State, tables: Mapping[HPA, int]) -> dict[HPA, Record]:
    expected = {frame: Record(Kind.TABLE, owner=vm) for frame, vm in tables.items()}
    for vm, held in state.vms.items():
        for gpa, page in held.pages.items():
            holding = state.frames.get(page.frame)
            if not isinstance(page.frame, int) or holding is None or holding.owner != vm:
                continue
            loan = holding.loan
            if loan is None:
                expected[HPA(page.frame)] = Record(Kind.GUEST, vm, 0, page.rights, gpa)
            else:
                expected[HPA(page.frame)] = Record(
                    Kind.GUEST, vm, loan.borrower, loan.before, gpa, loan.gpa
                )
    return expected


def _compare(frame: HPA, expected: Record, record: Record) -> Iterator[str]:
    if expected == record:
        return
    if expected.owner == 0 and record.kind in (Kind.GUEST, Kind.TABLE):
        yield f"frame {frame:#x} is {record.kind.value} in the books, and nobody has it"
        return
    for name in Record.__annotations__:
        should, does = getattr(expected, name), getattr(record, name)
        if should != does:
            yield (
                f"the books say {name} {_shown(does)} of frame {frame:#x}, "
                f"and it is {_shown(should)}"
            )


def _shown(value: object) -> str:
    if isinstance(value, Kind):
        return value.value
    if isinstance(value, Rights):
        return "+".join(right.name.lower() for right in value if right.name) or "nothing"
    return f"{value:#x}" if isinstance(value, int) else str(value)


def free_frames(records: Mapping[HPA, Record]) -> Collection[HPA]:
    """The frames that the books have as free."""
    return {frame for frame, record in records.items() if record.kind is Kind.FREE}
