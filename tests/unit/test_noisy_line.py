"""The console protocol on a bad line: nothing is believed that was not said, or done twice.

The firmware's side is its own source, compiled for this machine.
"""

import platform
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.noisy import ROOT, Firmware, Line, compile_console

from pageferry.abi import Status
from pageferry.wire.console import ConsoleParser, Garbled, Reply, is_protected, parse_line, protect

ARCH = platform.machine()
REMEMBERED = 64  # console.c

pytestmark = pytest.mark.skipif(
    not (ROOT / "firmware/arch" / ARCH).is_dir(), reason=f"no firmware for this machine's {ARCH}"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_console(ARCH, tmp_path_factory.mktemp("line"))


@pytest.fixture
def firmware(library: Path) -> Firmware:
    return Firmware(library)


def request(sequence: int) -> str:
    return f"{sequence} remap 1 {page(sequence):#x} 2 0x30000000"


def page(sequence: int) -> int:
    return 0x6010_0000 + 0x1000 * sequence


def say(firmware: Firmware, line: str) -> list[str]:
    return firmware.hears(f"{line}\n".encode()).decode().splitlines()


def believed(data: bytes) -> list[Reply]:
    """The replies that a harness takes from what it hears."""
    found = ConsoleParser().feed(data)
    return [it for line, it in found if isinstance(it, Reply) and is_protected(line)]


# Any line


@given(st.integers(), st.floats(0, 0.2), st.integers(1, 20))
def test_on_any_line_every_request_is_done_once_and_answered_as_itself(
    library: Path, seed: int, rate: float, requests: int
) -> None:
    firmware, there, back = Firmware(library), Line(seed, rate), Line(seed + 1, rate)
    answers: dict[int, Reply] = {}
    for attempt in range(100):
        if attempt == 30:
            there.rate = back.rate = 0.0  # or it may take for ever
        open_ones = [number for number in range(1, requests + 1) if number not in answers]
        sent = "".join(f"{protect(request(number))}\n" for number in open_ones)
        heard = back.carries(firmware.hears(there.carries(sent.encode())))
        answers |= {reply.seq: reply for reply in believed(heard) if reply.seq}
    for number in range(1, requests + 1):
        assert firmware.done(number) == 1
        assert answers[number].status is Status.OK
        assert answers[number].fields == {"frame": f"{page(number):#x}"}


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=80))
def test_a_protected_line_says_what_the_line_says(line: str) -> None:
    assert parse_line(protect(line)) == parse_line(line) or line.startswith("*")


@given(st.integers(), st.integers(1, 8))
def test_a_damaged_reply_is_garbled_or_no_reply(seed: int, wounds: int) -> None:
    whole = protect("< 17 ok frame=0x500000")
    line = Line(seed, wounds / len(whole))
    hurt = line.carries(whole.encode()).decode("utf-8", "replace")
    found = parse_line(hurt)
    assert hurt == whole or isinstance(found, Garbled) or not is_protected(hurt)


def test_every_single_damage_to_a_request_is_noticed(firmware: Firmware) -> None:
    whole = protect(request(17)).encode()
    for at in range(len(whole)):
        for put in (
            b"",
            whole[at : at + 1] * 2,
            *(bytes([whole[at] ^ 1 << bit]) for bit in range(8)),
        ):
            firmware.hears(whole[:at] + put + whole[at + 1 :] + b"\n")
            assert firmware.done(17) == 0, (at, put)


def test_every_request_that_lost_an_end_is_noticed(firmware: Firmware) -> None:
    whole = protect(request(17)).encode()
    for cut in range(1, len(whole)):
        firmware.hears(whole[:cut] + b"\n" + whole[cut:] + b"\n")
        assert firmware.done(17) == 0, cut


# What comes again


def test_a_request_that_comes_again_gets_its_answer_again(firmware: Firmware) -> None:
    first, again = (say(firmware, protect(request(17))) for _ in range(2))
    assert first == again == [protect(f"< 17 ok frame={page(17):#x}")]
    assert firmware.done(17) == 1


def test_a_request_that_comes_again_before_its_answer_is_not_done_again(
    firmware: Firmware,
) -> None:
    firmware.postpones(17)
    assert [say(firmware, protect(request(17))) for _ in range(3)] == [[], [], []]
    assert firmware.answers_now().decode().splitlines() == [protect(f"< 17 ok frame={page(17):#x}")]
    assert firmware.done(17) == 1


def test_another_request_under_the_same_number_is_another_request(firmware: Firmware) -> None:
    say(firmware, protect(request(17)))
    say(firmware, protect(f"17 remap 1 {page(18):#x} 2 0x30000000"))
    assert firmware.done(17) == 2


def test_a_request_too_old_to_be_remembered_is_refused_and_not_done_again(
    firmware: Firmware,
) -> None:
    for number in range(1, REMEMBERED + 2):
        say(firmware, protect(request(number)))
    (answer,) = say(firmware, protect(request(1)))
    assert "bad-request too old" in answer
    assert firmware.done(1) == 1


def test_one_that_waits_for_its_answer_is_remembered_whatever_comes_after(
    firmware: Firmware,
) -> None:
    firmware.postpones(1)
    say(firmware, protect(request(1)))
    for number in range(2, 2 * REMEMBERED):
        say(firmware, protect(request(number)))
    assert say(firmware, protect(request(1))) == []
    assert firmware.done(1) == 1


def test_a_request_that_lost_both_marks_is_not_done_again_with_them(firmware: Firmware) -> None:
    say(firmware, request(17))
    (answer,) = say(firmware, protect(request(17)))
    assert answer == protect(f"< 17 ok frame={page(17):#x}")
    assert firmware.done(17) == 1


# People


def test_a_person_needs_no_checksum_and_gets_none(firmware: Firmware) -> None:
    assert say(firmware, f"> {request(17)}") == [f"< 17 ok frame={page(17):#x}"]


def test_a_person_may_type_the_same_again_and_it_is_done_again(firmware: Firmware) -> None:
    for _ in range(2):
        say(firmware, request(17))
    assert firmware.done(17) == 2


def test_a_damaged_line_is_answered_as_number_0(firmware: Firmware) -> None:
    (answer,) = say(firmware, protect(request(17)).replace("17", "18"))
    assert answer.startswith("*< 0 bad-request the checksum is wrong *")
    reply = parse_line(answer)
    assert isinstance(reply, Reply)
    assert reply.seq == 0


def test_the_checksum_is_that_of_ethernet_and_zip() -> None:
    assert protect("123456789") == "*123456789 *mlpedjcg"  # CBF43926
