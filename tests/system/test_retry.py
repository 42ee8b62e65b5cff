"""What becomes of a guest after a fault, and after one that is none any more: another CPU broke
the entry and has made it again meanwhile."""

from contextlib import suppress

import pytest
from tests.oracle.registers import CALLED, STRANGE, USER

from pageferry import Command, GuestFault, Testbed
from pageferry.abi import Access, Operation, Outcome, Status
from pageferry.address import GPA, HPA
from pageferry.debugger import Debugger
from pageferry.errors import GuestReport
from pageferry.guest import POLL, Guest, Work

ENTRY = 8
"""Bytes of a table's entry."""

UNTOUCHED = 200
"""A page of the guest's that no translation was made for."""


class Absent:
    """A page's entry, which is taken away and put back behind the hypervisor's back."""

    def __init__(self, guest: Guest, page: GPA) -> None:
        self._memory = guest.machine.memory
        self._leaf = guest.stage2(page).steps[-1]
        self.take()

    def take(self) -> None:
        self._memory.write(HPA(self._leaf.address), bytes(ENTRY))

    def put(self) -> None:
        self._memory.write(HPA(self._leaf.address), self._leaf.raw.to_bytes(ENTRY, "little"))


def stop_at(gdb: Debugger, where: str) -> None:
    """There, and nowhere else afterwards."""
    gdb.breakpoint(where)
    if not gdb.running:
        gdb.cont()
    gdb.wait()
    gdb.delete_breakpoints()


def begin_with_a_fault(
    a: Guest, gdb: Debugger, page: GPA, command: Command = Command.LOAD
) -> tuple[Work, Absent]:
    """Of a page whose entry is there again when it is looked for; it stands just before."""
    entry = Absent(a, page)
    gdb.breakpoint("stage2_find")  # to look up what the fault was about
    work = a.begin(command, a.gva(page))
    gdb.wait()
    gdb.delete_breakpoints()
    entry.put()
    return work, entry


def spare_a_fault(a: Guest, gdb: Debugger, number: int) -> None:
    """The page is there again when it is looked for."""
    work, _ = begin_with_a_fault(a, gdb, a.page(number))
    assert gdb.value("hypervisor_lock.held") == 1
    gdb.cont()
    with suppress(GuestFault):
        work.result()
    assert a.report().outcome is Outcome.DONE


@pytest.mark.pageferry(cpus=1)
def test_a_guest_goes_on_if_the_page_is_there_when_the_lock_is_held(
    bed: Testbed, gdb: Debugger
) -> None:
    spare_a_fault(bed.guests[0], gdb, UNTOUCHED)


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("index", [0, 1])
def test_a_guest_goes_on_if_it_has_a_page_that_the_other_one_has_not(
    bed: Testbed, gdb: Debugger, index: int
) -> None:
    guest, other = bed.guests[index], bed.guests[1 - index]
    bed.remap(other, other.page(UNTOUCHED), guest, guest.window(0))
    spare_a_fault(guest, gdb, UNTOUCHED)


@pytest.mark.pageferry(cpus=3)  # no tick comes between
def test_a_guest_goes_on_a_second_time_if_it_has_called_the_hypervisor(
    bed: Testbed, gdb: Debugger
) -> None:
    for number in range(2):
        spare_a_fault(bed.guests[0], gdb, UNTOUCHED + number)


@pytest.mark.pageferry(cpus=1)  # ticks come between
def test_a_guest_goes_on_a_second_time_if_it_was_interrupted(bed: Testbed, gdb: Debugger) -> None:
    a, b = bed.guests
    page = a.page(UNTOUCHED)
    work, entry = begin_with_a_fault(a, gdb, page, Command.WATCH)
    gdb.cont()
    work.await_rounds(1)
    exits = a.exits
    bed.machine.await_fact(lambda: a.exits > exits + 1 or None, "ticks", every=POLL)
    gdb.interrupt()
    entry.take()
    gdb.breakpoint("*stage2_find", condition=f"page.value == {page:#x}")
    gdb.cont()
    # Has all of the guest's translations forgotten where the emulator keeps them over exits.
    remap = f"remap {a.vm} {a.page(0):#x} {b.vm} {b.window(0):#x}"
    pending = bed.machine.console.submit(remap)
    gdb.wait()
    gdb.delete_breakpoints()
    entry.put()
    gdb.cont()
    assert pending.result().status == 0
    a.stop_watch()
    with suppress(GuestFault):
        work.result()
    assert a.report().outcome is Outcome.DONE


@pytest.mark.pageferry(cpus=3)  # no tick comes between
def test_a_guest_that_has_rested_since_a_fault_that_was_none_is_spared_another_one(
    bed: Testbed, gdb: Debugger
) -> None:
    a = bed.guests[0]
    vcpu = f"vms[{a.vm}].vcpus[0]"
    # Nothing calls the hypervisor between the work and the rest.
    bed.firmware.write(f"{vcpu}.retried", 1)
    gdb.breakpoint("arch_alarm")
    work = a.begin(Command.REST)
    gdb.wait()
    stop_at(gdb, "arch_vcpu_run")
    retried = bed.firmware.read_int(f"{vcpu}.retried")
    gdb.cont()
    work.result()
    assert not retried


def is_told_at_once(a: Guest, gdb: Debugger, arch: str) -> None:
    """A second fault, with nothing else since the one that was spared."""
    work, entry = begin_with_a_fault(a, gdb, a.page(UNTOUCHED))
    stop_at(gdb, f"*{CALLED[arch][0]}")
    entry.take()
    stop_at(gdb, "stage2_find")
    entry.put()
    gdb.cont()
    with suppress(GuestFault):
        work.result()
    assert a.report().outcome is Outcome.FAULT


@pytest.mark.pageferry(cpus=3)  # no tick comes between
def test_a_guest_that_faults_again_at_once_is_told(bed: Testbed, gdb: Debugger, arch: str) -> None:
    is_told_at_once(bed.guests[0], gdb, arch)


@pytest.mark.pageferry(cpus=4)
def test_a_second_vcpu_that_faults_again_at_once_is_told(
    bed: Testbed, gdb: Debugger, arch: str
) -> None:
    is_told_at_once(bed.guests[0].vcpu(1), gdb, arch)


@pytest.mark.pageferry(cpus=1)  # ticks come
def test_a_guest_is_on_the_way_to_recovery_though_it_was_interrupted(bed: Testbed) -> None:
    a = bed.guests[0]
    recovering = f"vms[{a.vm}].vcpus[0].recovering"
    a.begin(Command.WATCH, a.gva(a.page(0))).await_rounds(1)
    bed.firmware.write(recovering, 1)
    exits = a.exits
    bed.machine.await_fact(lambda: a.exits > exits + 1 or None, "ticks", every=POLL)
    assert bed.firmware.read_int(recovering)


@pytest.mark.pageferry(cpus=3)
@pytest.mark.parametrize(
    ("operation", "command"),
    [(Operation.SHARE, Command.STORE), (Operation.COPY, Command.JUMP)],
    ids=["store", "jump"],
)
def test_a_guest_that_has_the_page_and_not_the_right_is_told_at_once(
    bed: Testbed, gdb: Debugger, operation: Operation, command: Command
) -> None:
    a, b = bed.guests
    bed.request(operation, a, a.page(0), b.vm, b.window(0))
    for where in ("stage2_find", "arch_vcpu_resume_at"):
        gdb.breakpoint(where)
    b.begin(command, b.gva(b.window(0)))
    for where in ("stage2_find", "arch_vcpu_resume_at"):
        assert gdb.wait().frame.function == where
        gdb.cont()


def is_led_there_once(guest: Guest, gdb: Debugger) -> None:
    """To a recovery address that faults, too."""
    guest.hypercall(Operation.RECOVER, guest.gva(guest.window(0)))
    for where in ("arch_vcpu_resume_at", "work_end"):
        gdb.breakpoint(where)
    guest.begin(Command.LOAD, guest.gva(guest.window(1)))
    for where in ("arch_vcpu_resume_at", "work_end"):
        assert gdb.wait().frame.function == where
        gdb.cont()


def test_a_guest_that_faults_on_the_way_to_recovery_is_not_led_there_again(
    bed: Testbed, gdb: Debugger
) -> None:
    is_led_there_once(bed.guests[0], gdb)


@pytest.mark.pageferry(cpus=4)
def test_a_second_vcpu_that_faults_on_the_way_to_recovery_is_not_led_there_again(
    bed: Testbed, gdb: Debugger
) -> None:
    is_led_there_once(bed.guests[0].vcpu(1), gdb)


def test_a_fault_is_told_to_the_guest_s_kernel_whatever_state_it_came_from(
    bed: Testbed, gdb: Debugger, arch: str
) -> None:
    a = bed.guests[0]
    gdb.breakpoint("arch_vcpu_resume_at")
    work = a.begin(Command.LOAD, a.gva(a.window(0)))
    gdb.wait()
    gdb.evaluate(STRANGE[arch])
    gdb.delete_breakpoints()
    gdb.cont()
    with suppress(GuestReport):
        work.result()
    assert a.report().outcome is Outcome.FAULT


def test_a_fault_of_a_guest_s_user_is_told_to_its_kernel_which_goes_on(bed: Testbed) -> None:
    a = bed.guests[0]
    work = a.begin(Command.LOAD_AS_USER, a.gva(a.window(0)))
    assert work.pending.result().status is Status.OK
    with pytest.raises(GuestFault) as caught:
        work.result()
    assert (caught.value.gpa, caught.value.access) == (a.window(0), Access.READ)
    a.ping()


def test_a_guest_s_user_that_leaves_the_guest_is_known_as_its_user(
    bed: Testbed, gdb: Debugger, arch: str
) -> None:
    a = bed.guests[0]
    gdb.breakpoint("arch_vcpu_resume_at")
    a.begin(Command.LOAD_AS_USER, a.gva(a.window(0)))
    gdb.wait()
    expression, value = USER[arch]
    assert gdb.value(expression) == value
