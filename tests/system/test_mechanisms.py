"""Remap, share and copy, by every door, judged by observers who are not told which."""

import pytest

from pageferry import Testbed, Verdict, judge
from pageferry.abi import Access, Command, Operation
from pageferry.errors import GuestFault
from pageferry.observe import Observers
from pageferry.pattern import fill_bytes
from pageferry.testbed import Door

SEED = 0xABCD
MECHANISMS = {
    Operation.REMAP: Verdict.REMAP,
    Operation.SHARE: Verdict.SHARE,
    Operation.COPY: Verdict.COPY,
}


@pytest.mark.parametrize("operation", MECHANISMS, ids=lambda operation: operation.name.lower())
def test_each_mechanism_is_judged_to_be_what_it_is(
    bed: Testbed, door: Door, operation: Operation
) -> None:
    a, b = bed.guests
    a.fill(a.page(0), SEED)
    observers = Observers(bed, a, a.page(0), b, b.window(0))
    bed.request(operation, a, a.page(0), b.vm, b.window(0), door=door)
    judge(observers.conclude()).require(MECHANISMS[operation])


def test_a_copy_that_a_guest_makes_itself_has_all_bytes(bed: Testbed) -> None:
    a, _ = bed.guests
    a.fill(a.page(0), SEED)
    a.ask(Command.COPY, a.gva(a.page(0)), a.gva(a.page(1)))
    assert a.bytes_at(a.page(1)) == fill_bytes(SEED)


def test_nothing_at_all_is_judged_to_be_unchanged(bed: Testbed) -> None:
    a, b = bed.guests
    observers = Observers(bed, a, a.page(0), b, b.window(0))
    judge(observers.conclude()).require(Verdict.UNCHANGED)


def test_a_share_that_was_ended_is_judged_to_be_unchanged(bed: Testbed, door: Door) -> None:
    a, b = bed.guests
    a.fill(a.page(0), SEED)
    observers = Observers(bed, a, a.page(0), b, b.window(0))
    bed.share(a, a.page(0), b, b.window(0), door)
    bed.relinquish(b, b.window(0), door)
    judge(observers.conclude()).require(Verdict.UNCHANGED)


@pytest.mark.parametrize("alias", [0, 1])
def test_after_a_remap_the_source_faults_where_the_page_was(
    bed: Testbed, door: Door, alias: int
) -> None:
    a, b = bed.guests
    a.load(a.page(0), alias)  # so that a translation could be left behind
    bed.remap(a, a.page(0), b, b.window(0), door)
    with pytest.raises(GuestFault) as caught:
        a.load(a.page(0), alias)
    assert (caught.value.gpa, caught.value.access) == (a.page(0), Access.READ)


def test_after_a_remap_the_target_reads_the_same_bytes_in_the_same_frame(
    bed: Testbed, door: Door
) -> None:
    a, b = bed.guests
    a.fill(a.page(0), SEED)
    frame = a.stage2(a.page(0)).output
    bed.remap(a, a.page(0), b, b.window(0), door)
    assert b.stage2(b.window(0)).output == frame
    assert b.bytes_at(b.window(0)) == fill_bytes(SEED)
    assert b.load(b.window(0), alias=1) == SEED


def test_a_received_page_cannot_be_executed(bed: Testbed, door: Door) -> None:
    a, b = bed.guests
    bed.remap(a, a.page(0), b, b.window(0), door)
    with pytest.raises(GuestFault) as caught:
        b.jump(b.gva(b.window(0)))
    assert caught.value.access is Access.EXECUTE


@pytest.mark.parametrize("end", [0, 1], ids=["owner", "borrower"])
def test_nobody_writes_a_shared_page(bed: Testbed, door: Door, end: int) -> None:
    a, b = bed.guests
    a.fill(a.page(0), SEED)
    bed.share(a, a.page(0), b, b.window(0), door)
    writer, gpa = ((a, a.page(0)), (b, b.window(0)))[end]
    with pytest.raises(GuestFault) as caught:
        writer.store(gpa, 1)
    assert (caught.value.gpa, caught.value.access) == (gpa, Access.WRITE)


@pytest.mark.parametrize("operation", [Operation.RECLAIM, Operation.RELINQUISH])
def test_after_a_share_the_owner_writes_and_the_borrower_faults(
    bed: Testbed, door: Door, operation: Operation
) -> None:
    a, b = bed.guests
    bed.share(a, a.page(0), b, b.window(0), door)
    b.load(b.window(0))
    if operation is Operation.RECLAIM:
        bed.reclaim(a, a.page(0), door)
    else:
        bed.relinquish(b, b.window(0), door)
    a.store(a.page(0), 7)
    assert a.load(a.page(0)) == 7
    with pytest.raises(GuestFault):
        b.load(b.window(0))


def test_a_copy_and_its_original_are_independent(bed: Testbed, door: Door) -> None:
    a, b = bed.guests
    a.fill(a.page(0), SEED)
    bed.copy(a, a.page(0), b, b.window(0), door)
    a.store(a.page(0), 1)
    b.store(b.window(0), 2)
    assert (a.load(a.page(0)), b.load(b.window(0))) == (1, 2)
    assert a.bytes_at(a.page(0))[8:] == b.bytes_at(b.window(0))[8:] == fill_bytes(SEED)[8:]


def test_a_page_goes_there_and_back_again(bed: Testbed, door: Door) -> None:
    a, b = bed.guests
    a.fill(a.page(0), SEED)
    frame = a.stage2(a.page(0)).output
    bed.remap(a, a.page(0), b, b.window(0), door)
    b.store(b.window(0), 0xB)
    bed.remap(b, b.window(0), a, a.window(9), door)
    assert a.stage2(a.window(9)).output == frame
    assert a.load(a.window(9)) == 0xB
    with pytest.raises(GuestFault):
        b.load(b.window(0))
