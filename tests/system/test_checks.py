"""Of several reasons to refuse, the one that is told: the model has the same order."""

import pytest
from tests.system.tampering import point_at

from pageferry import Testbed
from pageferry.abi import GuestMap, Operation, Status

# How many CPUs there are makes no difference to what is refused.
pytestmark = pytest.mark.pageferry(cpus=1)

NOWHERE = GuestMap.RAM + GuestMap.RAM_SIZE
"""Neither RAM nor window."""

CROOKED = NOWHERE + 1


@pytest.fixture
def crowded(bed: Testbed) -> Testbed:
    """Guests among whose pages every check has something to fail on.

    The first one's pages: 1 is lent, 2 is gone, 3 is a table; a borrowed one is in its window.
    The second's window: something is at 0, where nothing is expected, and at 1.
    """
    a, b = bed.guests
    bed.remap(a, a.page(2), b, b.window(0))
    b.withdraw(b.window(0))
    bed.share(a, a.page(1), b, b.window(1))
    bed.share(b, b.page(0), a, a.window(0))
    point_at(bed, a, a.page(3), b.stage2_root)
    return bed


def told(bed: Testbed, operation: Operation, *arguments: int) -> Status:
    return bed.request(operation, bed.guests[0], *arguments).status


@pytest.mark.parametrize("operation", [Operation.REMAP, Operation.SHARE, Operation.COPY])
def test_the_first_check_of_a_hand_over_that_fails_names_the_status(
    crowded: Testbed, operation: Operation
) -> None:
    a, b = crowded.guests
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
    answers = [told(crowded, operation, *arguments) for _, *arguments in lines]
    assert answers == [status for status, *_ in lines]


@pytest.mark.parametrize("operation", [Operation.RECLAIM, Operation.RELINQUISH])
def test_the_first_check_of_a_share_s_end_that_fails_names_the_status(
    crowded: Testbed, operation: Operation
) -> None:
    answers = [told(crowded, operation, page) for page in (CROOKED, NOWHERE)]
    assert answers == [Status.MISALIGNED, Status.OUT_OF_RANGE]


@pytest.mark.parametrize("operation", [Operation.POST, Operation.WITHDRAW])
def test_a_range_that_is_crooked_and_nowhere_is_called_misaligned(
    bed: Testbed, operation: Operation
) -> None:
    assert told(bed, operation, CROOKED, 0) is Status.MISALIGNED
