"""Requests on the console that come a second time, have the number of another or are damaged."""

import re

import pytest
from tests.system.test_console import REMEMBERED, SEQUENCE

from pageferry import Command, Testbed
from pageferry.guest import POLL, Guest
from pageferry.wire.console import protect

pytestmark = pytest.mark.pageferry(cpus=1)

NONCE = 0x5EED

SUM = re.compile(r" \*[a-p]{8}$")
"""What stands at the end of an answer to a request with a checksum."""


def withdraw(bed: Testbed, sequence: int) -> str:
    """A request that can be done any number of times."""
    return f"{sequence} withdraw 2 {bed.guests[1].window(0):#x} 1"


def copy(bed: Testbed, number: int) -> str:
    """One that cannot."""
    a, b = bed.guests
    return f"{SEQUENCE} copy 1 {a.page(number):#x} 2 {b.window(number):#x}"


def answered(bed: Testbed, line: str) -> str:
    """With what, the number left out."""
    bed.machine.console.send_line(line)
    number = line.lstrip("*").split()[0]
    return bed.machine.console.expect(rf"< {number} ([^\n]*)\n")[1]


@pytest.mark.parametrize("bit", [0, 4])
def test_a_request_with_a_bit_of_any_byte_changed_is_not_done(bed: Testbed, bit: int) -> None:
    a, b = bed.guests
    line = protect(f"{SEQUENCE} remap 1 {a.page(0):#x} 2 {b.window(0):#x}")
    taken = []
    for at, byte in enumerate(line):
        damaged = f"{line[:at]}{chr(ord(byte) ^ 1 << bit)}{line[at + 1 :]}"
        bed.machine.console.send_line(damaged)
        if bed.machine.console.expect(rf"< (0|{SEQUENCE}) ")[1] != "0":
            taken.append(damaged)
    assert taken == []


def test_a_request_is_answered_with_a_checksum_once_it_has_come_with_one(bed: Testbed) -> None:
    line = copy(bed, 0)
    first = answered(bed, line)
    again = answered(bed, protect(line))
    assert SUM.search(again)
    assert SUM.sub("", again) == first


def test_a_request_that_comes_with_a_checksum_meanwhile_is_answered_with_one(
    bed: Testbed,
) -> None:
    a, console = bed.guests[0], bed.machine.console
    line = f"{SEQUENCE} ask {a.vm} {NONCE} {int(Command.WATCH)} {a.gva(a.page(0)):#x}"
    console.send_line(line)
    console.send_line(protect(line))
    answered(bed, withdraw(bed, 2 * SEQUENCE))  # and looked at what was before it
    stop(a)
    assert SUM.search(console.expect(rf"< {SEQUENCE} ([^\n]*)\n")[1])


def test_a_request_that_comes_again_after_another_of_its_number_has_its_own_answer(
    bed: Testbed,
) -> None:
    line, other = (protect(copy(bed, number)) for number in range(2))
    first = answered(bed, line)
    assert answered(bed, other) != first
    assert answered(bed, line) == first


def test_a_request_is_known_again_after_as_many_as_are_remembered_beside_it(bed: Testbed) -> None:
    line = protect(copy(bed, 0))
    first = answered(bed, line)
    for number in range(1, REMEMBERED):
        answered(bed, protect(withdraw(bed, SEQUENCE + number)))
    assert answered(bed, line) == first


def test_a_request_that_a_guest_is_at_work_at_is_remembered_until_it_is_answered(
    bed: Testbed,
) -> None:
    a, console = bed.guests[0], bed.machine.console
    console.send_line(f"{SEQUENCE} ask {a.vm} {NONCE} {int(Command.WATCH)} {a.gva(a.page(0)):#x}")
    for number in range(1, REMEMBERED + 1):
        answered(bed, withdraw(bed, SEQUENCE + number))
    stop(a)
    state, none = f"vms[{a.vm}].vcpus[0].work_state", bed.machine.image.enum("work_state")
    bed.machine.await_fact(
        lambda: bed.firmware.read_int(state) == none["WORK_NONE"] or None, "its end", every=POLL
    )
    answered(bed, withdraw(bed, 2 * SEQUENCE))  # and all before it
    assert f"< {SEQUENCE} ok the guest came back" in console.lines


def test_what_a_person_has_typed_makes_no_request_too_old(bed: Testbed) -> None:
    answered(bed, withdraw(bed, 2 * SEQUENCE))
    for number in range(REMEMBERED + 1):
        answered(bed, withdraw(bed, number))
    assert answered(bed, protect(withdraw(bed, SEQUENCE))).startswith("ok ")


def test_what_a_person_types_is_never_too_old(bed: Testbed) -> None:
    for number in range(REMEMBERED + 1):
        answered(bed, protect(withdraw(bed, SEQUENCE + number)))
    assert answered(bed, withdraw(bed, 1)) == "ok"


def stop(guest: Guest) -> None:
    """The watch that it was asked for as NONCE, once it has begun."""
    read = guest.agent.read_int
    guest.machine.await_fact(
        lambda: read("reports[0].begun") == NONCE or None, "the watch to begin", every=POLL
    )
    guest.agent.write("reports[0].stop", NONCE)
