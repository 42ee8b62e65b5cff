"""Addresses and the pages they lie in."""

import pytest

from pageferry.abi import GuestMap, Status
from pageferry.address import GPA, HPA, is_aligned, page_of
from pageferry.ledger import Kind, Record
from pageferry.testbed import Answer


@pytest.mark.parametrize(
    ("address", "page"), [(0, 0), (1, 0), (4095, 0), (4096, 4096), (0x6010_0FFF, 0x6010_0000)]
)
def test_the_page_of_an_address_begins_at_or_before_it(address: int, page: int) -> None:
    assert page_of(GPA(address)) == page


def test_a_number_of_the_abi_has_a_page_too() -> None:
    assert page_of(GuestMap.WINDOW + 5) == page_of(GuestMap.WINDOW) == 0x3000_0000


@pytest.mark.parametrize(
    ("address", "aligned"), [(0, True), (4096, True), (8, False), (4095, False)]
)
def test_an_address_is_aligned_at_the_first_byte_of_a_page_only(
    address: int, aligned: bool
) -> None:
    assert is_aligned(address) is aligned


def test_what_holds_addresses_shows_them_in_hexadecimal_and_numbers_as_they_are() -> None:
    answer = repr(Answer(Status.OK, frame=HPA(0x50_0000), instructions=640))
    assert answer.endswith("text='', frame=0x500000, instructions=640)")
    assert "frame=None" in repr(Answer(Status.BUSY))
    assert "owner=1, " in repr(Record(Kind.GUEST, 1, owner_gpa=GPA(0x1000)))
    assert "owner_gpa=0x1000, " in repr(Record(Kind.GUEST, 1, owner_gpa=GPA(0x1000)))
