"""The first and the last of what the hypervisor counts, pages of a range, bits of a word, and
what is beyond; what is asked for twice."""

import pytest
from tests.system.tampering import point_at

from pageferry import Testbed
from pageferry.abi import GuestMap, Operation, Status
from pageferry.address import GPA, HPA, PAGE_SIZE
from pageferry.guest import Guest
from pageferry.testbed import Door

# How many CPUs there are makes no difference to what is counted.
pytestmark = pytest.mark.pageferry(cpus=1)

WINDOW_PAGES = GuestMap.WINDOW_SIZE // PAGE_SIZE
LAST = WINDOW_PAGES - 1

WORD = 64
"""Pages that one word of the hypervisor's says of whether they are expected."""


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


def is_posted(bed: Testbed, guest: Guest, number: int) -> bool:
    """By the hypervisor's records."""
    word = bed.firmware.read_int(f"vms[{guest.vm}].posted[{number // 64}]")
    return bool(word >> number % 64 & 1)


def posted_words(bed: Testbed, guest: Guest) -> list[int]:
    """All of the hypervisor's record of what the guest expects."""
    words = range(WINDOW_PAGES // WORD)
    return [bed.firmware.read_int(f"vms[{guest.vm}].posted[{word}]") for word in words]


@pytest.mark.parametrize(
    "operation", [Operation.POST, Operation.WITHDRAW], ids=["post", "withdraw"]
)
@pytest.mark.parametrize(
    ("first", "pages"), [(0, WORD), (1, WORD), (WORD - 1, WORD + 2), (LAST - WORD, WORD + 1)]
)
def test_of_a_range_that_ends_within_a_word_no_page_beside_it_changes(
    bed: Testbed, operation: Operation, first: int, pages: int
) -> None:
    _, b = bed.guests
    if operation is Operation.POST:
        b.withdraw(b.window(0), WINDOW_PAGES)
    before = posted_words(bed, b)
    assert bed.request(operation, b, b.window(first), pages).status is Status.OK
    differ = [old ^ new for old, new in zip(before, posted_words(bed, b), strict=True)]
    changed = [it for it in range(WINDOW_PAGES) if differ[it // WORD] >> it % WORD & 1]
    assert changed == list(range(first, first + pages))


@pytest.mark.parametrize("posted_before", [True, False], ids=["all-posted", "none-posted"])
@pytest.mark.parametrize(
    "operation", [Operation.POST, Operation.WITHDRAW], ids=["post", "withdraw"]
)
def test_what_is_posted_or_withdrawn_twice_stays_so(
    bed: Testbed, door: Door, operation: Operation, posted_before: bool
) -> None:
    a, b = bed.guests
    if not posted_before:
        b.withdraw(b.window(0), WINDOW_PAGES)
    for number in (63, 64):
        for _ in range(2):
            done = bed.request(operation, b, b.window(number), 1, door=door)
            assert done.status is Status.OK
            assert is_posted(bed, b, number) is (operation is Operation.POST)
        answer = bed.request(Operation.REMAP, a, a.page(number), b.vm, b.window(number))
        expected = Status.OK if operation is Operation.POST else Status.NOT_POSTED
        assert answer.status is expected
    assert is_posted(bed, b, 62) is is_posted(bed, b, 65) is posted_before


@pytest.mark.parametrize(
    ("behind", "status"),
    [(-1, Status.NOT_OWNER), (0, Status.PROTECTED)],
    ids=["the-last", "the-one-behind"],
)
def test_a_record_of_a_guest_s_frame_counts_to_the_end_of_ram(
    bed: Testbed, behind: int, status: Status
) -> None:
    a, b = bed.guests
    number = bed.firmware.size("frames") // bed.firmware.size("frames[0]") + behind
    point_at(bed, a, a.page(0), HPA(bed.machine.arch.ram_base + number * PAGE_SIZE))
    offset = number * bed.firmware.size("frames[0]")
    record = HPA(bed.firmware.address("frames[0].kind") + offset)
    guests = bed.machine.image.enum("frame_kind")["FRAME_GUEST"]
    bed.machine.memory.write(record, bytes([guests]))
    answer = bed.request(Operation.REMAP, a, a.page(0), b.vm, b.window(0))
    assert answer.status is status
