"""Interrupts arrive where they are awaited, again and again, and hurt nobody."""

from contextlib import suppress

import pytest
from tests.oracle.arrivals import (
    ARRIVALS,
    HANDLERS,
    TIMERS,
    UNMASKABLE,
    Handler,
    Timer,
    Unmaskable,
)
from tests.system.code import find

from pageferry import Command, Testbed
from pageferry.abi import Status
from pageferry.debugger import Debugger
from pageferry.errors import FirmwarePanic

SECOND = 10_000_000
"""In ticks of the time of QEMU's RISC-V."""

REQUESTS = 8
"""Of which some come just when the control CPU looks without being told."""


@pytest.mark.pageferry(cpus=3)
def test_what_comes_in_by_the_console_interrupts_the_control_cpu(
    bed: Testbed, gdb: Debugger, arch: str
) -> None:
    arrival = ARRIVALS[arch]
    if arrival.ticks:
        bed.firmware.write(arrival.ticks, 0)
    for place in arrival.places:
        ends = find(bed.machine, arrival.end, place) if arrival.end else {}
        for address, instruction in ends.items():
            gdb.breakpoint(f"*{address:#x}", arrival.condition.format(register=instruction & 31))
        if not arrival.end:
            gdb.breakpoint(place, arrival.condition)
    gdb.breakpoint("request_done")
    came, served = [], set()
    for _ in range(REQUESTS):
        work = bed.guests[0].begin(Command.PING)
        while (stop := gdb.wait()).frame.function != "request_done":
            came.append(stop.thread)
            gdb.cont()
        served.add(stop.thread)
        gdb.cont()
        work.result()
    assert len(came) > 1
    assert set(came) == served


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("interrupt", UNMASKABLE, ids=["by-monitor"])
def test_an_interrupt_that_cannot_be_closed_ends_no_guest_and_no_machine(
    bed: Testbed, gdb: Debugger, interrupt: Unmaskable
) -> None:
    a = bed.guests[0]
    watch = a.begin(Command.WATCH, a.gva(a.page(0)))
    watch.await_rounds(1)
    arrived = gdb.breakpoint(interrupt.place).number
    gdb.breakpoint("request_done")
    bed.machine.monitor.execute(interrupt.command)
    a.stop_watch()
    assert gdb.wait().breakpoint == arrived
    gdb.cont()
    done: str | None = None
    with suppress(FirmwarePanic):
        done = gdb.wait().frame.function
    assert done == "request_done"
    gdb.cont()
    assert watch.pending.result().status is Status.OK


@pytest.mark.pageferry(cpus=1)
@pytest.mark.parametrize("timer", TIMERS, ids=["below-zero"])
def test_the_tick_goes_on_though_time_comes_to_zero_as_it_is_set(
    bed: Testbed, gdb: Debugger, timer: Timer
) -> None:
    bed.guests[0].ping()
    gdb.interrupt()
    set_time(gdb, timer, -SECOND)
    for place in find(bed.machine, timer.sets, timer.handler):
        gdb.breakpoint(f"*{place:#x}", timer.condition)
    gdb.cont()
    gdb.wait()
    set_time(gdb, timer, 0)
    gdb.delete_breakpoints()
    for _ in range(2):
        assert gdb.run_to(timer.handler).frame.function == timer.handler


def set_time(gdb: Debugger, timer: Timer, ticks: int) -> None:
    """By QEMU's own packet: it lets other writes of a debugger's change RAM alone."""
    gdb.command("maintenance packet Qqemu.PhyMemMode:1")
    gdb.evaluate(f"*(long *){timer.time:#x} = {ticks}")
    gdb.command("maintenance packet Qqemu.PhyMemMode:0")


@pytest.mark.pageferry(cpus=3)
@pytest.mark.parametrize("handler", HANDLERS, ids=lambda it: it.name)
def test_a_fault_of_the_hypervisor_itself_is_led_to_its_handler(
    bed: Testbed, gdb: Debugger, handler: Handler
) -> None:
    a = bed.guests[0]
    gdb.breakpoint("stage2_find")
    a.begin(Command.LOAD, a.gva(a.window(0)))
    gdb.wait()
    assert gdb.value(handler.register) == bed.machine.image.symbol(handler.name)
