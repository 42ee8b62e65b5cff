"""The console against a machine that the test plays itself, at the other ends of its pipes."""

import re
import tracemalloc
from collections.abc import Iterator
from fcntl import F_SETPIPE_SZ, fcntl
from functools import partial
from io import BytesIO
from pathlib import Path
from select import PIPE_BUF
from typing import BinaryIO

import pytest

from pageferry.abi import Status
from pageferry.channel import PIPE_READ, SCALE_VARIABLE, Channel, Needs, on_loop
from pageferry.console import LINES_KEPT, SEARCH_WINDOW, STREAM_KEPT, Console
from pageferry.errors import ChannelClosed, FirmwarePanic, ProtocolError, QemuDied, WaitTimeout
from pageferry.wire.console import LONGEST_REQUEST, Reply, require_request

SOON = 0.05
LONG = 30.0


class Played:
    """A console, and the machine that the test plays."""

    def __init__(self, log: BinaryIO | None = None) -> None:
        self.channel = Channel()
        self.console = Console(self.channel, log)

    def writes(self, text: str) -> None:
        """The machine writes, and it has arrived."""
        data = text.encode()
        while data:
            data = data[self.console.sink.write(data) :]
            on_loop(self.console.catch_up)

    def reads(self) -> str:
        """All that has been sent to the machine."""
        return (self.console.source.read(1 << 16) or b"").decode()


@pytest.fixture
def log() -> BytesIO:
    return BytesIO()


@pytest.fixture
def machine(log: BytesIO) -> Iterator[Played]:
    played = Played(log)
    yield played
    played.console.close()


@pytest.fixture
def console(machine: Played) -> Console:
    return machine.console


# Requests


def test_a_request_goes_out_as_a_line_with_its_number(machine: Played, console: Console) -> None:
    pending = console.submit("reclaim 1 0x1000")
    assert machine.reads() == f"{pending.seq} reclaim 1 0x1000\n"


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85"])
def test_a_request_of_more_than_one_line_is_refused_and_nothing_sent(
    machine: Played, console: Console, character: str
) -> None:
    with pytest.raises(ValueError, match="has the control character") as caught:
        console.submit(f"help{character}99999 remap 1 0x60100000 2 0x30000000")
    assert repr(character) in str(caught.value)
    assert (machine.reads(), console._pending) == ("", {})


@pytest.mark.parametrize(
    ("checked", "size"), [(False, LONGEST_REQUEST), (True, LONGEST_REQUEST - 11)]
)
def test_a_request_that_is_longer_with_its_number_than_the_firmware_takes_is_refused(
    machine: Played, console: Console, checked: bool, size: int
) -> None:
    console.checked = checked
    with pytest.raises(ValueError, match=f"at most {LONGEST_REQUEST} bytes"):
        console.submit("x" * size)
    assert (machine.reads(), console._pending) == ("", {})


def test_a_request_may_be_as_long_as_the_firmware_takes() -> None:
    require_request("x" * LONGEST_REQUEST)
    with pytest.raises(ValueError, match=f"this one {LONGEST_REQUEST + 1}"):
        require_request("x" * (LONGEST_REQUEST + 1))


def test_the_longest_request_is_the_firmwares() -> None:
    source = Path(__file__).parents[2] / "firmware" / "core" / "console.c"
    found = re.search(r"#define LINE_LIMIT (\d+)", source.read_text())
    assert found is not None
    assert int(found[1]) - 1 == LONGEST_REQUEST  # the firmware puts a zero behind it


def test_a_request_that_could_not_be_sent_is_not_pending(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SCALE_VARIABLE, "0.001")
    with pytest.raises(WaitTimeout):
        while True:
            console.send("z" * PIPE_BUF)
    with pytest.raises(WaitTimeout):
        console.submit("help")
    assert console._pending == {}


def test_a_reply_reaches_its_request(machine: Played, console: Console) -> None:
    pending = console.submit("remap")
    machine.writes(f"< {pending.seq} ok frame=0x1\r\n")
    assert pending.result(SOON) == Reply(pending.seq, Status.OK, "frame=0x1", {"frame": "0x1"})


def test_a_refusal_is_a_reply_too(machine: Played, console: Console) -> None:
    pending = console.submit("remap")
    machine.writes(f"< {pending.seq} shared\n")
    assert pending.result(SOON).status is Status.SHARED


def test_replies_may_come_in_any_order(machine: Played, console: Console) -> None:
    first, second = console.submit("ask 1"), console.submit("ask 2")
    machine.writes(f"< {second.seq} ok second\n< {first.seq} ok first\n")
    assert (first.result(SOON).text, second.result(SOON).text) == ("first", "second")


def test_a_result_can_be_asked_for_twice(machine: Played, console: Console) -> None:
    pending = console.submit("ask 1")
    machine.writes(f"< {pending.seq} ok\n")
    assert pending.result(SOON) == pending.result(SOON)


def test_a_reply_to_nobody_disturbs_nobody(machine: Played, console: Console) -> None:
    pending = console.submit("ask 1")
    machine.writes(f"< 0 bad-request\n< 999999999 ok\n< what\n< {pending.seq} ok\n")
    assert pending.result(SOON).status is Status.OK


def test_numbers_are_never_used_again_not_even_by_another_console(console: Console) -> None:
    other = Played()
    numbers = [each.submit("ask 1").seq for each in (console, other.console, console)]
    other.console.close()
    assert numbers == sorted(set(numbers))


def test_a_missing_reply_is_a_timeout_that_quotes_the_request(
    machine: Played, console: Console
) -> None:
    machine.writes("# something else\n")
    pending = console.submit("remap 1 2")
    with pytest.raises(WaitTimeout) as caught:
        pending.result(SOON)
    assert caught.value.awaited == f"the reply to '{pending.seq} remap 1 2'"
    assert caught.value.seen == ("# something else",)


def test_a_reply_after_the_timeout_is_still_there(machine: Played, console: Console) -> None:
    pending = console.submit("ask 1")
    with pytest.raises(WaitTimeout):
        pending.result(0)
    machine.writes(f"< {pending.seq} ok\n")
    assert pending.result(0).status is Status.OK


def test_a_reply_with_a_status_of_its_own_is_a_protocol_error(
    machine: Played, console: Console
) -> None:
    pending = console.submit("ask 1")
    machine.writes(f"< {pending.seq} fine\n")
    with pytest.raises(ProtocolError, match=f"waiting for the reply.*'< {pending.seq} fine'"):
        pending.result(LONG)


# What is sent


def test_a_line_can_be_sent_that_is_no_request(machine: Played, console: Console) -> None:
    console.send_line("hello")
    assert machine.reads() == "hello\n"


def test_a_machine_that_does_not_read_is_a_timeout_and_gets_no_part(
    machine: Played, console: Console
) -> None:
    sent = 0
    line = "z" * (PIPE_BUF - 1) + "\n"
    with pytest.raises(WaitTimeout, match="which the machine does not read"):
        while True:
            console.send(line, SOON)
            sent += 1
    assert machine.reads() == line * sent


def test_room_in_the_pipe_is_used_as_soon_as_the_machine_reads(
    machine: Played, console: Console
) -> None:
    line = "z" * PIPE_BUF
    with pytest.raises(WaitTimeout):
        while True:
            console.send(line, 0)
    machine.reads()
    console.send(line, LONG)
    assert machine.reads() == line


def test_more_than_a_pipe_takes_whole_is_refused(console: Console) -> None:
    with pytest.raises(ValueError, match=f"{PIPE_BUF + 1} bytes"):
        console.send("z" * (PIPE_BUF + 1))


# What is heard


def test_a_panic_ends_every_wait_and_quotes_the_line(machine: Played, console: Console) -> None:
    pending = console.submit("ask 1")
    machine.writes("! panic main.c:7 cpu=0\n")
    with pytest.raises(FirmwarePanic) as caught:
        pending.result(LONG)
    assert caught.value.line == "! panic main.c:7 cpu=0"
    with pytest.raises(FirmwarePanic):
        console.expect("anything else", LONG)


def test_a_log_line_is_found_though_it_came_before(machine: Played, console: Console) -> None:
    machine.writes("# ready\n# more\n")
    console.await_log("ready", 0)


def test_a_log_line_is_no_part_of_another(machine: Played, console: Console) -> None:
    machine.writes("# not ready\nready\n# ready")
    with pytest.raises(WaitTimeout, match="'# ready' on the console"):
        console.await_log("ready", SOON)


def test_the_lines_seen_end_with_the_unfinished_one(machine: Played, console: Console) -> None:
    machine.writes("one\ntw")
    assert console.lines == ("one", "tw")


def test_the_log_file_gets_every_byte(machine: Played, log: BytesIO) -> None:
    machine.writes("one\r\ntw")
    assert log.getvalue() == b"one\r\ntw"


# expect


def test_a_match_uses_up_what_comes_before_it(machine: Played, console: Console) -> None:
    machine.writes("a=1 a=2 ")
    assert [console.expect(r"a=(\d)", LONG)[1] for _ in range(2)] == ["1", "2"]


def test_a_pattern_is_found_across_all_reads(machine: Played, console: Console) -> None:
    for part in "splinter":
        machine.writes(part)
    assert console.expect("splinter", LONG)[0] == "splinter"


def test_a_character_that_is_split_between_reads_is_one(machine: Played, console: Console) -> None:
    for byte in "é".encode():
        console.sink.write(bytes([byte]))
        on_loop(console.catch_up)
    assert console.expect(".", LONG)[0] == "é"


def test_a_pattern_in_much_older_text_is_found(machine: Played, console: Console) -> None:
    machine.writes("needle " + "hay " * SEARCH_WINDOW)
    assert console.expect("needle", LONG)[0] == "needle"


def test_a_pattern_that_does_not_come_is_a_timeout_of_ours(
    machine: Played, console: Console
) -> None:
    machine.writes("one\n")
    with pytest.raises(WaitTimeout, match="waiting for 'two' on the console") as caught:
        console.expect("two", SOON)
    assert caught.value.seen == ("one",)


def test_the_emulators_end_ends_an_expect(machine: Played, console: Console) -> None:
    machine.channel.finish(partial(QemuDied, 0, ""))
    with pytest.raises(QemuDied, match="waiting for 'two' on the console"):
        console.expect("two", LONG)


def test_pexpect_itself_can_choose_between_patterns(machine: Played, console: Console) -> None:
    machine.writes("two one")
    assert console.pexpect.expect(["one", "two"], timeout=LONG) == 1


# Floods


def test_a_flood_that_nobody_reads_is_kept_within_bounds() -> None:
    machine = Played()
    noise = ("what nobody asked for " * 50 + "\n") * 60
    tracemalloc.start()
    try:
        for _ in range(16 * STREAM_KEPT // len(noise)):
            machine.writes(noise)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        machine.console.close()
    assert held < 3 * STREAM_KEPT
    assert len(machine.console.lines) == LINES_KEPT


def test_a_flood_that_expect_reads_in_vain_is_kept_within_bounds(
    machine: Played, console: Console
) -> None:
    for _ in range(10):
        machine.writes("z" * SEARCH_WINDOW)
        with pytest.raises(WaitTimeout):
            console.expect("a", 0.001)
    assert len(console.pexpect.before or "") < 4 * SEARCH_WINDOW


# Restore


def restore(console: Console) -> None:
    console.recall()
    console.begin_epoch()


def test_after_a_restore_nothing_of_before_is_heard(machine: Played, console: Console) -> None:
    machine.writes("# ready\nneedle\nhalf a li")
    console.sink.write(b"more that was not read yet")
    restore(console)
    machine.writes("new\n")
    assert console.lines == ("new",)
    with pytest.raises(WaitTimeout):
        console.await_log("ready", 0)
    assert console.expect(".+\n", LONG)[0] == "new\n"


def test_a_restore_takes_in_first_all_that_is_still_in_the_pipe(
    machine: Played, console: Console
) -> None:
    size = fcntl(console.sink, F_SETPIPE_SZ, 16 * PIPE_READ)
    console.sink.write((b"old" * 1000 + b"\n") * (size // 3001))  # long lines are taken faster
    restore(console)
    machine.writes("new\n")
    assert console.lines == ("new",)


def test_after_a_restore_expect_has_forgotten_what_it_had_looked_at(
    machine: Played, console: Console
) -> None:
    machine.writes("need")
    with pytest.raises(WaitTimeout):
        console.expect("needle", SOON)
    restore(console)
    machine.writes("le")
    with pytest.raises(WaitTimeout):
        console.expect("needle", SOON)


def test_what_the_machine_had_not_read_is_taken_back(machine: Played, console: Console) -> None:
    for number in range(1000):
        console.send_line(f"line {number}")
    restore(console)
    assert machine.reads() == ""


def test_a_request_of_before_says_that_its_reply_will_never_come(
    machine: Played, console: Console
) -> None:
    pending = console.submit("ask 1")
    restore(console)
    machine.writes(f"< {pending.seq} ok\n")
    with pytest.raises(ProtocolError, match="was restored before it answered"):
        pending.result(LONG)


def test_a_closed_console_still_shows_its_lines() -> None:
    machine = Played()
    machine.writes("one\n")
    machine.console.close()
    assert machine.console.lines == ("one",)
    with pytest.raises(ChannelClosed, match="the console is closed"):
        machine.console.recall()


def test_a_machine_that_hangs_up_ends_a_wait_though_all_it_wrote_is_heard() -> None:
    machine, said = Played(), "the last words"
    console = machine.console
    console.sink.write(said.encode())
    console.sink.close()
    machine.channel.await_fact(lambda: console.lines or None, said, LONG, needs=Needs.NOTHING)
    console.close()
    assert console.lines == ("the last words",)
