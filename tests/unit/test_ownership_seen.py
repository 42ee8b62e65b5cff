"""What is seen against what should be, and properties of every history."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ferry import (
    FRAMES,
    PROTECTED,
    RAM,
    READ,
    READ_WRITE,
    WINDOW,
    copy,
    remap,
    seen,
    share,
    world,
)

from pageferry.abi import Operation, Status
from pageferry.address import GPA, HPA
from pageferry.ownership import Fresh, Request, State, Wrong, apply, bind, boot, disagreements
from pageferry.tables import Rights

NEW = HPA(0x900_0000)


def kinds(state: State, observed: dict[int, dict[GPA, tuple[HPA, Rights]]]) -> set[Wrong]:
    return {it.kind for it in disagreements(state, observed)}


def test_a_machine_as_it_should_be_agrees() -> None:
    assert disagreements(world(), seen(world())) == []


def test_a_page_that_is_gone_is_missing() -> None:
    observed = seen(world())
    del observed[1][RAM[0]]
    assert kinds(world(), observed) == {Wrong.MISSING_PAGE}


def test_a_vm_that_was_not_seen_misses_its_pages() -> None:
    observed = seen(world())
    del observed[2]
    assert kinds(world(), observed) == {Wrong.MISSING_PAGE}


def test_a_vm_the_model_does_not_know_is_named() -> None:
    assert kinds(world(), {**seen(world()), 3: {}}) == {Wrong.UNKNOWN_VM}


def test_a_page_that_should_not_be_there_is_unexpected() -> None:
    observed = seen(world())
    observed[1][WINDOW[0]] = (NEW, READ)
    assert kinds(world(), observed) == {Wrong.UNEXPECTED_PAGE}


def test_a_page_on_another_frame_is_on_the_wrong_one() -> None:
    observed = seen(world())
    observed[1][RAM[0]] = (NEW, Rights.ALL)
    assert kinds(world(), observed) == {Wrong.WRONG_FRAME}


@pytest.mark.parametrize("rights", [READ, READ_WRITE, Rights.NONE])
def test_a_page_with_other_rights_is_told(rights: Rights) -> None:
    observed = seen(world())
    observed[1][RAM[0]] = (FRAMES[1][0], rights)
    assert kinds(world(), observed) == {Wrong.WRONG_RIGHTS}


def test_a_vm_that_reaches_a_frame_of_another_is_a_stranger_to_it() -> None:
    observed = seen(world())
    observed[2][WINDOW[0]] = (FRAMES[1][0], READ)
    assert kinds(world(), observed) == {Wrong.UNEXPECTED_PAGE, Wrong.STRANGER}


def test_a_source_that_still_maps_what_it_gave_is_a_stranger_and_a_second_writer() -> None:
    state = apply(world(), remap(1, RAM[0], 2, WINDOW[0])).state
    observed = seen(state)
    observed[1][RAM[0]] = (FRAMES[1][0], Rights.ALL)
    assert kinds(state, observed) == {Wrong.UNEXPECTED_PAGE, Wrong.STRANGER, Wrong.TWO_WRITERS}


def test_a_frame_mapped_twice_by_its_owner_has_a_second_mapping() -> None:
    observed = seen(world())
    observed[1][WINDOW[0]] = (FRAMES[1][0], READ)
    assert kinds(world(), observed) == {Wrong.UNEXPECTED_PAGE, Wrong.SECOND_MAPPING}


def test_a_protected_frame_that_a_guest_reaches_is_named() -> None:
    observed = seen(world())
    observed[1][WINDOW[0]] = (PROTECTED, READ)
    assert kinds(world(), observed) == {Wrong.UNEXPECTED_PAGE, Wrong.PROTECTED_FRAME}


def test_a_borrower_is_no_stranger() -> None:
    state = apply(world(), share(1, RAM[0], 2, WINDOW[0])).state
    assert disagreements(state, seen(state)) == []


def test_a_disagreement_reads_as_a_sentence() -> None:
    observed = seen(world())
    observed[1][RAM[0]] = (FRAMES[1][0], READ)
    assert [str(it) for it in disagreements(world(), observed)] == [
        "wrong rights: VM 1 at 0x60100000 should allow read+write+execute, and allows read"
    ]


def test_a_copy_may_be_on_any_frame_that_nobody_had() -> None:
    state = apply(world(), copy(1, RAM[0], 2, WINDOW[0])).state
    observed = seen(world())
    observed[2][WINDOW[0]] = (NEW, READ_WRITE)
    assert disagreements(state, observed) == []


@pytest.mark.parametrize("frame", [FRAMES[1][0], FRAMES[2][2], PROTECTED])
def test_a_copy_on_a_frame_that_somebody_had_is_on_the_wrong_one(frame: HPA) -> None:
    state = apply(world(), copy(1, RAM[0], 2, WINDOW[0])).state
    observed = seen(world())
    observed[2][WINDOW[0]] = (frame, READ_WRITE)
    assert Wrong.WRONG_FRAME in kinds(state, observed)


def test_two_copies_on_one_frame_disagree() -> None:
    state = apply(world(), copy(1, RAM[0], 2, WINDOW[0])).state
    state = apply(state, copy(1, RAM[1], 2, WINDOW[1])).state
    observed = seen(world())
    observed[2].update({WINDOW[0]: (NEW, READ_WRITE), WINDOW[1]: (NEW, READ_WRITE)})
    assert kinds(state, observed) == {Wrong.WRONG_FRAME, Wrong.SECOND_MAPPING}


def test_a_bound_copy_keeps_its_frame() -> None:
    state = apply(world(), copy(1, RAM[0], 2, WINDOW[0])).state
    observed = seen(world())
    observed[2][WINDOW[0]] = (NEW, READ_WRITE)
    state = bind(state, observed)
    observed[2][WINDOW[0]] = (HPA(NEW + 0x1000), READ_WRITE)
    assert kinds(state, observed) == {Wrong.WRONG_FRAME}


def test_a_copy_is_bound_at_both_ends_of_its_share() -> None:
    state = apply(world(), copy(1, RAM[0], 2, WINDOW[0])).state
    state = apply(state, share(2, WINDOW[0], 1, WINDOW[0])).state
    observed = seen(state)
    state = bind(state, observed)
    assert {state.vms[vm].pages[WINDOW[0]].frame for vm in (1, 2)} == {observed[1][WINDOW[0]][0]}


def test_binding_where_nothing_is_seen_changes_nothing() -> None:
    state = apply(world(), copy(1, RAM[0], 2, WINDOW[0])).state
    assert bind(state, seen(world())) == state


def test_a_boot_with_a_frame_in_two_places_is_no_beginning() -> None:
    observed = seen(world())
    observed[2][WINDOW[0]] = (FRAMES[1][0], READ)
    with pytest.raises(ValueError, match="frame 0x400000 is mapped twice at boot"):
        boot(observed)


def test_a_boot_posts_the_whole_window_unless_told_otherwise() -> None:
    posted = boot(seen(world())).vms[1].posted
    assert (len(posted), min(posted), max(posted)) == (2048, 0x3000_0000, 0x307F_F000)


HELD = st.sampled_from([*RAM, *WINDOW[:2]])
FREE = st.sampled_from(WINDOW)
OPERATIONS = st.sampled_from(
    [Operation.REMAP] * 3
    + [Operation.SHARE] * 3
    + [Operation.RECLAIM, Operation.RELINQUISH] * 2
    + [Operation.COPY, Operation.POST, Operation.WITHDRAW]
)
# From each VM to the other, so that many succeed; what is refused has tests of its own.
REQUESTS = st.builds(
    lambda operation, vm, gpa, to: Request(operation, vm, gpa, 3 - vm, to),
    OPERATIONS,
    st.sampled_from([1, 2]),
    HELD,
    FREE,
)
HISTORIES = st.lists(REQUESTS, min_size=10, max_size=25)


def check_invariants(state: State) -> None:
    mapped: dict[object, list[tuple[int, GPA, Rights]]] = {}
    for vm, held in state.vms.items():
        for gpa, page in held.pages.items():
            mapped.setdefault(page.frame, []).append((vm, gpa, page.rights))
            assert gpa in RAM or Rights.EXECUTE not in page.rights
    assert mapped.keys() == state.frames.keys()
    for frame, holding in state.frames.items():
        holders = sorted((vm, gpa) for vm, gpa, _ in mapped[frame])
        if holding.loan is None:
            assert [vm for vm, _ in holders] == [holding.owner]
        else:
            loan = holding.loan
            assert holders == sorted([(holding.owner, loan.home), (loan.borrower, loan.gpa)])
            assert holding.owner != loan.borrower
            assert {rights for _, _, rights in mapped[frame]} == {READ}


@given(HISTORIES)
@settings(max_examples=80)
def test_in_every_history_a_frame_has_one_owner_and_no_mapping_but_its_own(
    history: list[Request],
) -> None:
    state = world()
    for request in history:
        outcome = apply(state, request)
        assert (outcome.state is state) == (
            outcome.status is not Status.OK
        ) or request.operation in (Operation.POST, Operation.WITHDRAW)
        state = outcome.state
        check_invariants(state)
    assert len(state.frames) == 6 + state.copies


@given(HISTORIES)
@settings(max_examples=60)
def test_after_every_history_a_machine_as_it_should_be_agrees(history: list[Request]) -> None:
    state = world()
    for request in history:
        state = apply(state, request).state
    observed = seen(state)
    assert disagreements(state, observed) == []
    bound = bind(state, observed)
    assert not any(isinstance(frame, Fresh) for frame in bound.frames)
    assert disagreements(bound, observed) == []
    check_invariants(bound)


@given(HISTORIES, st.data())
@settings(max_examples=60)
def test_after_every_history_one_difference_is_a_disagreement(
    history: list[Request], data: st.DataObject
) -> None:
    state = world()
    for request in history:
        state = apply(state, request).state
    observed = seen(state)
    state = bind(state, observed)
    vm = data.draw(st.sampled_from([vm for vm in observed if observed[vm]]))
    gpa = data.draw(st.sampled_from(sorted(observed[vm])))
    frame, rights = observed[vm][gpa]
    match data.draw(st.sampled_from(["lose", "move", "rights", "add"])):
        case "lose":
            del observed[vm][gpa]
        case "move":
            observed[vm][gpa] = (NEW, rights)
        case "rights":
            observed[vm][gpa] = (frame, rights ^ Rights.WRITE)
        case "add":
            observed[vm][GPA(0x6111_1000)] = (frame, rights)
    assert disagreements(state, observed)


def test_a_state_is_not_changed_by_what_is_done_to_it() -> None:
    state = world()
    apply(state, remap(1, RAM[0], 2, WINDOW[0]))
    assert state == world()
