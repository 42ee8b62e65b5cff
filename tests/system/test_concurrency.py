"""Guests on CPUs of their own: they run while pages move, and several doors are used at once."""

import pytest
from tests.system.witness import Witness

from pageferry import Testbed
from pageferry.abi import Command, Operation, Status
from pageferry.errors import GuestFault
from pageferry.guest import ALIASES
from pageferry.ownership import Request, apply

pytestmark = pytest.mark.pageferry(cpus=3)

LONG = 50_000_000
"""Rounds of a watch: so long nobody waits for the lock by accident."""


def test_both_guests_go_round_at_the_same_time(bed: Testbed) -> None:
    watches = [guest.begin(Command.WATCH, guest.gva(guest.page(0))) for guest in bed.guests]
    for _ in range(3):
        for watch in watches:
            watch.await_rounds(watch.guest.report().rounds + 1000)


def test_a_guest_that_has_a_cpu_to_itself_is_not_interrupted(bed: Testbed) -> None:
    a = bed.guests[0]
    watch = a.begin(Command.WATCH, a.gva(a.page(0)))
    watch.await_rounds(1000)
    exits = []
    for _ in range(2):  # the kick that has woken it may come late, and ends it once
        before = a.exits
        watch.await_rounds(a.report().rounds + LONG)
        exits.append(a.exits - before)
    assert exits in ([0, 0], [1, 0])


def test_a_witness_of_one_page_after_the_other_never_sees_what_the_new_owner_writes(
    bed: Testbed,
) -> None:
    a, b = bed.guests
    for number in range(20):
        a.store(a.page(number), number)
        watch = a.begin(Command.WATCH, a.gva(a.page(number), alias=number % 2))
        watch.await_rounds(1000)
        bed.remap(a, a.page(number), b, b.window(number))
        b.store(b.window(number), 0xFEED)
        with pytest.raises(GuestFault):
            watch.result()
        assert a.report().value == number


def test_two_doors_that_want_one_page_at_once_get_it_once(bed: Testbed) -> None:
    a, b = bed.guests
    model = bed.model()
    for number in range(40):
        gpa, by_guest, by_console = a.page(number), b.window(number), b.window(number + 100)
        work = a.begin(Command.HYPERCALL, Operation.REMAP, gpa, b.vm, by_guest)
        other = b.begin(Command.HYPERCALL, Operation.SHARE, b.page(number), a.vm, a.window(number))
        line = f"remap {a.vm} {gpa:#x} {b.vm} {by_console:#x}"
        pending = bed.machine.console.submit(line)
        answers = {
            Request(Operation.REMAP, a.vm, gpa, b.vm, by_guest): Status(work.result().value),
            Request(Operation.REMAP, a.vm, gpa, b.vm, by_console): pending.result().status,
            Request(Operation.SHARE, b.vm, b.page(number), a.vm, a.window(number)): Status(
                other.result().value
            ),
        }
        assert sorted(answers.values()) == [Status.OK, Status.OK, Status.NOT_MAPPED]
        for request, status in answers.items():
            if status is Status.OK:
                model = apply(model, request).state
    assert bed.disagreements(model) == []


def test_whoever_finds_the_lock_taken_waits_until_it_is_given_back(bed: Testbed) -> None:
    a, b = bed.guests
    watch = b.begin(Command.WATCH, b.gva(b.page(0)))
    watch.await_rounds(1)
    before = bed.census()
    bed.machine.stop()
    while bed.firmware.read_int("hypervisor_lock.held"):
        bed.machine.cont()
        bed.machine.stop()
    bed.firmware.write("hypervisor_lock.held", 1)  # as a third CPU does that takes its time
    bed.machine.cont()
    work = a.begin(Command.HYPERCALL, Operation.REMAP, a.page(0), b.vm, b.window(0))
    watch.await_rounds(b.report().rounds + LONG)
    assert before.changes(bed.census(), bed.agents_pages()) == []
    bed.firmware.write("hypervisor_lock.held", 0)
    assert Status(work.result().value) is Status.OK


@pytest.mark.pageferry(cpus=4)
def test_two_vcpus_of_a_guest_that_give_one_page_away_at_once_give_it_once(bed: Testbed) -> None:
    a, b = bed.guests
    model = bed.model()
    for number in range(40):
        gpa, places = a.page(number), (b.window(number), b.window(number + 100))
        works = [
            vcpu.begin(Command.HYPERCALL, Operation.REMAP, gpa, b.vm, to)
            for vcpu, to in zip(a.vcpus, places, strict=True)
        ]
        answers = [Status(work.result().value) for work in works]
        assert sorted(answers) == [Status.OK, Status.NOT_MAPPED]
        to = places[answers.index(Status.OK)]
        model = apply(model, Request(Operation.REMAP, a.vm, gpa, b.vm, to)).state
    assert bed.disagreements(model) == []


@pytest.mark.pageferry(cpus=4)
@pytest.mark.parametrize("alias", ALIASES, ids="alias{}".format)
def test_all_vcpus_that_read_a_page_fault_when_it_is_taken_from_them(
    bed: Testbed, alias: int
) -> None:
    a, b = bed.guests
    a.store(a.page(0), 1)
    witnesses = [Witness(vcpu, a.page(0), alias) for vcpu in a.vcpus]
    for witness in witnesses:
        witness.await_undisturbed()
    bed.remap(a, a.page(0), b, b.window(0))
    b.store(b.window(0), 2)
    for witness in witnesses:
        end = witness.await_later()
        assert (end.faulted_at, end.report.value) == (a.page(0), 1), f"{witness}"
        with pytest.raises(GuestFault):
            witness.work.result()
