"""The console answers every line, also the ones a person mistypes."""

import pytest

from pageferry import Testbed
from pageferry.abi import Status
from pageferry.wire.console import LONGEST_REQUEST, protect

pytestmark = pytest.mark.pageferry(cpus=1)

SEQUENCE = 900_000
"""Of requests that are not the harness's: greater than any of those."""

REMEMBERED = 64
"""Requests that the hypervisor knows again."""


@pytest.mark.parametrize(
    ("line", "status", "hint"),
    [
        ("frobnicate 1 2", Status.UNKNOWN_OPERATION, "frobnicate"),
        ("remaps 1 4096 2 0x1000", Status.UNKNOWN_OPERATION, "remaps"),
        ("rema 1 4096 2 0x1000", Status.UNKNOWN_OPERATION, "rema"),
        ("remap", Status.BAD_REQUEST, "SOURCE GPA TARGET GPA"),
        ("remap 1 4096 2", Status.BAD_REQUEST, "SOURCE GPA TARGET GPA"),
        ("remap 1 4096 2 0x1000 5", Status.BAD_REQUEST, "SOURCE GPA TARGET GPA"),
        ("remap 1 sixty 2 0x1000", Status.BAD_REQUEST, "sixty"),
        ("remap 1 0x 2 0x1000", Status.BAD_REQUEST, "0x"),
        (f"remap 1 {1 << 64:#x} 2 0", Status.BAD_REQUEST, f"{1 << 64:#x}"),
        ("remap 1 18446744073709551616 2 0", Status.BAD_REQUEST, "18446744073709551616"),
        ("remap 1 -1 2 0", Status.BAD_REQUEST, "-1"),
        ("remap 1 1a 2 0", Status.BAD_REQUEST, "1a"),
        ("remap 1 0x6100?000 2 0", Status.BAD_REQUEST, "0x6100?000"),
        ("remap 1 0xABC 2 0", Status.BAD_REQUEST, "0xABC"),
        ("remap 7 4096 2 0x1000", Status.UNKNOWN_VM, "1 and up"),
        ("reclaim 4294967297 0x1000", Status.UNKNOWN_VM, "1 and up"),
        ("ask 1 1 2 3 4 5 6 7", Status.BAD_REQUEST, "too many words"),
        ("ask 1 1", Status.BAD_REQUEST, "VM[.VCPU] NONCE COMMAND"),
        ("ask 3 1 0", Status.UNKNOWN_VM, ""),
        ("ask 3.0 1 0", Status.UNKNOWN_VM, ""),
        ("ask 1.1 1 0", Status.UNKNOWN_VCPU, "0 and up"),
        (f"ask 1.{(1 << 64) - 1} 1 0", Status.UNKNOWN_VCPU, ""),
        ("ask 1. 1 0", Status.BAD_REQUEST, "1."),
        ("ask .0 1 0", Status.BAD_REQUEST, ".0"),
        ("ask 1.0.0 1 0", Status.BAD_REQUEST, "1.0.0"),
        ("remap 1.0 4096 2 0x1000", Status.BAD_REQUEST, "1.0"),
        ("reclaim 1", Status.BAD_REQUEST, "OWNER GPA"),
        ("", Status.BAD_REQUEST, "help"),
    ],
)
def test_a_bad_line_is_refused_with_what_would_be_right(
    bed: Testbed, line: str, status: Status, hint: str
) -> None:
    reply = bed.machine.console.request(line)
    assert reply.status is status
    assert hint in reply.text


def test_help_names_every_operation(bed: Testbed) -> None:
    bed.machine.console.request("help")
    shown = "\n".join(bed.machine.console.lines)
    for word in ("remap", "share", "copy", "reclaim", "relinquish", "post", "withdraw", "ask"):
        assert f"SEQUENCE {word} " in shown


@pytest.mark.parametrize("line", ["hello", "remap 1 2 3 4", "-5 remap", "x" * 500, "\x00\x01\x02"])
def test_a_line_without_a_sequence_number_is_refused_and_the_next_one_answered(
    bed: Testbed, line: str
) -> None:
    bed.machine.console.send_line(line)
    bed.machine.console.expect(r"< 0 bad-request .*\n")
    bed.guests[0].ping()


def test_the_longest_request_is_answered_and_a_longer_line_is_not(bed: Testbed) -> None:
    console = bed.machine.console
    console.send_line(f"900000 remap {'x' * LONGEST_REQUEST}"[:LONGEST_REQUEST])
    console.expect(r"< 900000 bad-request .*\n")
    console.send_line(f"900001 remap {'x' * LONGEST_REQUEST}"[: LONGEST_REQUEST + 1])
    console.expect(r"< 0 bad-request the line is too long\n")


def test_a_line_of_which_nobody_knows_whether_it_had_a_checksum_is_answered_without(
    bed: Testbed,
) -> None:
    console = bed.machine.console
    console.send_line(protect(f"{SEQUENCE} frobnicate"))
    console.send_line(protect(f"{SEQUENCE} {'x' * LONGEST_REQUEST}"))
    assert console.expect(r"(\*?)< 0 bad-request the line is too long")[1] == ""


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_request_cannot_bring_another_one(bed: Testbed, end: str) -> None:
    a, b = bed.guests
    with pytest.raises(ValueError, match="control character"):
        bed.machine.console.request(f"help{end}99999 remap 1 {a.page(0):#x} 2 {b.window(0):#x}")
    bed.guests[0].ping()
    assert a.stage2(a.page(0)).mapped


def test_a_person_may_type_the_prompt_spaces_tabs_and_hexadecimal(bed: Testbed) -> None:
    a, b = bed.guests
    line = f">   900000  remap\t1   {int(a.page(0))} 2 {b.window(0):#x} \r\n"
    bed.machine.console.send(line)
    assert bed.machine.console.expect(r"< 900000 (\S+) ")[1] == "ok"


def test_many_requests_may_be_on_their_way_at_once(bed: Testbed) -> None:
    a, b = bed.guests
    pending = [
        bed.machine.console.submit(f"remap 1 {a.page(n):#x} 2 {b.window(n):#x}") for n in range(50)
    ]
    assert {each.result().status for each in pending} == {Status.OK}


def test_a_request_that_comes_again_is_answered_again_and_not_done_again(bed: Testbed) -> None:
    a, b = bed.guests
    line = protect(f"{SEQUENCE} remap 1 {a.page(0):#x} 2 {b.window(0):#x}")
    for _ in range(2):
        bed.machine.console.send_line(line)
        answer = bed.machine.console.expect(rf"< {SEQUENCE} (.*) \*")
        assert answer[1].startswith("ok frame=0x")


def test_another_request_of_the_same_number_is_done(bed: Testbed) -> None:
    a, b = bed.guests
    for number in range(2):
        line = f"{SEQUENCE} remap 1 {a.page(number):#x} 2 {b.window(number):#x}"
        bed.machine.console.send_line(protect(line))
        bed.machine.console.expect(rf"< {SEQUENCE} ok ")
        assert not a.stage2(a.page(number)).mapped


@pytest.mark.parametrize("letter", range(8))
def test_a_request_with_a_bit_of_its_checksum_changed_is_not_done(
    bed: Testbed, letter: int
) -> None:
    a, b = bed.guests
    line = bytearray(protect(f"{SEQUENCE} remap 1 {a.page(0):#x} 2 {b.window(0):#x}"), "ascii")
    at = len(line) - 8 + letter
    line[at] = ord("a") + (line[at] - ord("a") ^ 1)
    bed.machine.console.send_line(line.decode())
    answer = bed.machine.console.expect(rf"< (0|{SEQUENCE}) ")
    assert answer[1] == "0"
    assert a.stage2(a.page(0)).mapped


def test_a_request_that_is_not_remembered_any_more_is_not_done_again(bed: Testbed) -> None:
    place = bed.guests[1].window(0)
    order = [1, 0, *range(2, REMEMBERED + 2)]
    lines = [f"{SEQUENCE + it} withdraw 2 {place:#x} 1" for it in order]
    for line in [*lines, lines[0]]:
        bed.machine.console.send_line(protect(line))
        answer = bed.machine.console.expect(rf"< {line.split()[0]} (\S+)")
    assert answer[1] == "bad-request"
