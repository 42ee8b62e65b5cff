"""What the agent reports, which everything else that a guest says rests upon."""

import pytest

from pageferry import Command, GuestFault, Testbed
from pageferry.abi import GuestMap, Operation, Outcome
from pageferry.address import PAGE_SIZE
from pageferry.guest import Guest

pytestmark = pytest.mark.pageferry(cpus=1)

NONCE = 0x5EED
VALUE = 0x1234
POINTER = 8


def ask(bed: Testbed, guest: Guest, command: int, argument: int = 0) -> Outcome:
    """Work as it is, for what `Guest.ask` would raise an error."""
    bed.request(Operation.ASK, guest, NONCE, command, argument)
    assert guest.report().nonce == NONCE
    return guest.report().outcome


def test_the_whole_window_is_posted_when_the_guests_are_ready(bed: Testbed) -> None:
    pages = GuestMap.WINDOW_SIZE // PAGE_SIZE
    posted = [bed.firmware.read_bytes(f"vms[{guest.vm}].posted") for guest in bed.guests]
    assert posted == [b"\xff" * (pages // 8)] * len(bed.guests)


def test_a_report_names_the_command_that_it_is_about(bed: Testbed) -> None:
    a = bed.guests[0]
    a.load(a.page(0))
    assert a.report().command == Command.LOAD
    a.ping()
    assert a.report().command == Command.PING


def test_a_command_that_there_is_not_is_reported_as_unknown(bed: Testbed) -> None:
    assert ask(bed, bed.guests[0], max(Command) + 1) is Outcome.UNKNOWN_COMMAND


def test_what_a_request_leaves_out_is_zero_and_not_what_the_one_before_it_said(
    bed: Testbed,
) -> None:
    a = bed.guests[0]
    a.store(a.page(0), VALUE)
    bed.machine.console.request(f"ask {a.vm} {NONCE} {int(Command.REMEMBER)}")
    assert (a.report().nonce, a.report().value) == (NONCE, 0)


def test_a_misdeed_behind_the_last_is_reported_as_unknown(bed: Testbed) -> None:
    a = bed.guests[0]
    first, end = (a.agent_image.symbol(f"forbidden_acts{it}") for it in ("", "_end"))
    misdeeds = (end - first) // POINTER
    assert ask(bed, a, Command.MISBEHAVE, misdeeds) is Outcome.UNKNOWN_COMMAND


def test_a_watch_that_read_nothing_reports_nothing_that_was_read_before(bed: Testbed) -> None:
    a = bed.guests[0]
    a.store(a.page(0), VALUE)
    assert a.load(a.page(0)) == VALUE
    with pytest.raises(GuestFault):
        a.ask(Command.WATCH, a.gva(a.window(0)))
    assert a.report().value == 0


def test_rounds_and_cost_are_those_of_the_last_work(bed: Testbed) -> None:
    a = bed.guests[0]
    a.ask(Command.COPY, a.gva(a.page(0)), a.gva(a.page(1)))
    with a.watching(a.page(0)):
        pass
    a.ping()
    assert (a.report().rounds, a.report().instructions) == (0, 0)
