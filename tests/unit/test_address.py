"""Addresses and the pages they lie in."""

from dataclasses import dataclass

import pytest

from pageferry.abi import GuestMap, Status
from pageferry.address import GPA, GVA, HPA, in_hex, is_aligned, page_of
from pageferry.inspect import Range
from pageferry.ledger import Kind as FrameKind
from pageferry.ledger import Record
from pageferry.paging import (
    Entry,
    Failure,
    GuestTranslation,
    Kind,
    Mapping,
    Rights,
    Step,
    Translation,
)
from pageferry.testbed import Answer
from pageferry.verdict import NOTHING, Access, End, Place, Sight


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
    assert "owner=1, " in repr(Record(FrameKind.GUEST, 1, owner_gpa=GPA(0x1000)))
    assert "owner_gpa=0x1000, " in repr(Record(FrameKind.GUEST, 1, owner_gpa=GPA(0x1000)))


def test_what_tables_hold_is_shown_in_hexadecimal_and_levels_and_sizes_as_they_are() -> None:
    step = Step(0x8000, 0, 5, 0x7_7063, Kind.LEAF, Rights.ALL)
    assert repr(step).startswith("Step(table=0x8000, level=0, index=5, raw=0x77063, kind=")
    leaf = repr(Mapping(0x6010_0000, HPA(0x7_7000), 4096, Rights.READ, 0x7_7001, 0))
    assert leaf.startswith("Mapping(address=0x60100000, output=0x77000, size=4096, rights=")
    assert leaf.endswith("entry=0x77001, level=0)")
    way = Translation(0x6010_0000, (step,), Kind.LEAF, 0, HPA(0x7_7000), Rights.ALL, 4096)
    assert repr(way).startswith(f"Translation(address=0x60100000, steps=({step!r},), kind=")
    assert "address=0x1000, " in repr(Failure(1, 0, Kind.ABSENT, 0x1000))
    assert "output=0x2000, " in repr(Entry(Kind.TABLE, 0x2000, Rights.ALL))
    assert "gva=0x1000, " in repr(GuestTranslation(GVA(0x1000), (), None, None, Rights.READ))


def test_what_is_seen_is_shown_with_its_addresses_in_hexadecimal() -> None:
    sight = Sight(HPA(0x7_7000), Rights.READ, Access.READ_ONLY, "s", "s")
    assert "before=Sight(frame=0x77000, " in repr(End(1, GPA(0x6010_0000), sight, NOTHING))
    assert repr(Place(1, GPA(0x1000), HPA(0x2000))) == "Place(vm=1, gpa=0x1000, frame=0x2000)"
    assert "address=0x1000, output=0x2000, size=4096" in repr(
        Range(0x1000, 0x2000, 4096, Rights.ALL)
    )


def test_inherited_fields_are_shown_too() -> None:
    @dataclass
    class Base:
        gpa: GPA

    @dataclass
    class Derived(Base):
        vm: int
        __repr__ = in_hex

    assert repr(Derived(GPA(0x1000), 1)).endswith("Derived(gpa=0x1000, vm=1)")
