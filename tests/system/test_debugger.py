"""gdb as a test uses it: break, run, look, and be told when something ends."""

import pytest

from pageferry import Command, Testbed
from pageferry.abi import Status
from pageferry.address import HPA, PAGE_SIZE
from pageferry.debugger import Debugger, Stop
from pageferry.errors import (
    DebuggerError,
    MemoryUnreadable,
    WaitTimeout,
)

BRIEF = 0.1
OFTEN = 5
POLL = 0.001
AT_ONCE = 10.0


def submit_remap(bed: Testbed) -> None:
    a, b = bed.guests
    bed.machine.console.submit(f"remap 1 {a.page(0):#x} 2 {b.window(0):#x}")


def stop_in_transfer(bed: Testbed, gdb: Debugger) -> Stop:
    gdb.breakpoint("transfer")
    submit_remap(bed)
    return gdb.wait()


def breakpoints(gdb: Debugger) -> list[dict[str, str]]:
    """What gdb lists of each."""
    listed = gdb.execute_standing("-break-list")["BreakpointTable"]["body"]
    return [it.get("bkpt", it) for it in listed]


# Running and stopping


def test_a_machine_that_ran_runs_on_when_gdb_has_connected(bed: Testbed) -> None:
    assert bed.machine.debugger().running
    bed.guests[0].ping()


def test_a_machine_has_one_debugger(bed: Testbed) -> None:
    assert bed.machine.debugger() is bed.machine.debugger()


def test_an_interrupted_machine_stands_until_it_goes_on(bed: Testbed, gdb: Debugger) -> None:
    assert gdb.interrupt().signal == "SIGINT"
    pending = bed.machine.console.submit("ask 1 1 0")
    with pytest.raises(WaitTimeout, match="for the machine was stopped; `cont` lets it run"):
        pending.result(BRIEF)
    gdb.cont()
    pending.result()


@pytest.mark.pageferry(cpus=1)
def test_a_machine_that_always_comes_to_a_breakpoint_can_be_interrupted(
    bed: Testbed, gdb: Debugger
) -> None:
    a = bed.guests[0]
    saved = bed.machine.arch.program_counter.format(vm=a.vm, vcpu=a.index)
    a.begin(Command.WATCH, a.gva(a.page(0))).await_rounds(1)
    exits = a.exits
    bed.machine.await_fact(lambda: a.exits > exits + 1 or None, "a turn of a's", every=POLL)
    gdb.breakpoint(f"*{bed.firmware.read_int(saved):#x}", "0")
    for _ in range(OFTEN):
        assert gdb.interrupt().signal == "SIGINT"
        gdb.cont()


def test_stopping_and_going_on_by_the_machine_is_the_same(bed: Testbed, gdb: Debugger) -> None:
    bed.machine.stop()
    assert gdb.stop is not None
    bed.machine.cont()
    assert gdb.running
    bed.guests[0].ping()


def test_a_wait_for_a_stop_that_does_not_come_ends_in_time(bed: Testbed, gdb: Debugger) -> None:
    with pytest.raises(WaitTimeout, match="waiting for the machine to stop in gdb"):
        gdb.wait(BRIEF)
    assert gdb.running


def test_a_place_that_is_not_reached_leaves_no_breakpoint(bed: Testbed, gdb: Debugger) -> None:
    with pytest.raises(WaitTimeout, match="waiting for the machine to reach transfer"):
        gdb.run_to("transfer", timeout=BRIEF)
    a, b = bed.guests
    bed.remap(a, a.page(0), b, b.window(0))


def test_another_stop_on_the_way_leaves_no_breakpoint(bed: Testbed, standing: Debugger) -> None:
    a, b = bed.guests
    gdb = standing
    with gdb.watchpoint("slots[0].request.operation"):
        pending = bed.machine.console.submit(f"remap 1 {a.page(0):#x} 2 {b.window(0):#x}")
        assert gdb.run_to("transfer").reason == "watchpoint-trigger"
    gdb.cont()
    assert pending.result().status == 0


def test_a_breakpoint_that_stands_there_too_is_hit_with_it(
    bed: Testbed, standing: Debugger
) -> None:
    a, b = bed.guests
    gdb = standing
    with gdb.breakpoint("transfer") as other:
        pending = bed.machine.console.submit(f"remap 1 {a.page(0):#x} 2 {b.window(0):#x}")
        assert gdb.run_to("transfer").breakpoint == other.number
    gdb.cont()
    assert pending.result().status == 0


def test_a_place_that_is_not_reached_takes_no_breakpoint_set_meanwhile_away(
    bed: Testbed, standing: Debugger, monkeypatch: pytest.MonkeyPatch
) -> None:
    gdb = standing
    users: list[int] = []

    def wait(*_: object) -> Stop:
        patch.undo()
        users.append(gdb.breakpoint("transfer").number)
        raise WaitTimeout("the machine", BRIEF)

    start = bed.machine.arch.ram_base
    data = gdb.memory.read(start, 8)
    with monkeypatch.context() as patch, pytest.raises(WaitTimeout, match="to reach panic_at"):
        patch.setattr(gdb, "wait", wait)
        gdb.write_and_run_to(start, data, "panic_at", "1", BRIEF)
    assert [int(it["number"]) for it in breakpoints(gdb)] == users


def test_closed_it_leaves_a_machine_that_runs_without_breakpoints(bed: Testbed) -> None:
    with bed.machine.debugger() as gdb:
        gdb.breakpoint("transfer")
    a, b = bed.guests
    bed.remap(a, a.page(0), b, b.window(0))
    assert bed.machine.debugger() is not gdb


# Breakpoints


def test_a_breakpoint_stops_where_it_says(bed: Testbed, gdb: Debugger) -> None:
    stop = stop_in_transfer(bed, gdb)
    assert (stop.reason, stop.frame.function) == ("breakpoint-hit", "transfer")
    assert stop.frame.line == bed.machine.image.line_of(stop.frame.address)


def test_the_calls_that_led_there_are_listed(bed: Testbed, gdb: Debugger) -> None:
    stop_in_transfer(bed, gdb)
    functions = [frame.function for frame in gdb.frames()]
    assert functions[0] == "transfer"
    assert "requests_poll" in functions


def test_arguments_can_be_evaluated_at_a_breakpoint(bed: Testbed, gdb: Debugger) -> None:
    stop_in_transfer(bed, gdb)
    assert gdb.value("source->id") == 1
    assert gdb.evaluate("(enum operation)operation") == "OP_REMAP"


def test_a_condition_passes_over_what_it_does_not_want(bed: Testbed, gdb: Debugger) -> None:
    a, b = bed.guests
    gdb.breakpoint("transfer", "operation == OP_SHARE")
    bed.remap(a, a.page(0), b, b.window(0))
    bed.machine.console.submit(f"share 1 {a.page(1):#x} 2 {b.window(1):#x}")
    gdb.wait()
    assert gdb.value("operation") == bed.machine.image.enum("operation")["OP_SHARE"]


def test_after_a_breakpoint_the_request_goes_on(bed: Testbed, gdb: Debugger) -> None:
    a, b = bed.guests
    gdb.breakpoint("transfer")
    pending = bed.machine.console.submit(f"remap 1 {a.page(0):#x} 2 {b.window(0):#x}")
    gdb.wait()
    gdb.cont()
    assert pending.result().status == 0


def test_a_breakpoint_ends_with_its_block(bed: Testbed, gdb: Debugger) -> None:
    a, b = bed.guests
    with gdb.breakpoint("transfer"):
        pass
    bed.remap(a, a.page(0), b, b.window(0))


def test_a_breakpoint_nowhere_is_refused_in_gdb_s_words(standing: Debugger) -> None:
    with pytest.raises(DebuggerError, match="no_such_function"):
        standing.breakpoint("no_such_function")


def test_a_machine_that_runs_goes_on_when_a_breakpoint_is_refused(
    bed: Testbed, gdb: Debugger
) -> None:
    with pytest.raises(DebuggerError, match="no_such_function"):
        gdb.breakpoint("no_such_function")
    assert gdb.running
    bed.guests[0].ping()


def test_a_watchpoint_tells_the_old_value_and_the_new(bed: Testbed, gdb: Debugger) -> None:
    gdb.watchpoint("slots[DOOR_CONSOLE].state")
    submit_remap(bed)
    stop = gdb.wait()
    assert stop.reason == "watchpoint-trigger"
    assert (stop.old, stop.new) == ("SLOT_FREE", "SLOT_SUBMITTED")


def test_a_watchpoint_for_reading_stops_a_reader(bed: Testbed, gdb: Debugger) -> None:
    gdb.watchpoint("slots[DOOR_CONSOLE].request.operation", "read")
    submit_remap(bed)
    assert gdb.wait().reason == "read-watchpoint-trigger"


# Steps


def test_a_step_goes_one_line_on(bed: Testbed, gdb: Debugger) -> None:
    first = stop_in_transfer(bed, gdb)
    second = gdb.next()
    assert second.reason == "end-stepping-range"
    assert second.frame.line != first.frame.line


def test_an_instruction_s_step_moves_the_program_counter_a_little(
    bed: Testbed, gdb: Debugger
) -> None:
    first = stop_in_transfer(bed, gdb)
    assert 0 < gdb.step_instruction().frame.address - first.frame.address < 16


def test_a_function_can_be_finished(bed: Testbed, gdb: Debugger) -> None:
    stop_in_transfer(bed, gdb)
    stop = gdb.finish()
    assert (stop.reason, stop.frame.function) != ("function-finished", "transfer")


# Values


def test_a_value_is_told_while_the_machine_goes_on(bed: Testbed, standing: Debugger) -> None:
    assert standing.evaluate_and_cont("6 * 7") == "42"
    assert standing.running
    bed.guests[0].ping()


def test_a_value_at_a_breakpoint_that_remains_is_of_there(bed: Testbed, gdb: Debugger) -> None:
    gdb.breakpoint("transfer")
    pendings = []
    for vm in (1, 2):
        pendings.append(bed.machine.console.submit(f"remap {vm} 1 {3 - vm} 0"))
        gdb.wait()
        assert gdb.evaluate_and_cont("source->id") == str(vm)
    assert [pending.result().status for pending in pendings] == [Status.MISALIGNED] * 2


def test_a_value_that_is_refused_keeps_no_machine_from_going_on(
    bed: Testbed, standing: Debugger
) -> None:
    with pytest.raises(DebuggerError, match="no_such_symbol"):
        standing.evaluate_and_cont("no_such_symbol")
    assert standing.running
    bed.guests[0].ping()


def test_gdb_writes_what_it_says_in_pieces_longer_than_a_character(gdb: Debugger) -> None:
    stdout = "ctypes.c_void_p.in_dll(pageferry_c, 'stdout')"
    size = gdb.command(f"python print(getattr(pageferry_c, '__fbufsize')({stdout}))")
    assert int(size) > 1


def test_a_register_is_where_the_stop_says(standing: Debugger) -> None:
    stop = standing.stop
    assert stop is not None
    assert standing.value("$pc") == stop.frame.address
    assert stop.frame.address in standing.registers().values()


def test_a_register_can_be_changed(bed: Testbed, standing: Debugger) -> None:
    name = bed.machine.arch.spare_register
    standing.set_register(name, 0x1234)
    assert standing.register(name) == 0x1234


def test_a_register_that_is_none_is_named(standing: Debugger) -> None:
    with pytest.raises(DebuggerError, match="gdb has no register nonsense; it has "):
        standing.register("nonsense")


def test_a_symbol_is_where_the_image_has_it(bed: Testbed, standing: Debugger) -> None:
    for name in ("request_done", "slots"):
        assert standing.symbol(name) == bed.machine.image.symbol(name)


def test_an_address_has_the_line_that_the_image_says(bed: Testbed, standing: Debugger) -> None:
    address = bed.machine.image.symbol("request_done")
    assert standing.line_of(address) == bed.machine.image.line_of(address)


@pytest.mark.pageferry(cpus=3)
def test_every_cpu_is_a_thread_with_its_own_registers(bed: Testbed, standing: Debugger) -> None:
    assert sorted(standing.cpus.values()) == [0, 1, 2]
    stacks = {standing.value("$sp", cpu) for cpu in range(3)}
    assert len(stacks) == 3


def test_a_cpu_that_does_not_exist_is_named(standing: Debugger) -> None:
    with pytest.raises(DebuggerError, match="there is no CPU 7; there are "):
        standing.registers(cpu=7)


# Memory


def test_gdb_reads_the_same_physical_memory(bed: Testbed, standing: Debugger) -> None:
    a = bed.guests[0]
    a_frame = a.stage2(a.page(0)).output
    assert a_frame is not None
    bed.machine.memory.write(a_frame, bytes(range(256)) * 16)
    assert standing.memory.read(a_frame, PAGE_SIZE) == bytes(range(256)) * 16


def test_gdb_writes_the_same_physical_memory(bed: Testbed, standing: Debugger) -> None:
    last = HPA(bed.machine.arch.ram_base + bed.machine.ram - 8)
    standing.memory.write(last, b"by gdb!!")
    assert bed.machine.memory.read(last, 8) == b"by gdb!!"


def test_large_reads_come_in_one_piece(bed: Testbed, standing: Debugger) -> None:
    start, size = HPA(bed.machine.arch.ram_base + (2 << 20) + 1), (1 << 17) + 3
    assert standing.memory.read(start, size) == bed.machine.memory.read(start, size)


def test_what_is_no_ram_is_not_read_as_zeros(bed: Testbed, standing: Debugger) -> None:
    end = HPA(bed.machine.arch.ram_base + bed.machine.ram)
    with pytest.raises(MemoryUnreadable, match="memory is"):
        standing.memory.read(HPA(end - 4), 8)


def test_gdb_reads_no_memory_of_a_machine_that_runs(bed: Testbed, gdb: Debugger) -> None:
    with pytest.raises(MemoryUnreadable, match="while the machine runs"):
        gdb.memory.read(bed.machine.arch.ram_base, 8)


def test_other_commands_keep_the_cpu_s_own_view_of_memory(bed: Testbed, standing: Debugger) -> None:
    standing.memory.read(bed.machine.arch.ram_base, 8)
    with pytest.raises(DebuggerError, match="Unable to read memory"):
        standing.execute(f"-data-read-memory-bytes {1 << 46} 8")


def test_a_refused_read_of_physical_memory_leaves_the_cpu_s_own_view(standing: Debugger) -> None:
    with pytest.raises(DebuggerError):
        standing._execute_physical("-data-read-memory-bytes nowhere 8")
    with pytest.raises(DebuggerError, match="Unable to read memory"):
        standing.execute(f"-data-read-memory-bytes {1 << 46} 8")


def test_what_the_machine_answers_to_gdb_is_returned(standing: Debugger) -> None:
    assert "VM status: paused" in standing.command("monitor info status")


# Restoring


def test_told_to_forget_gdb_asks_the_machine_again(bed: Testbed, standing: Debugger) -> None:
    name = bed.machine.arch.spare_register
    standing.set_register(name, 0x1234)
    bed.machine.monitor.human("loadvm ready")
    assert standing.register(name) == 0x1234, "gdb is told now, and this test is in vain"
    standing.forget()
    assert standing.register(name) != 0x1234


def test_a_restored_machine_has_no_breakpoint(bed: Testbed, gdb: Debugger) -> None:
    stop_in_transfer(bed, gdb)
    bed.restore()
    a, b = bed.guests
    bed.remap(a, a.page(0), b, b.window(0))


def test_gdb_sees_what_was_restored_and_not_what_it_remembers(
    bed: Testbed, standing: Debugger
) -> None:
    name = bed.machine.arch.spare_register
    standing.set_register(name, 0x1234)
    standing.execute('-data-evaluate-expression "vms[1].id = 99"')
    bed.restore()
    standing.interrupt()
    assert standing.value("vms[1].id") == 1
    assert standing.register(name) != 0x1234
