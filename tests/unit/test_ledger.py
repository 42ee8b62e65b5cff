"""The hypervisor's books are compared with what should be true, field by field."""

from dataclasses import replace

import pytest
from tests.unit.ferry import FRAMES, RAM, WINDOW, share, world

from pageferry.address import GPA, HPA
from pageferry.ledger import Kind, Record, discrepancies, free_frames
from pageferry.ownership import State, Wrong, apply
from pageferry.tables import Rights

TABLE = HPA(0xA0_0000)
TABLES = {TABLE: 1}


def right_books(state: State) -> dict[HPA, Record]:
    """What a hypervisor that makes no mistake has written down."""
    books = {TABLE: Record(Kind.TABLE, owner=1)}
    for vm, frames in FRAMES.items():
        for gpa, frame in zip(RAM, frames, strict=True):
            books[frame] = Record(Kind.GUEST, vm, 0, Rights.ALL, gpa)
    return books


def test_books_that_are_right_are_not_complained_about() -> None:
    assert discrepancies(world(), TABLES, right_books(world())) == []


def test_a_share_is_expected_with_both_ends_and_the_rights_of_before() -> None:
    state = apply(world(), share(1, RAM[0], 2, WINDOW[0])).state
    books = right_books(world())
    lent = Record(Kind.GUEST, 1, 2, Rights.ALL, RAM[0], WINDOW[0])
    assert discrepancies(state, TABLES, {**books, FRAMES[1][0]: lent}) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"kind": Kind.FREE}, "kind FRAME_FREE"),
        ({"owner": 2}, "owner 0x2"),
        ({"borrower": 2}, "borrower 0x2"),
        ({"rights": Rights.READ}, "rights read "),
        ({"owner_gpa": RAM[1]}, f"owner_gpa {RAM[1]:#x}"),
        ({"borrower_gpa": GPA(0x5000)}, "borrower_gpa 0x5000"),
    ],
)
def test_a_wrong_field_of_a_record_is_named(change: dict[str, object], named: str) -> None:
    books = right_books(world())
    frame = FRAMES[1][0]
    books[frame] = replace(books[frame], **change)  # type: ignore[arg-type]
    (found,) = discrepancies(world(), TABLES, books)
    assert found.kind is Wrong.BOOKKEEPING
    assert f"{named}" in found.text
    assert f"{frame:#x}" in found.text


def test_a_table_that_the_books_have_as_free_is_named() -> None:
    books = {**right_books(world()), TABLE: Record(Kind.FREE)}
    assert [found.kind for found in discrepancies(world(), TABLES, books)] == [
        Wrong.BOOKKEEPING,
        Wrong.BOOKKEEPING,
    ]


def test_a_frame_without_a_record_is_missed() -> None:
    books = right_books(world())
    del books[FRAMES[2][1]]
    assert discrepancies(world(), TABLES, books) != []


def test_a_guest_frame_that_nobody_has_is_lost() -> None:
    lost = HPA(0x90_0000)
    books = {**right_books(world()), lost: Record(Kind.GUEST, 1)}
    (found,) = discrepancies(world(), TABLES, books)
    assert f"{lost:#x}" in found.text


def test_the_free_frames_are_those_the_books_have_as_free() -> None:
    books = {**right_books(world()), HPA(0x9000): Record(Kind.FREE)}
    assert set(free_frames(books)) == {0x9000}


@pytest.mark.parametrize(
    "record",
    [Record(Kind.HYPERVISOR), Record(Kind.GUEST, 1), Record(Kind.FREE, borrower=1)],
    ids=["lost", "of a guest", "lent"],
)
def test_a_free_frame_with_another_record_is_named(record: Record) -> None:
    free = HPA(0x90_0000)
    state = replace(world(), free=frozenset({free}))
    assert discrepancies(state, TABLES, {**right_books(state), free: Record(Kind.FREE)}) == []
    (found,) = discrepancies(state, TABLES, {**right_books(state), free: record})
    assert f"{free:#x}" in found.text


def test_a_frame_of_the_hypervisor_that_the_books_have_as_free_is_named() -> None:
    own = HPA(0x1000)
    (found,) = discrepancies(world(), TABLES, {**right_books(world()), own: Record(Kind.FREE)})
    assert "kind FRAME_FREE of frame 0x1000, and it is FRAME_HYPERVISOR" in found.text
