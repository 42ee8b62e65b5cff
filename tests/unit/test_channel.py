"""The one way to wait: what wakes it, what ends it, what its errors say."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from io import FileIO

import pytest

from pageferry.channel import (
    DRAINED,
    PIPE_READ,
    SCALE_VARIABLE,
    Channel,
    Intake,
    Needs,
    on_loop,
    open_pipe,
)
from pageferry.errors import ChannelClosed, FirmwarePanic, QemuDied, WaitTimeout

SOON = 0.05
LONG = 30.0
AT_ONCE = 10.0
"""Seconds: far below LONG, and enough for a busy machine."""


@pytest.fixture
def channel() -> Channel:
    channel = Channel()
    channel.seen = lambda: ("the last line",)
    return channel


@pytest.fixture
def halted(channel: Channel) -> Channel:
    channel.halt(partial(FirmwarePanic, "! panic main.c:1"))
    return channel


@pytest.fixture
def other_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def never() -> None:
    return None


# await_fact


def test_a_fact_that_is_true_already_is_returned_though_no_time_is_left(channel: Channel) -> None:
    assert channel.await_fact(lambda: 5, "five", 0) == 5


def test_zero_is_a_value_too(channel: Channel) -> None:
    assert channel.await_fact(lambda: 0, "zero", 0) == 0


def test_a_change_wakes_the_one_who_waits(
    channel: Channel, other_thread: ThreadPoolExecutor
) -> None:
    found: list[str] = []
    looked = threading.Event()

    def fact() -> str | None:
        looked.set()
        return found[0] if found else None

    waiting: Future[str] = other_thread.submit(lambda: channel.await_fact(fact, "a string", LONG))
    assert looked.wait(LONG)
    with channel.changing():
        found.append("here")
    assert waiting.result(AT_ONCE) == "here"


def test_what_announces_nothing_is_looked_at_every_so_often(channel: Channel) -> None:
    looks = iter([None, None, "now"])
    assert channel.await_fact(lambda: next(looks), "now", LONG, every=0.001) == "now"


def test_a_timeout_says_what_was_awaited_for_how_long_and_what_was_seen(channel: Channel) -> None:
    with pytest.raises(WaitTimeout) as caught:
        channel.await_fact(never, "the moon", SOON)
    assert (caught.value.awaited, caught.value.seconds) == ("the moon", SOON)
    assert caught.value.seen == ("the last line",)


def test_an_exception_of_the_fact_is_the_callers(channel: Channel) -> None:
    with pytest.raises(ZeroDivisionError):
        channel.await_fact(lambda: 1 // 0, "nonsense", LONG)


def test_an_end_wakes_the_one_who_waits_with_its_own_error(
    channel: Channel, other_thread: ThreadPoolExecutor
) -> None:
    waiting: Future[None] = other_thread.submit(lambda: channel.await_fact(never, "the moon", LONG))
    channel.finish(partial(QemuDied, -9, "its last words"))
    with pytest.raises(QemuDied, match="waiting for the moon: QEMU was killed by signal 9"):
        waiting.result(AT_ONCE)


def test_what_came_before_the_end_still_counts(channel: Channel) -> None:
    channel.finish(partial(QemuDied, -9, ""))
    assert channel.await_fact(lambda: "reply", "a reply", LONG) == "reply"


def test_of_two_ends_the_first_counts(channel: Channel) -> None:
    channel.finish(partial(QemuDied, -9, ""))
    channel.finish(partial(ChannelClosed, "the console was hung up"))
    with pytest.raises(QemuDied):
        channel.await_fact(never, "the moon", LONG)


def test_a_panic_ends_a_wait_for_the_firmware(halted: Channel) -> None:
    with pytest.raises(FirmwarePanic, match="waiting for a reply"):
        halted.await_fact(never, "a reply", LONG)


def test_a_panic_does_not_end_a_wait_for_the_emulator(halted: Channel) -> None:
    with pytest.raises(WaitTimeout):
        halted.await_fact(never, "the monitor", SOON, needs=Needs.PROCESS)


def test_the_emulators_end_ends_a_wait_for_it(halted: Channel) -> None:
    halted.finish(partial(QemuDied, 1, ""))
    with pytest.raises(QemuDied):
        halted.await_fact(never, "the monitor", LONG, needs=Needs.PROCESS)


def test_after_the_emulators_end_one_can_wait_for_what_needs_none(halted: Channel) -> None:
    halted.finish(partial(QemuDied, 1, ""))
    with pytest.raises(WaitTimeout):
        halted.await_fact(never, "its being reaped", SOON, needs=Needs.NOTHING)


def test_a_panic_did_not_happen_once_the_machine_is_restored(halted: Channel) -> None:
    halted.resume()
    with pytest.raises(WaitTimeout):
        halted.await_fact(never, "a reply", SOON)


def test_a_hung_up_wire_ends_a_wait(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SCALE_VARIABLE, "0.01")
    on_loop(partial(channel.hung_up, "console"))
    with pytest.raises(ChannelClosed, match="waiting for the moon: the console was hung up"):
        channel.await_fact(never, "the moon", 100 * LONG)


def test_an_exit_explains_a_hung_up_wire(channel: Channel) -> None:
    on_loop(partial(channel.hung_up, "console"))
    channel.finish(partial(QemuDied, 1, ""))
    with pytest.raises(QemuDied):
        channel.await_fact(never, "the moon", LONG)


def test_ctrl_c_ends_a_wait_and_the_next_one_works(channel: Channel) -> None:
    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    timer = threading.Timer(SOON, signal.pthread_kill, (main, signal.SIGUSR1))
    try:
        with pytest.raises(KeyboardInterrupt):
            timer.start()  # in here: it may be long until this thread has its next turn
            channel.await_fact(never, "the moon", LONG)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert channel.run(thread_name(), "its name", LONG) == "pageferry wires"


# Work on the loop


async def thread_name() -> str:
    return threading.current_thread().name


def test_work_runs_on_the_loops_thread_and_gives_what_it_returns(channel: Channel) -> None:
    assert channel.run(thread_name(), "its name") == "pageferry wires"


def test_work_raises_in_the_callers_thread(channel: Channel) -> None:
    async def work() -> None:
        raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        channel.run(work(), "work")


def test_work_that_nobody_waits_for_any_more_is_cancelled(channel: Channel) -> None:
    cancelled = threading.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(WaitTimeout):
        channel.run(work(), "work", SOON)
    assert cancelled.wait(LONG)


def test_a_call_on_the_loop_raises_in_the_callers_thread() -> None:
    with pytest.raises(ZeroDivisionError):
        on_loop(lambda: 1 // 0)


# Intake


class Reader:
    """An intake on a pipe, and what it took."""

    def __init__(self, channel: Channel, pipe: FileIO) -> None:
        self.channel = channel
        self.taken = bytearray()
        self.closed = 0
        self.calm = False
        intake = partial(Intake, pipe.fileno(), self._take, self._close, lambda: self.calm)
        self.intake = on_loop(intake)

    def _take(self, data: bytes) -> None:
        with self.channel.changing():
            self.taken += data

    def _close(self) -> None:
        with self.channel.changing():
            self.closed += 1


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    with ExitStack() as owner:
        yield open_pipe(owner)


@pytest.fixture
def reader(channel: Channel, pipe: tuple[FileIO, FileIO]) -> Iterator[Reader]:
    reader = Reader(channel, pipe[0])
    yield reader
    on_loop(reader.intake.close)


def test_more_than_a_pipe_holds_is_read_without_being_asked_for(
    reader: Reader, pipe: tuple[FileIO, FileIO]
) -> None:
    data = os.urandom(1 << 20)
    written = 0
    while written < len(data):
        written += pipe[1].write(data[written:])
    reader.channel.await_fact(lambda: len(reader.taken) == len(data) or None, "all of it", LONG)
    assert reader.taken == data


def test_a_pipe_that_is_hung_up_is_told_once(reader: Reader, pipe: tuple[FileIO, FileIO]) -> None:
    pipe[1].write(b"the last words")
    pipe[1].close()
    reader.channel.await_fact(lambda: reader.closed or None, "the end", LONG)
    on_loop(reader.intake.drain)
    assert (bytes(reader.taken), reader.closed) == (b"the last words", 1)


def test_a_drain_takes_what_is_there_before_it_returns(
    reader: Reader, pipe: tuple[FileIO, FileIO]
) -> None:
    def write_and_drain() -> bytes:
        pipe[1].write(b"here")
        reader.intake.drain()
        return bytes(reader.taken)

    assert on_loop(write_and_drain) == b"here"


def test_a_drain_ends_though_the_writer_does_not(
    reader: Reader, pipe: tuple[FileIO, FileIO]
) -> None:
    def write_on(data: bytes) -> None:
        reader.taken += data
        if len(reader.taken) < 4 * DRAINED:
            pipe[1].write(data)

    def write_and_drain() -> int:
        pipe[1].write(bytes(PIPE_READ))
        reader.intake.drain()
        return len(reader.taken)

    reader.intake._take = write_on
    assert on_loop(write_and_drain) == DRAINED


def test_a_closed_intake_reads_no_more(reader: Reader, pipe: tuple[FileIO, FileIO]) -> None:
    on_loop(reader.intake.close)
    pipe[1].write(b"too late")
    on_loop(reader.intake.drain)
    assert reader.taken == b""


def write_in_two_pieces(reader: Reader, pipe: FileIO) -> None:
    """The second when the first was read and the loop had the time to read this one too."""
    pipe.write(b"one, ")
    reader.channel.await_fact(lambda: reader.taken or None, "the first piece", LONG)
    on_loop(lambda: pipe.write(b"two"))
    for _ in range(3):
        on_loop(lambda: None)


def test_an_intake_rests_after_a_read_when_nobody_is_in_a_hurry(
    reader: Reader, pipe: tuple[FileIO, FileIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pageferry.channel.REST", LONG)
    reader.calm = True
    write_in_two_pieces(reader, pipe[1])
    assert reader.taken == b"one, "
    on_loop(reader.intake.drain)
    assert reader.taken == b"one, two"


def test_it_goes_on_reading_after_the_rest(reader: Reader, pipe: tuple[FileIO, FileIO]) -> None:
    reader.calm = True
    write_in_two_pieces(reader, pipe[1])
    reader.channel.await_fact(lambda: reader.taken == b"one, two" or None, "the rest", LONG)


def test_an_intake_does_not_rest_while_somebody_is_in_a_hurry(
    reader: Reader, pipe: tuple[FileIO, FileIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pageferry.channel.REST", LONG)
    write_in_two_pieces(reader, pipe[1])
    assert reader.taken == b"one, two"
