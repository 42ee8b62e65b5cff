"""A guest reads a page while it is taken: what does it see afterwards?

A page's first word changes once after the page was taken, to a nonce that its new owner
writes. A witness keeps what it read last, so that one look at its end tells of the whole
time: had it ever read the nonce, it would say so.

Exits may hide a forgotten invalidation: an emulator flushes its TLB when it enters or
leaves a guest on some architectures. Therefore the guests have CPUs of their own, and it is
counted that a witness does not exit. Where all take turns there was always an exit between
the operation and the next read. What a witness tells there depends on the emulator: that
the entry is gone, and where translations outlive an exit, that they were forgotten too. The
new owner's nonce says nothing more, for its turn makes the CPU change to other tables.

With four CPUs the first guest has two vCPUs: one gives away what the other one reads.
"""

import secrets
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from tests.system import slot
from tests.system.witness import Witness

from pageferry import Command, GuestFault, Testbed
from pageferry.abi import Access, Operation, Status
from pageferry.address import GPA
from pageferry.debugger import Debugger
from pageferry.errors import GuestStopped
from pageferry.guest import ALIASES, POLL, Guest
from pageferry.testbed import Door

By = Door | Literal["memory"]
BY: tuple[By, ...] = (*Door, "memory")
"""Every way in: also the slot that anybody fills in who can write RAM."""

BY_OTHERS: tuple[By, ...] = tuple(by for by in BY if by is not Door.GUEST)
"""A vCPU that watches cannot ask: what takes its page by hypercall is another's."""

TAKEN = [(Operation.REMAP, by) for by in BY_OTHERS]
TAKEN += [(Operation.RECLAIM, by) for by in BY]
TAKEN += [(Operation.RELINQUISH, by) for by in BY_OTHERS]

LEFT = [(operation, by) for operation in (Operation.SHARE, Operation.COPY) for by in BY_OTHERS]


def name(operation: Operation, by: By) -> str:
    return f"{operation.name.lower()}-by-{by.value if isinstance(by, Door) else by}"


def do(bed: Testbed, by: By, operation: Operation, caller: Guest, *arguments: int) -> None:
    if isinstance(by, Door):
        assert bed.request(operation, caller, *arguments, door=by).status is Status.OK
    else:
        assert slot.request(bed, operation, caller, *arguments) is Status.OK


@dataclass(frozen=True)
class Change:
    """An operation that takes a page from `loser`, where it is `lost`, for `winner`."""

    caller: Guest
    arguments: tuple[int, ...]
    loser: Guest
    lost: GPA
    winner: Guest
    won: GPA


def prepare(bed: Testbed, operation: Operation) -> Change:
    """A page of the first guest, shared with the second if it is a share that ends."""
    a, b = bed.guests
    page, place = a.page(0), b.window(0)
    if operation is Operation.REMAP:
        return Change(a, (page, b.vm, place), a, page, b, place)
    bed.share(a, page, b, place)
    if operation is Operation.RECLAIM:
        return Change(a, (page,), b, place, a, page)
    return Change(b, (place,), b, place, a, page)


@pytest.mark.pageferry(cpus=3)
@pytest.mark.parametrize("alias", ALIASES, ids="alias{}".format)
@pytest.mark.parametrize(("operation", "by"), TAKEN, ids=[name(*it) for it in TAKEN])
def test_a_witness_faults_and_has_not_seen_what_the_new_owner_writes(
    bed: Testbed, operation: Operation, by: By, alias: int
) -> None:
    old = secrets.randbits(64)
    bed.guests[0].store(bed.guests[0].page(0), old)
    change = prepare(bed, operation)
    witness = Witness(change.loser, change.lost, alias)
    take(bed, operation, by, change, witness, old)


def take(
    bed: Testbed, operation: Operation, by: By, change: Change, witness: Witness, old: int
) -> None:
    """Take the page, in which `old` is, from the witness. It does not see what comes then."""
    nonce = secrets.randbits(64)
    witness.await_undisturbed()
    do(bed, by, operation, change.caller, *change.arguments)
    witness.note("answered")
    change.winner.store(change.won, nonce)
    end = witness.await_later()
    told = f"{witness}\nguest {change.winner.vm} wrote {nonce:#x} where {old:#x} was"
    assert end.report.value != nonce, f"the page leaks\n{told}"
    assert end.report.value == old, f"it read what nobody wrote\n{told}"
    assert end.faulted_at == change.lost, f"the witness did not fault\n{told}"
    with pytest.raises(GuestFault):
        witness.work.result()


@pytest.mark.pageferry(cpus=4)
@pytest.mark.parametrize("alias", ALIASES, ids="alias{}".format)
@pytest.mark.parametrize("giver", [0, 1], ids="vcpu{}-gives".format)
@pytest.mark.parametrize("by", BY, ids=[name(Operation.REMAP, it) for it in BY])
def test_a_vcpu_faults_and_has_not_seen_what_comes_when_another_one_gives_the_page_away(
    bed: Testbed, by: By, giver: int, alias: int
) -> None:
    a, b = bed.guests
    old = secrets.randbits(64)
    page, place = a.page(0), b.window(0)
    a.store(page, old)
    change = Change(a.vcpu(giver), (page, b.vm, place), a.vcpu(1 - giver), page, b, place)
    witness = Witness(change.loser, change.lost, alias)
    take(bed, Operation.REMAP, by, change, witness, old)


@pytest.mark.pageferry(cpus=4)
@pytest.mark.parametrize("stops", [0, 1], ids="vcpu{}-stops".format)
def test_a_vcpu_faults_and_has_not_seen_what_comes_where_another_one_of_its_guest_is_stopped(
    bed: Testbed, stops: int
) -> None:
    a, _ = bed.guests
    old = secrets.randbits(64)
    a.store(a.page(0), old)
    a.vcpu(stops).hypercall(Operation.RECOVER, 0)
    with pytest.raises(GuestStopped):
        a.vcpu(stops).load(a.window(0))
    change = replace(prepare(bed, Operation.REMAP), loser=a.vcpu(1 - stops))
    witness = Witness(change.loser, change.lost)
    take(bed, Operation.REMAP, Door.CONSOLE, change, witness, old)


@pytest.mark.pageferry(cpus=3)
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_witness_faults_however_often_pages_were_taken_before(bed: Testbed, bits: int) -> None:
    a, _ = bed.guests
    old = secrets.randbits(64)
    bed.firmware.write(f"vms[{a.vm}].generation", 1 << bits)  # as after so many invalidations
    a.store(a.page(0), old)
    change = prepare(bed, Operation.REMAP)
    take(bed, Operation.REMAP, Door.CONSOLE, change, Witness(a, change.lost), old)


@pytest.mark.pageferry(cpus=3)
@pytest.mark.parametrize("alias", ALIASES, ids="alias{}".format)
@pytest.mark.parametrize("by", BY_OTHERS, ids=[name(Operation.SHARE, it) for it in BY_OTHERS])
def test_an_owner_that_writes_faults_when_the_page_is_shared_and_does_not_change_it_any_more(
    bed: Testbed, by: By, alias: int
) -> None:
    a, _ = bed.guests
    share_from_writer(bed, by, a, Witness(a, a.page(0), alias, Command.SCRIBBLE))


@pytest.mark.pageferry(cpus=4)
@pytest.mark.parametrize("by", BY, ids=[name(Operation.SHARE, it) for it in BY])
def test_a_vcpu_that_writes_faults_when_another_shares_the_page_and_does_not_change_it_any_more(
    bed: Testbed, by: By
) -> None:
    a, _ = bed.guests
    share_from_writer(bed, by, a, Witness(a.vcpu(1), a.page(0), command=Command.SCRIBBLE))


def share_from_writer(bed: Testbed, by: By, a: Guest, writer: Witness) -> None:
    """Share the first page of `a`, which the writer writes: that ends it."""
    b = bed.guests[1]
    writer.await_undisturbed()
    do(bed, by, Operation.SHARE, a, a.page(0), b.vm, b.window(0))
    writer.note("answered")
    first = b.load(b.window(0))
    end = writer.await_later()
    then = b.load(b.window(0))
    told = f"{writer}\nguest {b.vm} read {first}, and later {then}"
    assert first == then, f"the owner still writes\n{told}"
    assert end.faulted_at == a.page(0), f"it did not fault\n{told}"
    assert end.report.rounds == first + 1, f"another round's number is the last\n{told}"
    with pytest.raises(GuestFault) as caught:
        writer.work.result()
    assert caught.value.access is Access.WRITE


@pytest.mark.pageferry(cpus=3)
@pytest.mark.parametrize(("operation", "by"), LEFT, ids=[name(*it) for it in LEFT])
def test_a_witness_of_a_page_that_it_may_still_read_goes_on(
    bed: Testbed, operation: Operation, by: By
) -> None:
    a, b = bed.guests
    value = secrets.randbits(64)
    a.store(a.page(0), value)
    witness = Witness(a, a.page(0))
    witness.await_undisturbed()
    do(bed, by, operation, a, a.page(0), b.vm, b.window(0))
    later = witness.await_later()
    assert not later.ended, f"{witness}"
    assert later.report.value == value, f"{witness}"
    a.stop_watch()
    witness.work.result()


def test_a_guest_that_calls_the_hypervisor_exits(bed: Testbed) -> None:
    for guest in bed.guests:
        before = guest.exits
        guest.ping()
        assert guest.exits > before


@pytest.mark.parametrize("command", [Command.LOAD, Command.REST], ids=["fault", "rest"])
def test_every_exit_is_counted_before_the_guest_is_entered_again(
    bed: Testbed, gdb: Debugger, command: Command
) -> None:
    a = bed.guests[0]
    entry = gdb.breakpoint("arch_vcpu_run", condition=f"vcpu->vm->id == {a.vm}")
    with entry, gdb.breakpoint("work_end", condition=f"vcpu->vm->id == {a.vm}"):
        a.begin(command, a.gva(a.window(0)))
        counts = []
        while gdb.wait().frame.function != "work_end":
            counts.append(a.exits)
            gdb.cont()
    assert len(counts) > 1
    assert counts == list(range(counts[0], counts[0] + len(counts)))


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize(("operation", "by"), TAKEN, ids=[name(*it) for it in TAKEN])
def test_a_witness_that_takes_turns_exits_all_the_time_and_faults_when_its_page_is_taken(
    bed: Testbed, operation: Operation, by: By
) -> None:
    change = prepare(bed, operation)
    witness = Witness(change.loser, change.lost)
    exits = witness.note("before").exits
    bed.machine.await_fact(lambda: witness.look().exits > exits or None, "an exit", every=POLL)
    do(bed, by, operation, change.caller, *change.arguments)
    end = witness.await_later()
    assert end.faulted_at == change.lost, f"the witness did not fault\n{witness}"
    with pytest.raises(GuestFault):
        witness.work.result()
