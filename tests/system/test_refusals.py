"""Whatever is refused has a named status, and leaves everything as it was."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from tests.system.tampering import point_at

from pageferry import Machine, Testbed, books, ledger
from pageferry.abi import GuestMap, Operation, Status
from pageferry.address import HPA, PAGE_SIZE
from pageferry.errors import FirmwarePanic, TargetLacks, WaitTimeout
from pageferry.testbed import Door

# How many CPUs there are makes no difference to what is refused; three times as many
# doors do.
pytestmark = pytest.mark.pageferry(cpus=1)

RAM_END = GuestMap.RAM + GuestMap.RAM_SIZE
WINDOW_END = GuestMap.WINDOW + GuestMap.WINDOW_SIZE
HIGH = 1 << 63


def no_preparation(bed: Testbed) -> None:
    pass


def lend_the_page(bed: Testbed) -> None:
    a, b = bed.guests
    bed.share(a, a.page(0), b, b.window(0))


def borrow_the_page(bed: Testbed) -> None:
    a, b = bed.guests
    bed.share(b, b.page(0), a, a.window(0))


def fill_the_target(bed: Testbed) -> None:
    a, b = bed.guests
    bed.remap(a, a.page(1), b, b.window(0))


def give_the_page_away(bed: Testbed) -> None:
    a, b = bed.guests
    bed.remap(a, a.page(0), b, b.window(1))


def withdraw_the_target(bed: Testbed) -> None:
    b = bed.guests[1]
    b.withdraw(b.window(0))


def point_the_page_at(bed: Testbed, frame: HPA) -> None:
    a = bed.guests[0]
    point_at(bed, a, a.page(0), frame)


def map_a_frame_of_the_hypervisor(bed: Testbed) -> None:
    point_the_page_at(bed, HPA(bed.machine.image.symbol("hypervisor_start")))


def map_a_frame_of_a_table(bed: Testbed) -> None:
    point_the_page_at(bed, bed.guests[1].stage2_root)


def map_a_frame_of_a_table_in_the_window(bed: Testbed) -> None:
    a, b = bed.guests
    bed.remap(b, b.page(1), a, a.window(0))
    point_at(bed, a, a.window(0), b.stage2_root)


def map_a_free_frame(bed: Testbed) -> None:
    point_the_page_at(bed, max(ledger.free_frames(books.records(bed.firmware, bed.machine))))


def map_no_ram_at_all(bed: Testbed) -> None:
    point_the_page_at(bed, HPA(bed.machine.arch.ram_base + (1 << 36)))


@dataclass(frozen=True)
class Case:
    """`arguments` are those after the operation; None stands for the usual one."""

    status: Status
    name: str
    prepare: Callable[[Testbed], None] = no_preparation
    gpa: int | None = None
    target: int = 2
    to: int | None = None
    operations: tuple[Operation, ...] = (Operation.REMAP, Operation.SHARE, Operation.COPY)


CASES = [
    Case(Status.UNKNOWN_VM, "no VM 0", target=0),
    Case(Status.UNKNOWN_VM, "no VM 3", target=3),
    Case(Status.UNKNOWN_VM, "no VM that big", target=HIGH + 2),
    Case(Status.SAME_VM, "to itself", target=1),
    Case(Status.MISALIGNED, "source by a byte", gpa=GuestMap.PAGES + 1),
    Case(Status.MISALIGNED, "target by half a page", to=GuestMap.WINDOW + PAGE_SIZE // 2),
    Case(Status.OUT_OF_RANGE, "source below RAM", gpa=GuestMap.RAM - PAGE_SIZE),
    Case(Status.OUT_OF_RANGE, "source above RAM", gpa=RAM_END),
    Case(Status.OUT_OF_RANGE, "source above the window", gpa=WINDOW_END),
    Case(Status.OUT_OF_RANGE, "source far away", gpa=HIGH),
    Case(Status.OUT_OF_RANGE, "target in RAM", to=GuestMap.PAGES),
    Case(Status.OUT_OF_RANGE, "target below the window", to=GuestMap.WINDOW - PAGE_SIZE),
    Case(Status.OUT_OF_RANGE, "target above the window", to=WINDOW_END),
    Case(Status.OUT_OF_RANGE, "target at the end of the world", to=(1 << 64) - PAGE_SIZE),
    Case(Status.NOT_MAPPED, "an empty page of the window", gpa=GuestMap.WINDOW),
    Case(Status.NOT_MAPPED, "given away before", give_the_page_away),
    Case(Status.PROTECTED, "the hypervisor's frame", map_a_frame_of_the_hypervisor),
    Case(Status.PROTECTED, "a table's frame", map_a_frame_of_a_table),
    Case(
        Status.PROTECTED,
        "a table in the window",
        map_a_frame_of_a_table_in_the_window,
        gpa=GuestMap.WINDOW,
    ),
    Case(Status.PROTECTED, "a free frame", map_a_free_frame),
    Case(Status.PROTECTED, "no RAM", map_no_ram_at_all),
    Case(Status.NOT_OWNER, "borrowed", borrow_the_page, gpa=GuestMap.WINDOW),
    Case(Status.SHARED, "lent", lend_the_page, to=GuestMap.WINDOW + PAGE_SIZE),
    Case(Status.NOT_POSTED, "withdrawn", withdraw_the_target),
    Case(Status.OCCUPIED, "a page there", fill_the_target),
]


def each(cases: list[Case]) -> list[object]:
    return [
        pytest.param(case, operation, id=f"{operation.name.lower()}-{case.name.replace(' ', '-')}")
        for case in cases
        for operation in case.operations
    ]


def refused_without_a_trace(
    bed: Testbed, door: Door, status: Status, operation: int, *arguments: int
) -> None:
    before = bed.census()
    try:
        said: Status | str = bed.request(operation, bed.guests[0], *arguments, door=door).status
    except (FirmwarePanic, WaitTimeout) as error:  # as what checks nothing may end
        said = f"no answer: {error}"
    assert said is status
    scratch = bed.agents_pages() if door is Door.GUEST else ()
    assert before.changes(bed.census(), scratch) == []


@pytest.mark.parametrize(("case", "operation"), each(CASES))
def test_a_refused_hand_over_changes_nothing(
    bed: Testbed, door: Door, case: Case, operation: Operation
) -> None:
    a, b = bed.guests
    case.prepare(bed)
    gpa = a.page(0) if case.gpa is None else case.gpa
    to = b.window(0) if case.to is None else case.to
    refused_without_a_trace(bed, door, case.status, operation, gpa, case.target, to)


ENDINGS = [
    Case(Status.MISALIGNED, "by a byte", lend_the_page, gpa=GuestMap.PAGES + 1),
    Case(Status.OUT_OF_RANGE, "above RAM", lend_the_page, gpa=RAM_END),
    Case(Status.NOT_MAPPED, "an empty page", lend_the_page, gpa=GuestMap.WINDOW),
    Case(Status.NOT_SHARED, "never shared"),
    Case(Status.PROTECTED, "a table's frame", map_a_frame_of_a_table),
]


@pytest.mark.parametrize("operation", [Operation.RECLAIM, Operation.RELINQUISH])
@pytest.mark.parametrize("case", ENDINGS, ids=lambda case: case.name.replace(" ", "-"))
def test_a_share_that_is_none_cannot_be_ended(
    bed: Testbed, door: Door, case: Case, operation: Operation
) -> None:
    case.prepare(bed)
    gpa = bed.guests[0].page(0) if case.gpa is None else case.gpa
    refused_without_a_trace(bed, door, case.status, operation, gpa)


def test_the_borrower_cannot_reclaim(bed: Testbed, door: Door) -> None:
    borrow_the_page(bed)
    at = bed.guests[0].window(0)
    refused_without_a_trace(bed, door, Status.NOT_OWNER, Operation.RECLAIM, at)


def test_the_owner_cannot_relinquish(bed: Testbed, door: Door) -> None:
    lend_the_page(bed)
    at = bed.guests[0].page(0)
    refused_without_a_trace(bed, door, Status.NOT_SHARED, Operation.RELINQUISH, at)


@pytest.mark.parametrize("operation", [Operation.POST, Operation.WITHDRAW])
@pytest.mark.parametrize(
    ("gpa", "pages", "status"),
    [
        (GuestMap.WINDOW + 8, 1, Status.MISALIGNED),
        (GuestMap.RAM, 1, Status.OUT_OF_RANGE),
        (GuestMap.WINDOW, 0, Status.OUT_OF_RANGE),
        (WINDOW_END - PAGE_SIZE, 2, Status.OUT_OF_RANGE),
        (GuestMap.WINDOW, HIGH, Status.OUT_OF_RANGE),
        (GuestMap.WINDOW + PAGE_SIZE, ((1 << 64) - 1) // PAGE_SIZE, Status.OUT_OF_RANGE),
    ],
)
def test_only_pages_of_the_window_can_be_posted(
    bed: Testbed, door: Door, operation: Operation, gpa: int, pages: int, status: Status
) -> None:
    refused_without_a_trace(bed, door, status, operation, gpa, pages)


def test_a_range_is_posted_from_its_first_page_to_its_last(bed: Testbed, door: Door) -> None:
    a, b = bed.guests
    b.withdraw(b.window(0), GuestMap.WINDOW_SIZE // PAGE_SIZE)
    bed.request(Operation.POST, b, b.window(3), 4, door=door)
    bed.request(Operation.WITHDRAW, b, b.window(4), 2, door=door)
    answers = [
        bed.request(Operation.COPY, a, a.page(0), b.vm, b.window(number)).status
        for number in range(2, 8)
    ]
    no, yes = Status.NOT_POSTED, Status.OK
    assert answers == [no, yes, no, no, yes, no]


@pytest.mark.parametrize(
    "number",
    [0, 11, 1000, (1 << 32) + Operation.RECOVER, (1 << 32) + Operation.REMAP, (1 << 64) - 1],
)
def test_an_operation_that_does_not_exist_changes_nothing(bed: Testbed, number: int) -> None:
    refused_without_a_trace(bed, Door.GUEST, Status.UNKNOWN_OPERATION, number, 0, 0, 0)


def test_a_guest_cannot_hand_work_to_a_guest(bed: Testbed) -> None:
    unknown = Status.UNKNOWN_OPERATION
    refused_without_a_trace(bed, Door.GUEST, unknown, Operation.ASK, 2, 1, 1)


filled: WeakKeyDictionary[Machine, set[str]] = WeakKeyDictionary()
"""The snapshots with few free frames: each takes some hundred copies to be brought about."""


def leave_few_frames_free(bed: Testbed, few: int) -> None:
    """The first guest's window is full; the second's still needs tables of two levels."""
    name = f"{few} frames are free"
    if name in filled.get(bed.machine, ()):
        bed.restore(name)
    else:
        copy_until_few_frames_are_free(bed, few)
        with suppress(TargetLacks):
            bed.machine.snapshot(name)
            filled.setdefault(bed.machine, set()).add(name)
    assert len(bed.census().free) == few


def copy_until_few_frames_are_free(bed: Testbed, few: int) -> None:
    """Into the first guest's window."""
    a, b = bed.guests
    bed.copy(b, b.page(0), a, a.window(0))  # makes the tables
    for number in range(1, len(bed.census().free) + 1 - few):
        bed.copy(b, b.page(0), a, a.window(number))


@pytest.mark.parametrize("few", [0, 1], ids=["none", "one-of-two"])
@pytest.mark.parametrize("operation", [Operation.REMAP, Operation.SHARE, Operation.COPY])
def test_without_memory_for_the_tables_nothing_changes(
    bed: Testbed, door: Door, operation: Operation, few: int
) -> None:
    leave_few_frames_free(bed, few)
    a, b = bed.guests
    arguments = (a.page(0), b.vm, b.window(0))
    refused_without_a_trace(bed, door, Status.NO_MEMORY, operation, *arguments)


def test_with_memory_for_the_tables_but_not_for_the_copy_nothing_changes(
    bed: Testbed, door: Door
) -> None:
    leave_few_frames_free(bed, 2)
    a, b = bed.guests
    arguments = (a.page(0), b.vm, b.window(0))
    refused_without_a_trace(bed, door, Status.NO_MEMORY, Operation.COPY, *arguments)


def test_a_remap_that_needs_no_memory_succeeds_without_any(bed: Testbed, door: Door) -> None:
    a, b = bed.guests
    bed.remap(a, a.page(1), b, b.window(1))  # makes the tables
    copy_until_few_frames_are_free(bed, 0)
    assert not bed.census().free
    bed.remap(a, a.page(0), b, b.window(0), door)
    assert b.stage2(b.window(0)).mapped


@pytest.mark.parametrize("wrong", [-1, 1 << 64, 5.0, None])
def test_what_is_no_64_bit_number_is_refused_before_anybody_is_asked(
    bed: Testbed, door: Door, wrong: object
) -> None:
    a, b = bed.guests
    not_numbers: list[Any] = [wrong, b.vm, b.window(0)]
    with pytest.raises(ValueError, match="64 bits"):
        bed.request(Operation.REMAP, a, *not_numbers, door=door)
    a.ping()
