"""Guests are not trusted: whatever one does, the machine and the other guest go on."""

import random
from contextlib import suppress

import pytest

from pageferry import Testbed
from pageferry.abi import Command, GuestMap, Operation, Status
from pageferry.address import GPA, GVA, PAGE_SIZE, page_of
from pageferry.debugger import Debugger
from pageferry.errors import (
    GuestException,
    GuestFault,
    GuestStopped,
    ProtocolError,
    RequestRefused,
    WaitTimeout,
)
from pageferry.testbed import Door


def give_away(bed: Testbed, gpa: GPA, door: Door) -> None:
    a, b = bed.guests
    bed.remap(a, gpa, b, b.window(0), door)


def test_a_guest_that_gives_away_the_root_of_its_own_table_is_stopped(bed: Testbed) -> None:
    a, b = bed.guests
    with pytest.raises(GuestStopped):
        give_away(bed, a.stage1_root, Door.GUEST)
    b.ping()
    assert b.load(b.window(0)) != 0  # the first entry of a table that is a page now


def test_a_guest_that_loses_the_root_of_its_own_table_is_stopped(bed: Testbed) -> None:
    a, b = bed.guests
    give_away(bed, a.stage1_root, Door.CONSOLE)
    with pytest.raises(GuestStopped):
        a.ping()
    b.ping()


def test_a_guest_that_loses_the_table_of_one_alias_keeps_the_other(bed: Testbed) -> None:
    a = bed.guests[0]
    table = a.walk(a.gva(a.page(0), alias=1)).steps[-1].nested.address
    give_away(bed, page_of(GPA(table)), Door.GUEST)
    with pytest.raises(GuestFault) as caught:
        a.load(a.page(0), alias=1)
    assert page_of(caught.value.gpa) == page_of(table)
    a.load(a.page(0), alias=0)


@pytest.mark.parametrize("symbol", ["reports", "work", "recovery"])
def test_a_guest_that_loses_what_it_runs_on_is_stopped(bed: Testbed, symbol: str) -> None:
    a, b = bed.guests
    gpa = a.walk(GVA(a.agent_image.symbol(symbol))).gpa
    assert gpa is not None
    give_away(bed, page_of(gpa), Door.CONSOLE)
    with pytest.raises(GuestStopped):
        a.ping()
    b.ping()


@pytest.mark.parametrize("number", [77, (1 << 32) - 1])
def test_a_report_of_an_outcome_that_there_is_not_is_a_protocol_error(
    bed: Testbed, number: int
) -> None:
    a = bed.guests[0]
    a.agent.write("reports[0].outcome", number)
    with pytest.raises(ProtocolError, match=f"guest 1 reports outcome {number:#x}"):
        a.report()
    a.ping()


def test_a_stopped_guest_says_why_whenever_it_is_asked(bed: Testbed) -> None:
    a = bed.guests[0]
    give_away(bed, a.stage1_root, Door.CONSOLE)
    reasons = set()
    for _ in range(2):
        with pytest.raises(GuestStopped) as caught:
            a.ping()
        reasons.add(caught.value.reason)
    assert reasons == {"a stage-2 fault on the way to recovery"}


def test_that_a_guest_is_stopped_is_told_once(bed: Testbed) -> None:
    a, b = bed.guests
    give_away(bed, a.stage1_root, Door.CONSOLE)
    with pytest.raises(GuestStopped):
        a.ping()
    for _ in range(3):
        b.ping()
    told = [it for it in bed.machine.console.lines if it.startswith("# vcpu 1.0 stopped: ")]
    assert len(told) == 1


def test_the_pages_of_a_stopped_guest_can_still_be_taken(bed: Testbed) -> None:
    a, b = bed.guests
    a.fill(a.page(0), 5)
    give_away(bed, a.stage1_root, Door.CONSOLE)
    with pytest.raises(GuestStopped):
        a.ping()
    bed.remap(a, a.page(0), b, b.window(1))
    assert b.load(b.window(1)) == 5


def test_a_stopped_guest_can_still_be_given_pages(bed: Testbed) -> None:
    a, b = bed.guests
    give_away(bed, a.stage1_root, Door.CONSOLE)
    with pytest.raises(GuestStopped):
        a.ping()
    given = bed.request(Operation.REMAP, b, b.page(0), a.vm, a.window(0))
    assert given.status is Status.OK


def test_a_guest_without_a_recovery_address_is_stopped_by_a_fault(bed: Testbed) -> None:
    a, b = bed.guests
    a.hypercall(Operation.RECOVER, 0)
    with pytest.raises(GuestStopped):
        a.load(a.window(0))
    b.ping()


def test_a_guest_that_is_stopped_says_where_and_by_which_exit_it_left_its_cpu(
    bed: Testbed,
) -> None:
    a, _ = bed.guests
    a.hypercall(Operation.RECOVER, 0)
    with pytest.raises(GuestStopped, match=r"at 0x\w+, \w+ \(.*\), by exit 0x\w+\)$"):
        a.load(a.window(0))


@pytest.mark.parametrize(
    "address", [GuestMap.WINDOW, GuestMap.RAM + GuestMap.RAM_SIZE, 1 << 47, 1 << 63]
)
def test_a_guest_with_a_recovery_address_that_leads_nowhere_hurts_only_itself(
    bed: Testbed, address: int
) -> None:
    a, b = bed.guests
    a.hypercall(Operation.RECOVER, address)
    with pytest.raises((GuestStopped, GuestException)):
        a.load(a.window(0))
    b.ping()


def test_a_guest_that_never_comes_back_does_not_keep_the_others_from_working(
    bed: Testbed, door: Door
) -> None:
    a, b = bed.guests
    a.begin(Command.WATCH, a.gva(a.page(0)))
    bed.remap(b, b.page(0), a, a.window(0), door)
    b.ping()
    with pytest.raises(RequestRefused) as caught:
        a.ping()
    assert caught.value.status is Status.BUSY


@pytest.mark.pageferry(cpus=2)
def test_guests_that_share_the_one_cpu_beside_the_control_cpu_take_turns(bed: Testbed) -> None:
    assert turns(bed) == 4


@pytest.mark.pageferry(cpus=2)
def test_guests_that_share_a_cpu_take_turns_also_when_they_have_rested(bed: Testbed) -> None:
    for guest in bed.guests:
        guest.ask(Command.REST)
    assert turns(bed) == 4


def turns(bed: Testbed) -> int:
    """How many of four come to guests that never give their CPU back."""
    works = [guest.begin(Command.WATCH, guest.gva(guest.page(0))) for guest in bed.guests]
    taken = 0
    with suppress(WaitTimeout):
        for work in works * 2:
            work.await_rounds(work.guest.report().rounds + 1, timeout=5)
            taken += 1
    return taken


def test_a_guest_that_never_comes_back_ends_in_a_timeout_that_says_where_it_is(
    bed: Testbed,
) -> None:
    a = bed.guests[0]
    with pytest.raises(WaitTimeout, match=r"it last left its CPU at .*\(\w+\.[cS]:"):
        a.ask(Command.WATCH, a.gva(a.page(0)), timeout=0.2)


def test_a_guest_that_rests_goes_on(bed: Testbed) -> None:
    a = bed.guests[0]
    work = a.begin(Command.REST)
    with suppress(WaitTimeout):
        work.result()
    assert a.report().nonce == work.nonce


@pytest.mark.pageferry(cpus=3)
def test_a_cpu_sleeps_while_its_guest_rests(bed: Testbed, gdb: Debugger) -> None:
    gdb.breakpoint("arch_alarm")
    bed.guests[0].begin(Command.REST)
    gdb.wait()
    same_cpu = f"$_thread == {gdb.value('$_thread')}"
    gdb.delete_breakpoints()
    for where in ("arch_idle", "arch_vcpu_run"):
        gdb.breakpoint(where, condition=same_cpu)
    gdb.cont()
    assert gdb.wait().frame.function == "arch_idle"


def test_a_watch_ends_in_a_fault_when_the_page_is_taken(bed: Testbed) -> None:
    a, b = bed.guests
    a.store(a.page(0), 0x77)
    watch = a.begin(Command.WATCH, a.gva(a.page(0)))
    watch.await_rounds(1000)
    bed.remap(a, a.page(0), b, b.window(0))
    with pytest.raises(GuestFault) as caught:
        watch.result()
    assert caught.value.gpa == a.page(0)
    assert a.report().value == 0x77


def test_a_watch_ends_when_it_is_told_to(bed: Testbed) -> None:
    a = bed.guests[0]
    watch = a.begin(Command.WATCH, a.gva(a.page(0)))
    watch.await_rounds(1)
    a.stop_watch()
    assert watch.result().rounds >= 1


def test_hypercalls_with_any_arguments_are_answered(bed: Testbed) -> None:
    seed = random.randrange(1 << 32)
    pick = random.Random(seed)
    near = [0, 1, GuestMap.RAM, GuestMap.PAGES, GuestMap.WINDOW, (1 << 64) - 1, (1 << 63)]
    kept = {Operation.WAIT, Operation.RECOVER}  # they change what the agent itself stands on
    for _ in range(200):
        operation = pick.choice([*range(12), pick.getrandbits(64)])
        if operation in kept:
            continue
        arguments = [pick.choice(near) + pick.choice([0, 1, 2, PAGE_SIZE]) for _ in range(3)]
        if operation in (Operation.REMAP, Operation.SHARE) and arguments[0] < GuestMap.PAGES:
            continue  # the agent's own page: tested above
        status, _ = bed.guests[0].hypercall(operation, *(a % (1 << 64) for a in arguments))
        assert status in Status, f"seed {seed}"
    for guest in bed.guests:
        guest.ping()
