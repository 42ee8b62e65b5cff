"""A turn of another guest, and the hypervisor's own work, leave every register as it was."""

from collections.abc import Iterable

import pytest
from tests.oracle.registers import (
    BITS,
    CALLED,
    FLOATING,
    GENERAL,
    INTERRUPTED,
    SYSTEM,
    Interrupted,
)

from pageferry import Command, Testbed
from pageferry.debugger import Debugger
from pageferry.guest import POLL

MARK = 330_000
"""Even numbers from here on: no register holds one of them by chance."""

pytestmark = pytest.mark.pageferry(cpus=1)


def marks(names: list[str]) -> dict[str, int]:
    return {name: MARK + 2 * number for number, name in enumerate(names)}


def put(gdb: Debugger, values: dict[str, int]) -> None:
    for name, value in values.items():
        gdb.evaluate(f"${name} = {value:#x}ul")


def found(gdb: Debugger, values: dict[str, int]) -> dict[str, int]:
    return {name: gdb.value(f"${name}") for name in values}


def test_a_guest_finds_its_registers_as_it_left_them_and_no_other_guest_finds_them(
    bed: Testbed, gdb: Debugger, arch: str
) -> None:
    a, b = bed.guests
    saved = bed.machine.arch.program_counter.format(vm=b.vm, vcpu=b.index)
    b.begin(Command.WATCH, b.gva(b.page(0))).await_rounds(1)
    exits = b.exits
    bed.machine.await_fact(lambda: b.exits > exits + 1 or None, "a turn of b's", every=POLL)
    watching = bed.firmware.read_int(saved)
    rests = a.agent_image.symbol("rest_for_ever")
    gdb.breakpoint(f"*{a.agent_image.symbol('rest'):#x}")
    a.begin(Command.REST)
    gdb.wait()
    left = marks([*GENERAL[arch], *FLOATING[arch], *SYSTEM[arch]])
    put(gdb, left | {"pc": rests})
    for name, bit in BITS[arch].items():
        gdb.evaluate(f"${name} |= {bit:#x}")
    for at, has, bits in ((watching, {}, {}), (rests, left, BITS[arch])):
        gdb.delete_breakpoints()
        gdb.breakpoint(f"*{at:#x}")
        gdb.cont()
        gdb.wait()
        marked = {name: it for name, it in found(gdb, left).items() if it in left.values()}
        assert marked == has
        assert {it: bit for it, bit in BITS[arch].items() if gdb.value(f"${it} & {bit}")} == bits


def changed_until(gdb: Debugger, place: int, names: Iterable[str]) -> dict[str, int]:
    """Which of these registers are not as they were now, when it has come to a place."""
    left = marks([*names])
    put(gdb, left)
    gdb.delete_breakpoints()
    gdb.breakpoint(f"*{place:#x}")
    gdb.cont()
    gdb.wait()
    return {name: it for name, it in found(gdb, left).items() if it != left[name]}


def test_the_hypervisor_finds_its_registers_as_it_left_them_to_run_a_guest(
    bed: Testbed, gdb: Debugger, arch: str
) -> None:
    function, returns, kept = CALLED[arch]
    gdb.breakpoint(f"*{function}")  # its first instruction
    bed.guests[0].begin(Command.PING)
    gdb.wait()
    assert changed_until(gdb, gdb.value(returns), kept) == {}


@pytest.mark.parametrize("interrupted", INTERRUPTED, ids=["by-tick"])
def test_an_interrupt_of_the_hypervisor_leaves_its_registers_as_they_were(
    bed: Testbed, gdb: Debugger, arch: str, interrupted: Interrupted
) -> None:
    gdb.breakpoint(f"*({interrupted.begins})")
    for guest in bed.guests:
        guest.begin(Command.WATCH, guest.gva(guest.page(0)))
    gdb.wait()
    assert changed_until(gdb, gdb.value(interrupted.returns), GENERAL[arch]) == {}
