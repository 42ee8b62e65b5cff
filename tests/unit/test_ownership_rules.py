"""What an operation is answered with, and what is true after it."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import pytest
from tests.unit.ferry import (
    FRAMES,
    PROTECTED,
    RAM,
    READ,
    READ_WRITE,
    WINDOW,
    copy,
    post,
    reclaim,
    relinquish,
    remap,
    share,
    withdraw,
    world,
)

from pageferry.abi import Operation, Status
from pageferry.address import GPA
from pageferry.ownership import Fresh, Holding, Page, Request, State, apply
from pageferry.tables import Rights


def after(*requests: Request, state: State | None = None) -> State:
    """The state after requests that must all succeed."""

    def step(current: State, request: Request) -> State:
        outcome = apply(current, request)
        assert outcome.status is Status.OK, request
        return outcome.state

    return reduce(step, requests, state or world())


def refused(state: State, request: Request) -> Status:
    """The status of a request that must change nothing."""
    outcome = apply(state, request)
    assert outcome.state is state
    return outcome.status


def crowded() -> State:
    """A world in which every check has something to fail on.

    VM 1: RAM[0] its own, RAM[1] lent to VM 2, RAM[2] gone, WINDOW[0] borrowed,
    WINDOW[1] on a protected frame. VM 2: WINDOW[0] taken and not posted, WINDOW[1]
    borrowed and posted, WINDOW[2] free and posted.
    """
    state = after(
        remap(1, RAM[2], 2, WINDOW[0]),
        withdraw(2, WINDOW[0]),
        share(1, RAM[1], 2, WINDOW[1]),
        share(2, RAM[0], 1, WINDOW[0]),
    )
    vm = state.vms[1]
    pages = {**vm.pages, WINDOW[1]: Page(PROTECTED, READ)}
    return replace(state, vms={**state.vms, 1: replace(vm, pages=pages)})


# Each line mends one thing more than the line above: were the order another, the line
# would get another status.
ORDER = [
    (Status.UNKNOWN_OPERATION, 99, 9, 0x7000_0001, 9, 0x7000_0001),
    (Status.UNKNOWN_VM, None, 9, 0x7000_0001, 9, 0x7000_0001),
    (Status.UNKNOWN_VM, None, 1, 0x7000_0001, 0, 0x7000_0001),
    (Status.UNKNOWN_VM, None, 0, 0x7000_0001, 1, 0x7000_0001),
    (Status.SAME_VM, None, 1, 0x7000_0001, 1, 0x7000_0001),
    (Status.MISALIGNED, None, 1, 0x7000_0001, 2, 0x7000_0001),
    (Status.MISALIGNED, None, 1, 0x7000_0000, 2, 0x7000_0001),
    (Status.OUT_OF_RANGE, None, 1, 0x7000_0000, 2, 0x7000_0000),
    (Status.OUT_OF_RANGE, None, 1, RAM[2], 2, RAM[0]),
    (Status.NOT_MAPPED, None, 1, RAM[2], 2, WINDOW[0]),
    (Status.PROTECTED, None, 1, WINDOW[1], 2, WINDOW[0]),
    (Status.NOT_OWNER, None, 1, WINDOW[0], 2, WINDOW[0]),
    (Status.SHARED, None, 1, RAM[1], 2, WINDOW[0]),
    (Status.NOT_POSTED, None, 1, RAM[0], 2, WINDOW[0]),
    (Status.OCCUPIED, None, 1, RAM[0], 2, WINDOW[1]),
]


@pytest.mark.parametrize("operation", [Operation.REMAP, Operation.SHARE, Operation.COPY])
@pytest.mark.parametrize(
    "line", ORDER, ids=[f"{n}-{line[0].console_name}" for n, line in enumerate(ORDER)]
)
def test_the_first_check_that_fails_names_the_status(
    operation: Operation, line: tuple[Status, int | None, int, int, int, int]
) -> None:
    status, number, vm, gpa, target, to = line
    request = Request(number or operation, vm, GPA(gpa), target, GPA(to))
    assert refused(crowded(), request) is status


@pytest.mark.parametrize("operation", [Operation.REMAP, Operation.SHARE, Operation.COPY])
def test_what_passes_every_check_succeeds_even_in_a_crowd(operation: Operation) -> None:
    request = Request(operation, 1, RAM[0], 2, WINDOW[2])
    assert apply(crowded(), request).status is Status.OK


@pytest.mark.parametrize("operation", [Operation.REMAP, Operation.SHARE, Operation.COPY])
def test_want_of_memory_is_the_last_check(operation: Operation) -> None:
    state = crowded()
    fine = Request(operation, 1, RAM[0], 2, WINDOW[2])
    occupied = Request(operation, 1, RAM[0], 2, WINDOW[1])
    statuses = [apply(state, request, no_memory=True).status for request in (occupied, fine)]
    assert statuses == [Status.OCCUPIED, Status.NO_MEMORY]


def test_want_of_memory_changes_nothing() -> None:
    state = world()
    assert apply(state, copy(1, RAM[0], 2, WINDOW[0]), no_memory=True).state is state


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (Status.UNKNOWN_VM, reclaim(3, 0x7000_0001)),
        (Status.MISALIGNED, reclaim(1, 0x7000_0001)),
        (Status.OUT_OF_RANGE, reclaim(1, 0x7000_0000)),
        (Status.NOT_MAPPED, reclaim(1, RAM[2])),
        (Status.PROTECTED, reclaim(1, WINDOW[1])),
        (Status.NOT_OWNER, reclaim(1, WINDOW[0])),
        (Status.NOT_SHARED, reclaim(1, RAM[0])),
        (Status.UNKNOWN_VM, relinquish(3, 0x7000_0001)),
        (Status.MISALIGNED, relinquish(1, 0x7000_0001)),
        (Status.OUT_OF_RANGE, relinquish(1, 0x7000_0000)),
        (Status.NOT_MAPPED, relinquish(1, RAM[2])),
        (Status.PROTECTED, relinquish(1, WINDOW[1])),
        (Status.NOT_SHARED, relinquish(1, RAM[0])),
        (Status.NOT_SHARED, relinquish(1, RAM[1])),
    ],
)
def test_the_end_of_a_share_is_refused_by_name(status: Status, request_: Request) -> None:
    assert refused(crowded(), request_) is status


@pytest.mark.parametrize("make", [post, withdraw])
@pytest.mark.parametrize(
    ("status", "vm", "gpa", "pages"),
    [
        (Status.UNKNOWN_VM, 3, 0x6000_0001, 1),
        (Status.MISALIGNED, 1, 0x6000_0001, 1),
        (Status.OUT_OF_RANGE, 1, 0x60FF_F000, 1),
        (Status.OUT_OF_RANGE, 1, 0x60FF_F000, 2),
        (Status.OUT_OF_RANGE, 1, 0x6180_0000, 1),
        (Status.OUT_OF_RANGE, 1, 0x3000_0000, 2049),
        (Status.OUT_OF_RANGE, 1, 0x3000_0000, 0),
        (Status.OUT_OF_RANGE, 1, 0x3000_0000, 1 << 60),
        (Status.OK, 1, 0x3000_0000, 2048),
        (Status.OK, 1, 0x307F_F000, 1),
    ],
)
def test_only_pages_of_the_window_are_posted_or_withdrawn(
    make: Callable[..., Request], status: Status, vm: int, gpa: int, pages: int
) -> None:
    assert apply(world(), make(vm, gpa, pages)).status is status


@pytest.mark.parametrize("operation", [Operation.WAIT, Operation.RECOVER, Operation.ASK])
def test_an_operation_that_is_not_about_pages_is_none_of_the_models(operation: Operation) -> None:
    with pytest.raises(ValueError, match="not about pages"):
        apply(world(), Request(operation, 1, RAM[0]))


def test_a_remapped_page_leaves_its_source() -> None:
    assert RAM[0] not in after(remap(1, RAM[0], 2, WINDOW[0])).vms[1].pages


def test_a_remapped_page_is_the_same_frame_and_is_data() -> None:
    state = after(remap(1, RAM[0], 2, WINDOW[0]))
    assert state.vms[2].pages[WINDOW[0]] == Page(FRAMES[1][0], READ_WRITE)


def test_a_remapped_frame_has_a_new_owner_and_no_borrower() -> None:
    assert after(remap(1, RAM[0], 2, WINDOW[0])).frames[FRAMES[1][0]] == Holding(2)


def test_a_page_may_travel_there_and_back() -> None:
    state = after(remap(1, RAM[0], 2, WINDOW[0]), remap(2, WINDOW[0], 1, WINDOW[1]))
    assert state.vms[1].pages[WINDOW[1]] == Page(FRAMES[1][0], READ_WRITE)
    assert state.frames == world().frames


def test_both_ends_of_a_share_read_one_frame_and_write_nothing() -> None:
    state = after(share(1, RAM[0], 2, WINDOW[0]))
    page = Page(FRAMES[1][0], READ)
    assert (state.vms[1].pages[RAM[0]], state.vms[2].pages[WINDOW[0]]) == (page, page)


def test_a_shared_frame_stays_its_owners() -> None:
    assert after(share(1, RAM[0], 2, WINDOW[0])).frames[FRAMES[1][0]].owner == 1


@pytest.mark.parametrize("end", [reclaim(1, RAM[0]), relinquish(2, WINDOW[0])])
def test_after_a_share_everything_is_as_it_was(end: Request) -> None:
    assert after(share(1, RAM[0], 2, WINDOW[0]), end) == world()


def test_the_source_of_a_share_gets_back_the_rights_it_had() -> None:
    received = remap(2, RAM[0], 1, WINDOW[0])
    state = after(received, share(1, WINDOW[0], 2, WINDOW[1]), reclaim(1, WINDOW[0]))
    assert state.vms[1].pages[WINDOW[0]].rights == READ_WRITE


@pytest.mark.parametrize("make", [remap, share, copy])
def test_a_borrower_gives_nothing_on(make: Callable[..., Request]) -> None:
    state = after(share(1, RAM[0], 2, WINDOW[0]))
    assert refused(state, make(2, WINDOW[0], 1, WINDOW[0])) is Status.NOT_OWNER


def test_a_copy_leaves_its_source_as_it_was() -> None:
    assert after(copy(1, RAM[0], 2, WINDOW[0])).vms[1] == world().vms[1]


def test_a_copy_is_data_on_a_frame_of_the_target_that_is_not_known_yet() -> None:
    state = after(copy(1, RAM[0], 2, WINDOW[0]))
    page = state.vms[2].pages[WINDOW[0]]
    assert (page, state.frames[page.frame]) == (Page(Fresh(0), READ_WRITE), Holding(2))


def test_two_copies_are_two_frames() -> None:
    state = after(copy(1, RAM[0], 2, WINDOW[0]), copy(1, RAM[0], 2, WINDOW[1]))
    frames = [state.vms[2].pages[gpa].frame for gpa in WINDOW[:2]]
    assert frames == [Fresh(0), Fresh(1)]


def test_a_page_stays_posted_after_what_it_received_was_given_on() -> None:
    state = after(remap(1, RAM[0], 2, WINDOW[0]), remap(2, WINDOW[0], 1, WINDOW[0]))
    assert apply(state, remap(1, RAM[1], 2, WINDOW[0])).status is Status.OK


def test_a_withdrawn_page_receives_nothing() -> None:
    state = after(withdraw(2, WINDOW[0]))
    assert refused(state, remap(1, RAM[0], 2, WINDOW[0])) is Status.NOT_POSTED


def test_a_page_posted_again_receives() -> None:
    state = after(withdraw(2, WINDOW[0], 3), post(2, WINDOW[1]))
    statuses = [apply(state, remap(1, RAM[0], 2, gpa)).status for gpa in WINDOW]
    assert statuses == [Status.NOT_POSTED, Status.OK, Status.NOT_POSTED]


def test_the_end_of_the_window_receives_and_the_page_after_it_does_not() -> None:
    statuses = [apply(world(), remap(1, RAM[0], 2, to)).status for to in (0x307F_F000, 0x6180_0000)]
    assert statuses == [Status.OK, Status.OUT_OF_RANGE]


def test_a_frame_that_no_guest_is_known_to_have_is_protected() -> None:
    state = world()
    state = replace(state, frames={f: h for f, h in state.frames.items() if f != FRAMES[1][0]})
    assert refused(state, remap(1, RAM[0], 2, WINDOW[0])) is Status.PROTECTED


def test_a_page_with_all_rights_is_given_on_without_execution() -> None:
    assert world().vms[1].pages[RAM[0]].rights is Rights.ALL
    state = after(remap(1, RAM[0], 2, WINDOW[0]))
    assert Rights.EXECUTE not in state.vms[2].pages[WINDOW[0]].rights
