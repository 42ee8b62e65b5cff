"""What a census tells of two moments that are not alike."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from pageferry.address import GPA, HPA, PAGE_SIZE
from pageferry.census import Census

PAGE = bytes(PAGE_SIZE)
FREE, TAKEN = 1, 2
WAS = Census(
    tables={(1, HPA(0x5000)): PAGE},
    records=bytes([0, FREE, 0, FREE, 0, TAKEN]),
    record_size=2,
    kind_at=1,
    kind_free=FREE,
    posted={1: b"\0"},
    pages={(1, GPA(0x1000)): PAGE, (2, GPA(0x1000)): PAGE},
)
ENTRY = (7).to_bytes(8, "little") + PAGE[8:]


def test_free_frames_are_those_whose_record_says_so() -> None:
    assert WAS.free == {0, 1}


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (WAS, []),
        (replace(WAS, tables={}), ["VM 1 lost table frame 0x5000"]),
        (
            replace(WAS, tables={**WAS.tables, (2, HPA(0x6000)): PAGE}),
            ["VM 2 has a new table frame 0x6000"],
        ),
        (
            replace(WAS, tables={(1, HPA(0x5000)): ENTRY}),
            ["VM 1: entry 0 of table 0x5000 was 0x0, is 0x7"],
        ),
        (
            replace(WAS, records=bytes([0, FREE, 0, TAKEN, 0, FREE])),
            [
                "the record of frame 1 was 0x100, is 0x200",
                "the record of frame 2 was 0x200, is 0x100",
                "free frames: taken [1], given back [2]",
            ],
        ),
        (
            replace(WAS, records=bytes([0, FREE, 0, FREE, 9, TAKEN])),
            ["the record of frame 2 was 0x200, is 0x209"],
        ),
        (replace(WAS, posted={1: b"\1"}), ["VM 1 posts other pages"]),
        (
            replace(WAS, pages={(1, GPA(0x1000)): ENTRY, (2, GPA(0x2000)): PAGE}),
            [
                "VM 1: the page at 0x1000 differs",
                "VM 2: the page at 0x1000 differs",
                "VM 2: the page at 0x2000 differs",
            ],
        ),
    ],
)
def test_each_change_is_told(later: Census, told: Iterable[str]) -> None:
    assert WAS.changes(later) == told


def test_a_page_that_may_differ_is_no_change() -> None:
    later = replace(WAS, pages={(1, GPA(0x1000)): ENTRY, (2, GPA(0x1000)): ENTRY})
    assert WAS.changes(later, [(1, GPA(0x1000))]) == ["VM 2: the page at 0x1000 differs"]
