"""The machine boots, and both guests run with tables of their own."""

import pytest

from pageferry import Testbed
from pageferry.abi import Command, GuestMap
from pageferry.address import GVA, PAGE_SIZE
from pageferry.errors import GuestFault
from pageferry.paging import Rights


def test_both_guests_answer_with_the_nonce_they_were_given(bed: Testbed) -> None:
    for guest in bed.guests:
        guest.ping()


def test_a_guest_has_its_ram_and_nothing_else(bed: Testbed) -> None:
    for guest in bed.guests:
        expected = range(GuestMap.RAM, GuestMap.RAM + GuestMap.RAM_SIZE, PAGE_SIZE)
        assert sorted(guest.pages()) == list(expected)


def test_no_frame_belongs_to_both_guests(bed: Testbed) -> None:
    first, second = ({frame for frame, _ in guest.pages().values()} for guest in bed.guests)
    assert first.isdisjoint(second)


def test_the_guests_run_with_different_roots_in_both_stages(bed: Testbed) -> None:
    first, second = bed.guests
    assert first.stage2_root != second.stage2_root
    assert first.walk(first.gva(first.page(0))).hpa != second.walk(second.gva(first.page(0))).hpa


@pytest.mark.parametrize("alias", [0, 1])
def test_a_guest_reaches_a_page_of_its_own_by_both_addresses(bed: Testbed, alias: int) -> None:
    guest = bed.guests[0]
    guest.store(guest.page(3), 0x1234, alias)
    assert guest.load(guest.page(3), 1 - alias) == 0x1234


def test_what_a_guest_stores_is_in_the_frame_its_tables_name(bed: Testbed) -> None:
    guest = bed.guests[0]
    guest.store(guest.page(3), 0x1234)
    assert guest.bytes_at(guest.page(3))[:8] == (0x1234).to_bytes(8, "little")


def test_both_aliases_walk_to_one_frame_with_all_rights(bed: Testbed) -> None:
    guest = bed.guests[0]
    walks = [guest.walk(guest.gva(guest.page(0), alias)) for alias in (0, 1)]
    assert walks[0].hpa == walks[1].hpa
    assert walks[0].rights == walks[1].rights == Rights.ALL


def test_an_empty_window_faults_at_the_address_that_was_touched(bed: Testbed) -> None:
    guest = bed.guests[0]
    with pytest.raises(GuestFault) as caught:
        guest.load(guest.window(5), alias=1)
    assert caught.value.gpa == guest.window(5)


@pytest.mark.parametrize("offset", [1, 2, 4093])
def test_a_fault_is_told_with_the_address_of_the_byte(bed: Testbed, offset: int) -> None:
    a = bed.guests[0]
    with pytest.raises(GuestFault) as caught:
        a.ask(Command.LOAD, GVA(a.gva(a.window(0)) + offset))
    assert caught.value.gpa == a.window(0) + offset
