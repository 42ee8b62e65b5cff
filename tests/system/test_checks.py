"""Of several reasons to refuse, the one that is told: the model has the same order."""

import pytest
from tests.system.tampering import point_at

from pageferry import Testbed
from pageferry.abi import GuestMap, Operation, Status
from pageferry.guest import Guest

# How many CPUs there are makes no difference to what is refused.
pytestmark = pytest.mark.pageferry(cpus=1)

NOWHERE = GuestMap.RAM + GuestMap.RAM_SIZE
"""Neither RAM nor window."""

CROOKED = NOWHERE + 1

each_guest = pytest.mark.parametrize("first", [0, 1], ids=["from-a", "from-b"])


def crowd(bed: Testbed, first: int) -> tuple[Guest, Guest]:
    """Guests among whose pages every check has something to fail on.

    The first one's pages: 1 is lent, 2 is gone, 3 is a table; a borrowed one is in its window.
    The second's window: something is at 0, where nothing is expected, and at 1.
    """
    a, b = bed.guests[first], bed.guests[1 - first]
    bed.remap(a, a.page(2), b, b.window(0))
    b.withdraw(b.window(0))
    bed.share(a, a.page(1), b, b.window(1))
    bed.share(b, b.page(0), a, a.window(0))
    point_at(bed, a, a.page(3), b.stage2_root)
    return a, b


@each_guest
@pytest.mark.parametrize("operation", [Operation.REMAP, Operation.SHARE, Operation.COPY])
def test_the_first_check_of_a_hand_over_that_fails_names_the_status(
    bed: Testbed, operation: Operation, first: int
) -> None:
    a, b = crowd(bed, first)
    # Each line mends one thing more than the line above.
    lines = [
        (Status.UNKNOWN_VM, CROOKED, 9, CROOKED),
        (Status.SAME_VM, CROOKED, a.vm, CROOKED),
        (Status.MISALIGNED, CROOKED, b.vm, CROOKED),
        (Status.MISALIGNED, NOWHERE, b.vm, CROOKED),
        (Status.OUT_OF_RANGE, NOWHERE, b.vm, NOWHERE),
        (Status.OUT_OF_RANGE, a.page(2), b.vm, b.page(0)),
        (Status.NOT_MAPPED, a.page(2), b.vm, b.window(0)),
        (Status.PROTECTED, a.page(3), b.vm, b.window(0)),
        (Status.NOT_OWNER, a.window(0), b.vm, b.window(0)),
        (Status.SHARED, a.page(1), b.vm, b.window(0)),
        (Status.NOT_POSTED, a.page(0), b.vm, b.window(0)),
        (Status.OCCUPIED, a.page(0), b.vm, b.window(1)),
    ]
    answers = [bed.request(operation, a, *arguments).status for _, *arguments in lines]
    assert answers == [status for status, *_ in lines]


@each_guest
@pytest.mark.parametrize("operation", [Operation.RECLAIM, Operation.RELINQUISH])
def test_the_first_check_of_a_share_s_end_that_fails_names_the_status(
    bed: Testbed, operation: Operation, first: int
) -> None:
    a, _ = crowd(bed, first)
    reclaims = operation is Operation.RECLAIM
    lines = [
        (Status.MISALIGNED, CROOKED),
        (Status.OUT_OF_RANGE, NOWHERE),
        (Status.NOT_MAPPED, a.page(2)),
        (Status.PROTECTED, a.page(3)),
        (Status.NOT_OWNER, a.window(0)) if reclaims else (Status.NOT_SHARED, a.page(1)),
        (Status.NOT_SHARED, a.page(0)),
    ]
    answers = [bed.request(operation, a, page).status for _, page in lines]
    assert answers == [status for status, _ in lines]


@each_guest
@pytest.mark.parametrize("operation", [Operation.POST, Operation.WITHDRAW])
def test_a_range_that_is_crooked_and_nowhere_is_called_misaligned(
    bed: Testbed, operation: Operation, first: int
) -> None:
    assert bed.request(operation, bed.guests[first], CROOKED, 0).status is Status.MISALIGNED
