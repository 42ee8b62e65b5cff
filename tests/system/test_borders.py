"""The first and the last of what the hypervisor counts: pages of a range, bits of a word."""

import pytest

from pageferry import Testbed
from pageferry.abi import GuestMap, Operation, Status
from pageferry.address import GPA, PAGE_SIZE

# How many CPUs there are makes no difference to what is counted.
pytestmark = pytest.mark.pageferry(cpus=1)

WINDOW_PAGES = GuestMap.WINDOW_SIZE // PAGE_SIZE
LAST = WINDOW_PAGES - 1


@pytest.mark.parametrize("number", [0, GuestMap.RAM_SIZE // PAGE_SIZE - 1], ids=["first", "last"])
@pytest.mark.parametrize("to", [0, LAST], ids=["to-the-first", "to-the-last"])
def test_the_first_and_the_last_page_can_be_handed_over(bed: Testbed, number: int, to: int) -> None:
    a, b = bed.guests
    page = GPA(GuestMap.RAM + number * PAGE_SIZE)
    there = bed.request(Operation.COPY, a, page, b.vm, b.window(to))
    back = bed.request(Operation.REMAP, b, b.window(to), a.vm, a.window(to))
    assert (there.status, back.status) == (Status.OK, Status.OK)
    assert a.bytes_at(a.window(to)) == a.bytes_at(page)


@pytest.mark.parametrize("posted", [0, 1, 31, 32, 63, 64, 65, 127, 128, LAST])
def test_a_page_that_is_posted_is_the_only_one(bed: Testbed, posted: int) -> None:
    a, b = bed.guests
    b.withdraw(b.window(0), WINDOW_PAGES)
    b.post(b.window(posted))
    answers = {
        number: bed.request(Operation.COPY, a, a.page(0), b.vm, b.window(number)).status
        for number in (0, 1, 31, 32, 63, 64, 65, 127, 128, LAST)
    }
    accepted = [number for number, status in answers.items() if status is Status.OK]
    assert accepted == [posted]
    assert set(answers.values()) == {Status.OK, Status.NOT_POSTED}
