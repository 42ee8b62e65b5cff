"""The tables stay what the ownership model says, whatever is done in a row."""

import random
from dataclasses import replace

import pytest
from tests.system.tampering import point_at

from pageferry import Testbed
from pageferry.abi import GuestMap, Operation, Status
from pageferry.address import GPA, HPA, PAGE_SIZE
from pageferry.guest import Guest
from pageferry.ownership import Request, State, Wrong, apply, bind, disagreements
from pageferry.testbed import Door

FAR_AWAY = (1 << 64) - PAGE_SIZE
TABLE = 512
"""Pages that one table of leaves maps."""

BORDERS = [
    first + it
    for first in range(0, GuestMap.WINDOW_SIZE // PAGE_SIZE, TABLE)
    for it in (0, TABLE - 1)
]
"""The first and the last page of the window in each of its tables."""

HANDED_OVER = (Operation.REMAP, Operation.SHARE, Operation.COPY)


def ask(bed: Testbed, model: State, request: Request, door: Door) -> State:
    """The same request to the machine and to the model: same status, same tables."""
    if request.operation in HANDED_OVER:
        arguments: tuple[int, ...] = (request.gpa, request.target, request.target_gpa)
    elif request.operation in (Operation.POST, Operation.WITHDRAW):
        arguments = (request.gpa, request.pages)
    else:
        arguments = (request.gpa,)
    guest = bed.guests[request.vm - 1]
    answer = bed.request(Operation(request.operation), guest, *arguments, door=door)
    outcome = apply(model, request)
    assert answer.status is outcome.status, request
    observed = bed.observed()
    assert disagreements(outcome.state, observed) == [], request
    return bind(outcome.state, observed)


def remap(source: Guest, gpa: GPA, target: Guest, to: GPA) -> Request:
    return Request(Operation.REMAP, source.vm, gpa, target.vm, to)


def test_after_each_of_200_remaps_the_tables_are_what_the_model_says(bed: Testbed) -> None:
    model = bed.model()
    owner, other = bed.guests
    page = owner.page(0)
    for turn in range(200):
        to = other.window(turn % 7)
        model = ask(bed, model, remap(owner, page, other, to), list(Door)[turn % 2])
        owner, other, page = other, owner, to
    assert bed.disagreements(model) == []


def test_after_a_share_and_its_end_the_tables_are_what_the_model_says(bed: Testbed) -> None:
    model = bed.model()
    owner, other = bed.guests
    for number, door in enumerate(Door):
        page = owner.page(number)
        share = Request(Operation.SHARE, owner.vm, page, other.vm, other.window(0))
        model = ask(bed, model, share, door)
        assert bed.disagreements(model) == []
        model = ask(bed, model, Request(Operation.RECLAIM, owner.vm, page), door)
        assert bed.disagreements(model) == []


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("first", [0, 1], ids=["from-a", "from-b"])
@pytest.mark.parametrize("number", BORDERS)
def test_at_the_borders_of_tables_every_operation_does_what_the_model_says(
    bed: Testbed, number: int, first: int
) -> None:
    """Twice, and of pages that came, not only of those that a guest has from the start."""
    model = bed.model()
    a, b = bed.guests[first], bed.guests[1 - first]
    there, back = b.window(number), a.window(number)
    for source, page, target, place in ((a, a.page(0), b, there), (b, there, a, back)):
        for end in (Request(Operation.RECLAIM, source.vm, page),) * 2 + (
            Request(Operation.RELINQUISH, target.vm, place),
        ) * 2:
            share = Request(Operation.SHARE, source.vm, page, target.vm, place)
            model = ask(bed, model, share, Door.CONSOLE)
            model = ask(bed, model, end, Door.CONSOLE)
        model = ask(bed, model, remap(source, page, target, place), Door.CONSOLE)
    for page in (a.page(1), back):
        copy = Request(Operation.COPY, a.vm, page, b.vm, there)
        model = ask(bed, model, copy, Door.CONSOLE)
        there = b.window(number + (1 if number % TABLE == 0 else -1))
    assert bed.disagreements(model) == []


def test_a_page_that_was_handed_on_200_times_still_has_its_bytes(bed: Testbed) -> None:
    owner, other = bed.guests
    page = owner.page(0)
    owner.fill(page, 0xC0DE)
    expected = owner.bytes_at(page)
    frame = owner.stage2(page).output
    for _ in range(200):
        bed.remap(owner, page, other, other.window(0))
        owner, other, page = other, owner, other.window(0)
    assert owner.bytes_at(page) == expected
    assert owner.stage2(page).output == frame


def random_request(pick: random.Random, bed: Testbed) -> Request:
    """Mostly sensible, so that many succeed; sometimes a little or very wrong."""
    source, target = pick.sample(bed.guests, 2)
    pages = [source.page(0), source.page(1), source.window(0), source.window(1)]
    request = Request(
        operation=pick.choice(
            [*HANDED_OVER * 2, Operation.RECLAIM, Operation.RELINQUISH]
            + [Operation.POST, Operation.WITHDRAW]
        ),
        vm=source.vm,
        gpa=pick.choice(pages),
        target=target.vm,
        target_gpa=target.window(pick.randrange(3)),
        pages=pick.choice([1, 2]),
    )
    if request.operation == Operation.WITHDRAW and pick.random() < 0.5:
        request = replace(request, operation=Operation.POST)
    if pick.random() < 0.2:
        wrong = pick.choice([0, 1, GuestMap.RAM - PAGE_SIZE, GuestMap.WINDOW - PAGE_SIZE, FAR_AWAY])
        request = pick.choice(
            [
                replace(request, target=wrong),
                replace(request, gpa=GPA(wrong)),
                replace(request, target_gpa=GPA(wrong)),
            ]
        )
    return request


def test_random_operations_are_answered_as_the_model_says(bed: Testbed) -> None:
    seed = random.randrange(1 << 32)
    pick = random.Random(seed)
    model = bed.model()
    refused = 0
    for step in range(100):
        request = random_request(pick, bed)
        if request.operation in (Operation.POST, Operation.WITHDRAW):
            request = replace(request, gpa=bed.guests[0].window(pick.randrange(3)))
        before = model
        try:
            model = ask(bed, model, request, pick.choice(list(Door)))
        except AssertionError as error:
            error.add_note(f"seed {seed}, step {step}")
            raise
        refused += model is before
    assert bed.disagreements(model) == [], f"seed {seed}"
    assert 0 < refused < 100, f"seed {seed}: too one-sided to tell anything"


@pytest.mark.parametrize("end", [Operation.RECLAIM, Operation.RELINQUISH])
def test_a_share_can_be_ended_where_nothing_is_expected_any_more(
    bed: Testbed, end: Operation
) -> None:
    model = bed.model()
    a, b = bed.guests
    share = Request(Operation.SHARE, a.vm, a.page(0), b.vm, b.window(0))
    withdrawn = Request(Operation.WITHDRAW, b.vm, b.window(0))
    ended = {
        Operation.RECLAIM: Request(end, a.vm, a.page(0)),
        Operation.RELINQUISH: Request(end, b.vm, b.window(0)),
    }[end]
    for request in (share, withdrawn, ended):
        model = ask(bed, model, request, Door.CONSOLE)
    assert bed.disagreements(model) == []


def test_no_operation_loses_or_invents_a_frame(bed: Testbed) -> None:
    a, b = bed.guests
    before = bed.census().free
    bed.copy(a, a.page(0), b, b.window(0))
    bed.share(a, a.page(1), b, b.window(1))
    bed.reclaim(a, a.page(1))
    bed.remap(a, a.page(1), b, b.window(1))
    taken = before - bed.census().free
    held = {frame for guest in bed.guests for frame, _ in guest.pages().values()}
    copies = held & {bed.machine.arch.ram_base + number * PAGE_SIZE for number in taken}
    tables = len(taken) - len(copies)
    assert (len(copies), tables) == (1, 2)


def test_the_refusals_of_the_model_are_not_all_the_same(bed: Testbed) -> None:
    a, b = bed.guests
    model = bed.model()
    outcomes = {
        apply(model, remap(a, a.page(0), b, b.window(0))).status,
        apply(model, remap(a, a.window(0), b, b.window(0))).status,
        apply(model, remap(a, a.page(0), b, b.page(0))).status,
    }
    assert outcomes == {Status.OK, Status.NOT_MAPPED, Status.OUT_OF_RANGE}


@pytest.mark.parametrize(
    ("field", "value"),
    [("kind", 1), ("owner", 2), ("borrower", 2), ("rights", 1), ("owner_gpa.value", 0x1000)],
)
def test_a_record_that_is_wrong_is_noticed_while_the_tables_are_right(
    bed: Testbed, field: str, value: int
) -> None:
    model = bed.model()
    frame = bed.guests[0].stage2(bed.guests[0].page(0)).output
    assert frame is not None
    number = (frame - bed.machine.arch.ram_base) // PAGE_SIZE
    bed.firmware.write(f"frames[{number}].{field}", value)
    assert {found.kind for found in bed.disagreements(model)} == {Wrong.BOOKKEEPING}


def test_a_root_that_the_cpu_does_not_use_is_noticed(bed: Testbed) -> None:
    model = bed.model()
    other = bed.firmware.read_int("vms[2].stage2_root.value")
    bed.firmware.write("vms[1].stage2_root.value", other)
    assert {found.kind for found in bed.disagreements(model)} == {Wrong.BOOKKEEPING}


@pytest.mark.parametrize("where", ["the hypervisor", "a table", "no RAM"])
def test_a_copy_in_a_frame_that_was_not_free_is_noticed(bed: Testbed, where: str) -> None:
    a, b = bed.guests
    model = apply(bed.model(), Request(Operation.COPY, a.vm, a.page(0), b.vm, b.window(0))).state
    bed.copy(a, a.page(0), b, b.window(0))
    frame = {
        "the hypervisor": HPA(bed.machine.image.symbol("hypervisor_start")),
        "a table": HPA(b.stage2(b.window(0)).steps[-1].table),
        "no RAM": HPA(bed.machine.arch.ram_base + (1 << 36)),
    }[where]
    point_at(bed, b, b.window(0), frame)
    assert Wrong.WRONG_FRAME in {found.kind for found in bed.disagreements(model)}
