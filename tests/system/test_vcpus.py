"""A guest of two vCPUs: each is asked, runs, faults and stops for itself."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from tests.oracle.tags import TAG_BITS, TAGS
from tests.system import slot
from tests.system.tampering import give_tables_of_its_own

from pageferry import Command, GuestFault, Observers, Testbed, Verdict, judge
from pageferry.abi import Operation, Outcome, Status
from pageferry.address import PAGE_SIZE
from pageferry.errors import GuestReport, GuestStopped, ProtocolError, RequestRefused
from pageferry.guest import Guest, ping
from pageferry.report.accounts import guest_tables
from pageferry.settings import Settings
from pageferry.testbed import Door

pytestmark = pytest.mark.pageferry(cpus=4)

NONCE = 0x5EED
"""Of work that nobody gets."""


@pytest.mark.parametrize(
    ("count", "vcpus"), [(1, [1, 1]), (2, [1, 1]), (3, [1, 1]), (4, [2, 1]), (5, [2, 2])]
)
def test_a_second_vcpu_is_there_where_a_cpu_is_left_for_it(
    arch: str, pageferry_settings: Settings, count: int, vcpus: list[int]
) -> None:
    with Testbed.start(arch, cpus=count, firmware=pageferry_settings.firmware) as bed:
        assert [len(guest.vcpus) for guest in bed.guests] == vcpus
        for vcpu in (vcpu for guest in bed.guests for vcpu in guest.vcpus):
            vcpu.store(vcpu.page(vcpu.index), NONCE)
            assert vcpu.load(vcpu.page(vcpu.index)) == NONCE


def test_more_vcpus_than_there_is_room_for_are_not_believed(bed: Testbed) -> None:
    a = bed.guests[0]
    bed.firmware.write(f"vms[{a.vm}].vcpu_count", 2**32 - 1)
    with pytest.raises(ProtocolError, match=r"VM 1 is said to have 4294967295 vCPUs, .* for 2$"):
        assert a.vcpus


def test_each_vcpu_answers_with_the_nonce_it_was_given(bed: Testbed) -> None:
    vcpus = [vcpu for guest in bed.guests for vcpu in guest.vcpus]
    assert [vcpu.name for vcpu in vcpus] == ["1", "1.1", "2"]
    before = [vcpu.report().nonce for vcpu in vcpus]
    for vcpu in vcpus:
        vcpu.ping()
    assert all(vcpu.report().nonce != old for vcpu, old in zip(vcpus, before, strict=True))


def test_a_round_trip_of_the_guests_is_one_of_each_vcpu(bed: Testbed) -> None:
    bed.guests[0].vcpu(1).begin(Command.WATCH, bed.guests[0].gva(bed.guests[0].page(0)))
    with pytest.raises(RequestRefused) as caught:
        ping(bed.guests)
    assert caught.value.status is Status.BUSY


def test_the_vcpus_of_a_guest_run_at_the_same_time_and_see_one_memory(bed: Testbed) -> None:
    a = bed.guests[0]
    page = a.page(0)
    writer = a.begin(Command.SCRIBBLE, a.gva(page))
    reader = a.vcpu(1).begin(Command.WATCH, a.gva(page, alias=1))
    writer.await_rounds(1000)
    reader.await_rounds(1000)
    a.stop_watch()
    last = writer.result().rounds - 1
    rounds = a.vcpu(1).report().rounds
    reader.await_rounds(rounds + 10)
    a.vcpu(1).stop_watch()
    assert reader.result().value == last


def test_exits_and_places_are_those_of_each_vcpu(bed: Testbed) -> None:
    first, other = bed.guests[0].vcpus
    before = first.exits, other.exits
    other.ping()
    assert first.exits == before[0]
    assert other.exits > before[1]
    told = [place.split(":")[0] for place in guest_tables(first)["where"]]
    assert told == ["guest 1", "guest 1.1"]


def test_observers_ask_every_vcpu(bed: Testbed) -> None:
    a, b = bed.guests
    before = a.vcpu(1).exits
    observers = Observers(bed, a, a.page(0), b, b.window(0))
    assert a.vcpu(1).exits > before
    bed.remap(a, a.page(0), b, b.window(0), Door.GUEST)
    judge(observers.conclude()).require(Verdict.REMAP)


def test_each_vcpu_has_floating_point_registers_of_its_own(bed: Testbed) -> None:
    a = bed.guests[0]
    for vcpu in a.vcpus:
        vcpu.remember(NONCE + vcpu.index)
    assert [vcpu.recall() for vcpu in a.vcpus] == [NONCE, NONCE + 1]


def test_vcpus_of_a_guest_have_one_stage_2_one_tag_and_different_cpus(
    bed: Testbed, arch: str
) -> None:
    expression, first = TAGS[arch]
    read = bed.firmware.read_int
    vcpus = bed.guests[0].vcpus
    tags = [read(expression.format(vm=1, vcpu=vcpu.index)) >> first & TAG_BITS for vcpu in vcpus]
    assert tags == [1, 1]
    assert len({vcpu.stage2_root for vcpu in vcpus}) == 1
    assert [read(f"vms[1].vcpus[{vcpu.index}].cpu") for vcpu in vcpus] == [1, 3]


def test_a_vcpu_that_runs_on_another_root_is_a_disagreement(bed: Testbed) -> None:
    other, root = bed.guests[0].vcpu(1), bed.guests[0].stage2_root
    model = bed.model()
    register = bed.machine.arch.stage2_root.format(vm=1, vcpu=1)
    bed.firmware.write(register, bed.firmware.read_int(register) + PAGE_SIZE)
    assert other.stage2_root != root
    (found,) = bed.disagreements(model)
    assert "VM 1.1 runs on the root" in found.text


def test_a_fault_is_told_with_the_number_of_the_vcpu_and_leaves_the_others_alone(
    bed: Testbed,
) -> None:
    a = bed.guests[0]
    watch = a.begin(Command.WATCH, a.gva(a.page(0)))
    watch.await_rounds(100)
    with pytest.raises(GuestFault, match=r"guest 1\.1 faulted") as caught:
        a.vcpu(1).load(a.window(0))
    assert (caught.value.vm, caught.value.vcpu, caught.value.gpa) == (1, 1, a.window(0))
    a.stop_watch()
    assert watch.result().rounds > 100


def test_a_vcpu_is_stopped_by_number_and_the_others_go_on(bed: Testbed) -> None:
    a = bed.guests[0]
    other = a.vcpu(1)
    other.hypercall(Operation.RECOVER, 0)
    for _ in range(2):
        with pytest.raises(GuestStopped, match=r"guest 1\.1 stopped: a stage-2 fault") as caught:
            other.load(a.window(0))
        assert (caught.value.vm, caught.value.vcpu) == (1, 1)
    bed.machine.console.await_log(f"vcpu 1.1 stopped: {caught.value.reason}")
    a.ping()


def test_each_vcpu_says_for_itself_where_it_recovers(bed: Testbed) -> None:
    a = bed.guests[0]
    a.vcpu(1).hypercall(Operation.RECOVER, 0)
    with suppress(GuestReport):
        a.load(a.window(0))
    assert a.report().outcome is Outcome.FAULT


def test_what_one_vcpu_posts_is_received_for_all(bed: Testbed) -> None:
    a, b = bed.guests
    a.withdraw(a.window(0))
    a.vcpu(1).post(a.window(0))
    b.store(b.page(0), NONCE)
    bed.remap(b, b.page(0), a, a.window(0))
    assert [vcpu.load(a.window(0)) for vcpu in a.vcpus] == [NONCE, NONCE]


# vCPUs that do not exist


Ask = Callable[[Testbed, Guest], tuple[Status, str]]
"""What the hypervisor says to work for a vCPU: status, and text where the door has it."""


def ask_by_console(bed: Testbed, vcpu: Guest) -> tuple[Status, str]:
    answer = bed.request(Operation.ASK, vcpu, NONCE, Command.PING, door=Door.CONSOLE)
    return answer.status, answer.text


def ask_by_gdb(bed: Testbed, vcpu: Guest) -> tuple[Status, str]:
    answer = bed.request(Operation.ASK, vcpu, NONCE, Command.PING, door=Door.GDB)
    return answer.status, answer.text


def ask_by_memory(bed: Testbed, vcpu: Guest) -> tuple[Status, str]:
    return slot.request(bed, Operation.ASK, vcpu, NONCE, Command.PING), ""


ASKS: tuple[Ask, ...] = (ask_by_console, ask_by_gdb, ask_by_memory)


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(("vm", "index"), [(1, 2), (2, 1), (2, 1 << 32), (2, (1 << 64) - 1)])
def test_a_vcpu_that_does_not_exist_is_refused_by_every_door_and_nothing_changes(
    bed: Testbed, ask: Ask, vm: int, index: int
) -> None:
    guest = bed.guests[vm - 1]
    nobody = Guest(vm, bed.machine, bed.firmware, guest.agent_image, index)
    before = bed.census()
    status, text = ask(bed, nobody)
    assert status is Status.UNKNOWN_VCPU
    assert text in ("", "a VM's vCPUs are 0 and up, without a gap")
    assert before.changes(bed.census()) == []
    ping(bed.guests)


def test_an_operation_in_the_name_of_a_vcpu_that_does_not_exist_changes_nothing(
    bed: Testbed,
) -> None:
    a, b = bed.guests
    nobody = Guest(1, bed.machine, bed.firmware, a.agent_image, 2)
    before = bed.census()
    status = slot.request(bed, Operation.REMAP, nobody, a.page(0), b.vm, b.window(0))
    assert status is Status.UNKNOWN_VCPU
    assert before.changes(bed.census()) == []


@pytest.mark.parametrize("ask", ASKS)
def test_a_vcpu_that_exists_is_asked_by_every_door(bed: Testbed, ask: Ask) -> None:
    other = bed.guests[0].vcpu(1)
    status, _ = ask(bed, other)
    assert status is Status.OK
    assert (other.report().nonce, bed.guests[0].report().nonce == NONCE) == (NONCE, False)


def test_a_guest_cannot_ask_another_vcpu_by_hypercall(bed: Testbed) -> None:
    status, _ = bed.guests[0].hypercall(Operation.ASK, NONCE, Command.PING)
    assert status is Status.UNKNOWN_OPERATION


@pytest.mark.parametrize(("vm", "index"), [(1, 2), (1, -1), (2, 1)])
def test_a_test_is_told_which_vcpus_a_guest_has(bed: Testbed, vm: int, index: int) -> None:
    guest = bed.guests[vm - 1]
    with pytest.raises(
        ValueError, match=f"guest {vm} has no vCPU {index}: it has {3 - vm}, "
    ) as it:
        guest.vcpu(index)
    assert str(it.value).endswith("4 is the number of CPUs; with 4 guest 1 has two, with 5 both")


def test_a_page_that_one_vcpu_s_own_tables_map_as_well_is_seen_there(bed: Testbed) -> None:
    a, b = bed.guests
    bed.remap(b, b.page(7), a, a.window(9))  # makes the tables of the window
    page = a.stage2(a.page(0))
    give_tables_of_its_own(bed, a.vcpu(1), a.window(5), page.steps[-1].raw)
    observers = Observers(bed, a, a.page(0), b, b.window(0))
    bed.remap(a, a.page(0), b, b.window(0))
    scene = observers.conclude()
    assert {(it.vm, it.gpa, it.frame) for it in scene.strangers_after} == {
        (a.vm, a.window(5), page.output)
    }
    judge(scene).require(Verdict.ILL_POSED)


def test_a_watch_is_not_ended_by_a_stop_that_came_too_late_for_another(bed: Testbed) -> None:
    a = bed.guests[0]
    lost = a.begin(Command.WATCH, a.gva(a.window(0)))
    with pytest.raises(GuestFault):
        lost.result()
    a.stop_watch()
    with a.watching(a.page(0)) as watch:
        watch.await_rounds(1000)
    assert watch.result().rounds >= 1000
