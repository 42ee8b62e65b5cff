"""What was not given cannot be reached, and what is one guest's is not seen in the other."""

import pytest
from tests.oracle.denied import DENIED, Denied
from tests.oracle.operands import OfArch
from tests.oracle.registers import ROUNDING
from tests.oracle.tags import TAG_BITS, TAGS

from pageferry import Testbed
from pageferry.abi import Command, GuestMap, Operation, Status
from pageferry.address import GVA, HPA, PAGE_SIZE
from pageferry.errors import GuestFault, GuestReport
from pageferry.ownership import Request, apply
from pageferry.testbed import Door

POINTER = 8
MECHANISMS = (Operation.REMAP, Operation.SHARE, Operation.COPY)


@pytest.mark.parametrize("operation", MECHANISMS)
def test_only_the_page_that_was_asked_for_changes(
    bed: Testbed, door: Door, operation: Operation
) -> None:
    a, b = bed.guests
    before = bed.observed()
    bed.request(operation, a, a.page(4), b.vm, b.window(4), door=door)
    after = bed.observed()
    changed = {
        (vm, gpa)
        for vm in before
        for gpa in before[vm].keys() | after[vm].keys()
        if before[vm].get(gpa) != after[vm].get(gpa)
    }
    assert changed <= {(a.vm, a.page(4)), (b.vm, b.window(4))}
    assert (b.vm, b.window(4)) in changed


@pytest.mark.parametrize("number", [3, 5], ids=["before", "after"])
def test_the_neighbours_of_a_remapped_page_stay_the_source_s(
    bed: Testbed, door: Door, number: int
) -> None:
    a, b = bed.guests
    bed.remap(a, a.page(4), b, b.window(4), door)
    a.store(a.page(number), 0x11)
    assert a.load(a.page(number)) == 0x11
    with pytest.raises(GuestFault):
        b.load(b.window(number))


def test_the_guests_have_different_bytes_at_one_address(bed: Testbed) -> None:
    a, b = bed.guests
    a.store(a.page(0), 0xA)
    b.store(b.page(0), 0xB)
    assert (a.load(a.page(0)), b.load(b.page(0))) == (0xA, 0xB)


def test_a_guest_faults_on_every_side_of_its_window_and_in_it(bed: Testbed) -> None:
    a, b = bed.guests
    last = GuestMap.WINDOW_SIZE // PAGE_SIZE - 1
    bed.remap(a, a.page(0), b, b.window(last))
    b.load(b.window(last))
    for empty in (b.window(0), b.window(last - 1)):
        with pytest.raises(GuestFault):
            b.load(empty)


def test_what_was_in_a_free_frame_is_in_nobody_s_tables(bed: Testbed) -> None:
    a, b = bed.guests
    base = bed.machine.arch.ram_base
    leaf = a.stage2(a.page(0)).steps[-1].raw
    entries = leaf.to_bytes(POINTER, "little") * (PAGE_SIZE // POINTER)
    for number in bed.census().free:
        bed.machine.memory.write(HPA(base + number * PAGE_SIZE), entries)
    asked = Request(Operation.REMAP, a.vm, a.page(0), b.vm, b.window(0))
    expected = apply(bed.model(), asked).state
    bed.remap(a, a.page(0), b, b.window(0))
    assert bed.disagreements(expected) == []


def test_no_guest_reaches_memory_that_its_own_table_does_not_name(bed: Testbed) -> None:
    a = bed.guests[0]
    for gva in (0, bed.firmware.address("frames"), GuestMap.RAM - PAGE_SIZE, 1 << 46, 1 << 63):
        with pytest.raises(GuestReport):
            a.ask(Command.LOAD, GVA(gva))
    a.ping()


def test_a_floating_point_register_is_not_seen_in_the_other_guest(bed: Testbed) -> None:
    a, b = bed.guests
    a.remember(0xAAAA)
    b.remember(0xBBBB)
    assert (a.recall(), b.recall()) == (0xAAAA, 0xBBBB)


def test_where_one_guest_used_the_floating_point_unit_is_not_seen_in_the_other(
    bed: Testbed,
) -> None:
    a, b = bed.guests
    a.remember(1)
    assert a.residue() != 0
    assert b.residue() == 0


@pytest.mark.parametrize("rounding", ROUNDING, ids=lambda rounding: rounding.arch)
def test_how_a_guest_calculates_is_not_changed_by_the_other(
    bed: Testbed, arch: str, rounding: OfArch
) -> None:
    assert rounding.applies_to(arch)
    a, b = bed.guests
    a.remember(0)
    before = a.residue()
    b.recall()
    assert a.residue() == before != 0


def test_a_write_that_is_denied_leaves_the_guest_s_registers_as_they_were(bed: Testbed) -> None:
    a, b = bed.guests
    bed.share(a, a.page(0), b, b.window(0))
    a.remember(1)
    before = a.residue()
    with pytest.raises(GuestFault):
        a.store(a.page(0), 0)
    assert a.residue() == before


def test_each_vm_has_a_tag_of_its_own(bed: Testbed, arch: str) -> None:
    expression, first = TAGS[arch]
    for vcpu in (vcpu for guest in bed.guests for vcpu in guest.vcpus):
        register = bed.firmware.read_int(expression.format(vm=vcpu.vm, vcpu=vcpu.index))
        assert register >> first & TAG_BITS == vcpu.vm, vcpu


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("denied", DENIED, ids=["ports", "registers"])
def test_every_bit_of_what_is_denied_one_by_one_is_set(bed: Testbed, denied: Denied) -> None:
    assert set(bed.firmware.read_bytes(denied.bits)) == {0xFF}


def test_a_guest_that_rests_goes_on_after_the_next_interrupt(bed: Testbed) -> None:
    for guest in bed.guests:
        guest.ask(Command.REST)


def test_whatever_no_guest_may_do_stops_it_and_nobody_else(bed: Testbed) -> None:
    a, b = bed.guests
    symbol = a.agent_image.symbol
    acts = (symbol("forbidden_acts_end") - symbol("forbidden_acts")) // POINTER
    assert acts > 0
    for act in range(acts):
        reply = a.begin(Command.MISBEHAVE, act).pending.result()
        assert reply.status is Status.STOPPED, f"act {act}: {reply.text}"
        b.ping()
        bed.restore()
