"""What an answer says beside its status, by the doors that are told more than that."""

import pytest
from tests.oracle.registers import GIVEN

from pageferry import Command, Testbed
from pageferry.abi import Operation, Status
from pageferry.debugger import Debugger
from pageferry.guest import POLL
from pageferry.testbed import Door

MECHANISMS = [Operation.REMAP, Operation.SHARE, Operation.COPY]

NONCE = 0x5EED


@pytest.fixture(params=[Door.CONSOLE, Door.GDB], ids=lambda door: f"by-{door.value}")
def door(request: pytest.FixtureRequest) -> Door:
    """A guest is told no frame."""
    found: Door = request.param
    return found


@pytest.mark.parametrize("operation", MECHANISMS, ids=lambda operation: operation.name.lower())
def test_an_answer_names_the_frame_that_the_target_has(
    bed: Testbed, door: Door, operation: Operation
) -> None:
    a, b = bed.guests
    answer = bed.request(operation, a, a.page(0), b.vm, b.window(0), door=door)
    assert answer.frame == b.stage2(b.window(0)).output


@pytest.mark.parametrize("operation", [Operation.RECLAIM, Operation.RELINQUISH])
def test_an_answer_to_the_end_of_a_share_names_the_frame_that_was_shared(
    bed: Testbed, door: Door, operation: Operation
) -> None:
    a, b = bed.guests
    bed.share(a, a.page(0), b, b.window(0))
    ends = {Operation.RECLAIM: (a, a.page(0)), Operation.RELINQUISH: (b, b.window(0))}
    answer = bed.request(operation, *ends[operation], door=door)
    assert answer.frame == a.stage2(a.page(0)).output


@pytest.mark.pageferry(cpus=3)
def test_a_guest_is_told_nothing_of_an_operation_but_its_status(
    bed: Testbed, gdb: Debugger, arch: str
) -> None:
    a, b = bed.guests
    with gdb.breakpoint("transfer"):
        work = a.begin(Command.HYPERCALL, Operation.COPY, a.page(0), b.vm, b.window(0))
        gdb.wait()
    gdb.breakpoint("arch_vcpu_run", condition=f"vcpu->vm->id == {a.vm}")
    gdb.cont()
    gdb.wait()
    argument = gdb.value(f"vms[{a.vm}].vcpus[0].arch.{GIVEN[arch]}")
    gdb.delete_breakpoints()
    gdb.cont()
    work.result()
    assert argument == a.page(0)


def test_an_answer_that_is_about_no_frame_names_none(bed: Testbed, door: Door) -> None:
    a, b = bed.guests
    bed.share(a, a.page(0), b, b.window(0), door)
    withdrawn = bed.request(Operation.WITHDRAW, b, b.window(1), 1, door=door)
    refused = bed.request(Operation.REMAP, a, a.page(0), b.vm, b.window(2), door=door)
    assert (withdrawn.status, withdrawn.frame) == (Status.OK, None)
    assert (refused.status, refused.frame) == (Status.SHARED, None)


@pytest.mark.parametrize("operation", [Operation.RECLAIM, Operation.RELINQUISH])
def test_an_answer_to_the_end_of_no_share_names_no_frame(
    bed: Testbed, door: Door, operation: Operation
) -> None:
    a, _ = bed.guests
    answer = bed.request(operation, a, a.page(0), door=door)
    assert (answer.status, answer.frame) == (Status.NOT_SHARED, None)


def test_a_guest_that_says_where_it_recovers_is_told_that_it_was_heard(bed: Testbed) -> None:
    a = bed.guests[0]
    status, _ = a.hypercall(Operation.RECOVER, a.agent_image.symbol("recovery"))
    assert status is Status.OK


@pytest.mark.pageferry(cpus=3)
def test_a_guest_gets_no_work_before_its_last_answer_was_told(bed: Testbed, gdb: Debugger) -> None:
    a, states, read = bed.guests[0], bed.machine.image.enum, bed.firmware.read_int
    vcpu = f"vms[{a.vm}].vcpus[0]"
    ended, none = (states("work_state")[name] for name in ("WORK_ENDED", "WORK_NONE"))
    a.begin(Command.WATCH, a.gva(a.page(0))).await_rounds(1)
    gdb.breakpoint("vcpu_ask")
    bed.machine.console.submit(f"ask {a.vm} {NONCE} {int(Command.PING)}")
    gdb.wait()  # when it comes back
    bed.firmware.write(f"{vcpu}.state", states("vcpu_state")["VCPU_WAITING"])
    bed.firmware.write(f"{vcpu}.work_state", ended)
    gdb.delete_breakpoints()
    gdb.cont()
    state = f"{vcpu}.work_state"
    told = bed.machine.await_fact(
        lambda: it if (it := read(state)) != ended else None, "the answer to be told", every=POLL
    )
    assert told == none


@pytest.mark.pageferry(cpus=1)
def test_a_guest_that_does_not_wait_gets_no_work(bed: Testbed, gdb: Debugger) -> None:
    a, states = bed.guests[0], bed.machine.image.enum("vcpu_state")
    state = f"vms[{a.vm}].vcpus[0].state"
    gdb.breakpoint("vcpu_ask")
    pending = bed.machine.console.submit(f"ask {a.vm} {NONCE} {int(Command.PING)}")
    gdb.wait()
    bed.firmware.write(state, states["VCPU_RUNNING"])  # as before it has waited for the first time
    gdb.delete_breakpoints()
    gdb.breakpoint("request_done")
    gdb.cont()
    gdb.wait()
    bed.firmware.write(state, states["VCPU_WAITING"])
    gdb.delete_breakpoints()
    gdb.cont()
    assert pending.result().status is Status.BUSY


def test_what_a_vcpu_is_to_do_is_there_when_it_is_said_to_run(
    bed: Testbed, gdb: Debugger, arch: str
) -> None:
    a, _ = bed.guests
    gdb.watchpoint(f"vms[{a.vm}].vcpus[0].state")
    work = a.begin(Command.PING)
    gdb.wait()
    given = gdb.value(f"vms[{a.vm}].vcpus[0].arch.{GIVEN[arch]}")
    gdb.delete_breakpoints()
    gdb.cont()
    work.result()
    assert given == work.nonce
