"""What is stored is there for who does not look into the same cache: an emulator has none."""

from pathlib import Path

import pytest
from tests.oracle.caches import CLEANS, EMPTIES, FETCHES, RESERVATIONS, Clean, Fetch
from tests.oracle.ordering import ASKS, Asks, word
from tests.oracle.registers import CALLED
from tests.system.code import find

from pageferry import Command, Machine, Testbed
from pageferry import arch as architectures
from pageferry.address import HPA, PAGE_SIZE
from pageferry.settings import Settings

FUNCTION = 1024
"""Bytes of the longest one that is searched."""

INSTRUCTION = 4
"""Its bytes where all are of one length."""


@pytest.mark.parametrize("fetch", FETCHES, ids=lambda fetch: fetch.function)
def test_a_guest_s_program_is_fetched_after_it_was_stored(
    arch: str, kernel: Path, fetch: Fetch
) -> None:
    comes_before_the_first_guest(arch, kernel, fetch)


@pytest.mark.parametrize("empties", EMPTIES, ids=["program", "translations"])
def test_what_a_cpu_held_before_the_hypervisor_is_gone(
    arch: str, kernel: Path, empties: Fetch
) -> None:
    comes_before_the_first_guest(arch, kernel, empties)


@pytest.mark.parametrize("end", RESERVATIONS, ids=["by-store"])
def test_a_reservation_is_not_there_in_the_next_guest(arch: str, kernel: Path, end: Fetch) -> None:
    comes_before_the_first_guest(arch, kernel, end)


def comes_before_the_first_guest(arch: str, kernel: Path, fetch: Fetch) -> None:
    """The instruction, and then what completes it."""
    with Machine(architectures.get(arch), kernel) as machine:
        gdb = machine.debugger()
        for instruction in filter(None, (fetch.instruction, fetch.completes)):
            places = find(machine, instruction, fetch.function)
            assert places
            gdb.delete_breakpoints()
            for place in (*places, machine.image.symbol(CALLED[arch][0])):
                gdb.breakpoint(f"*{place:#x}")
            gdb.cont()
            assert gdb.wait().frame.address in places


@pytest.mark.parametrize("clean", CLEANS, ids=["by-line"])
def test_a_page_is_cleaned_before_a_guest_gets_it_that_may_go_around_the_caches(
    arch: str, pageferry_settings: Settings, clean: Clean
) -> None:
    firmware = pageferry_settings.firmware
    with Testbed.start(arch, firmware=firmware, extra_args=clean.arguments) as bed:
        a, b = bed.guests
        frame = a.stage2(a.page(3)).output
        gdb = bed.machine.debugger()
        gdb.breakpoint(clean.function)
        gdb.breakpoint("request_done")
        pending = bed.machine.console.submit(f"remap 1 {a.page(3):#x} 2 {b.window(4):#x}")
        assert gdb.wait().frame.function == clean.function
        assert (gdb.value(clean.start), gdb.value(clean.size)) == (frame, PAGE_SIZE)
        lines = find(bed.machine, clean.line, clean.function)
        for place in lines:
            gdb.breakpoint(f"*{place:#x}")
        gdb.cont()
        place = gdb.wait().frame.address
        assert place in lines
        assert clean.line.operands(gdb, lines[place])[0] == frame
        gdb.delete_breakpoints()
        for place in find(bed.machine, clean.completes, clean.function):
            gdb.breakpoint(f"*{place:#x}")
        gdb.breakpoint("request_done")
        gdb.cont()
        gdb.wait()
        assert clean.function in [it.function for it in gdb.frames()]
        gdb.delete_breakpoints()
        gdb.cont()
        assert pending.result().status == 0


@pytest.mark.parametrize("asks", ASKS, ids=["by-address"])
def test_the_result_of_a_translation_is_read_when_it_is_there(
    arch: str, pageferry_settings: Settings, asks: Asks
) -> None:
    with Testbed.start(arch, firmware=pageferry_settings.firmware) as bed:
        a, b = bed.guests
        bed.share(a, a.page(0), b, b.window(0))
        places = find(bed.machine, asks.asks, "arch_vcpu_run", FUNCTION)
        assert places
        gdb = bed.machine.debugger()
        for place in places:
            gdb.breakpoint(f"*{place:#x}")
        a.begin(Command.STORE, a.gva(a.page(0)))
        after = gdb.wait().frame.address + INSTRUCTION
        assert word(bed.machine.memory.read(HPA(after), INSTRUCTION)) == asks.settles
