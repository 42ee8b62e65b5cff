"""The machine's console: requests with their replies, the log, and pexpect.

What the machine writes is read at all times (a full pipe would stop the
emulator) and goes two ways: into messages (`wire.console`), and as text into a
bounded buffer that pexpect reads from. Nothing is lost by not being waited for,
and nothing grows without bound.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from functools import partial
from io import FileIO, StringIO
from itertools import count
from select import PIPE_BUF
from typing import TYPE_CHECKING, BinaryIO

import pexpect
from pexpect.spawnbase import SpawnBase

from .channel import PIPE_READ, Channel, Deadline, Intake, Timeout, on_loop, open_pipe
from .errors import ChannelClosed, FirmwarePanic, ProtocolError, WaitTimeout
from .wire.console import (
    ConsoleParser,
    Log,
    Malformed,
    Message,
    Noise,
    Panic,
    Reply,
    is_protected,
    protect,
    require_request,
)

if TYPE_CHECKING:
    _SpawnBase = SpawnBase[str]
else:
    _SpawnBase = SpawnBase  # generic in its stubs only

LINES_KEPT = 1000
"""Lines that `Console.lines` gives, the last ones."""

STREAM_KEPT = 1 << 20
"""Characters that wait for `expect`, the last ones."""

SEARCH_WINDOW = 1 << 14
"""Characters that a pattern is looked for in at a time, so also its longest match."""

ROOM_CHECK = 0.01
"""Seconds between looks whether the machine has read some of a full console input."""

_sequence = count(1)
"""Request numbers. Never restarted, so that a late reply matches nothing."""


class Pending:
    """A request that was sent. Its reply may be waited for at any time, in any order.

    send   sends the request's line
    again  seconds after which a request that is waited for is sent again, None: never
    """

    def __init__(
        self, channel: Channel, request: str, send: Callable[[str], None], again: float | None
    ) -> None:
        self.seq = next(_sequence)
        self.line = f"{self.seq} {request}"
        self._channel = channel
        self._send = send
        self._again = again
        self._due = 0.0
        self._answer: Reply | str | None = None

    def ask(self) -> None:
        """Send it, for the first time or again."""
        self._due = time.monotonic() + (self._again or 0.0)
        self._send(self.line)

    def hurry(self) -> None:
        """Something was garbled: it is to be sent again; while the channel is changing."""
        self._due = 0.0

    def answer(self, answer: Reply | str) -> None:
        """The reply, or why there is none; to be called while the channel is changing."""
        self._answer = answer

    def result(self, timeout: Timeout = None) -> Reply:
        """The reply, whatever its status.

        Raises WaitTimeout, ProtocolError when what came is no reply or a restore made
        one impossible, and what else ends a wait (see `Channel.await_fact`).
        """
        awaited = f"the reply to {self.line!r}"
        self._channel.await_fact(self._look, awaited, timeout, every=self._again)
        if isinstance(self._answer, Reply):
            return self._answer
        raise ProtocolError(str(self._answer), awaited, self._channel.seen())

    def _look(self) -> bool | None:
        if self._answer is None and self._again is not None and time.monotonic() >= self._due:
            self.ask()
        return self._answer is not None or None


class ConsoleStream(_SpawnBase):
    """pexpect over what the console has read: no descriptor, no delay, bounded memory.

    `awaited` says what for, in errors. Serves one thread at a time.
    """

    def __init__(self, channel: Channel) -> None:
        with redirect_stdout(sys.stdout or StringIO()):  # which may be closed; pexpect wants one
            super().__init__(
                timeout=Deadline.after(None).seconds,
                maxread=SEARCH_WINDOW // 2,  # of each read, pexpect searches one window at most
                searchwindowsize=SEARCH_WINDOW,
                encoding="utf-8",
            )
        self.delayafterread = None
        self.awaited = "console output"
        self._channel = channel
        self._fresh: deque[str] = deque()
        self._size = 0

    def supply(self, text: str) -> None:
        """More text has come; to be called while the channel is changing."""
        if self._fresh and len(self._fresh[-1]) < SEARCH_WINDOW // 4:
            self._fresh[-1] += text  # a byte at a time is how it often comes
        else:
            self._fresh.append(text)
        self._size += len(text)
        while self._size > STREAM_KEPT:
            self._size -= len(self._fresh.popleft())

    def forget(self) -> None:
        """Drop all that was not matched yet."""
        with self._channel.lock:
            self._fresh.clear()
            self._size = 0
        self.buffer = ""
        self._before = StringIO()

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> str:
        """The next characters, at most `size`. pexpect calls it with the seconds left."""
        left = Deadline.exactly(self.timeout or 0.0 if timeout is None else max(timeout, 0.0))
        self._trim()
        try:
            return self._channel.await_fact(partial(self._take, size), self.awaited, left)
        except WaitTimeout as error:
            raise pexpect.TIMEOUT(self.awaited) from error

    def _take(self, size: int) -> str | None:
        with self._channel.lock:
            parts = []
            while self._fresh and size > 0:
                part = self._fresh.popleft()
                if len(part) > size:
                    self._fresh.appendleft(part[size:])
                parts.append(part[:size])
                size -= len(part)
            taken = "".join(parts)
            self._size -= len(taken)
        return taken or None

    def _trim(self) -> None:
        """pexpect keeps all it has read since the last match; one window is enough."""
        if self._before.tell() > 2 * SEARCH_WINDOW:
            kept = self._before.getvalue()[-SEARCH_WINDOW:]
            self._before = StringIO()
            self._before.write(kept)


class Console:
    """A machine's serial port, by two pipes.

    The machine reads from `source` and writes to `sink`; who has given it `sink`
    closes it here, or nobody notices when the machine hangs up. `log` gets every byte
    the machine writes. To be closed by its owner.

    With `serial`, an open line, it is that instead: then nobody uses source and sink.
    """

    checked = False
    """Whether requests are sent with a checksum and believed only with one: the firmware
    has to know what that is."""
    again: float | None = None
    """Seconds after which a request is sent again, for a wire that loses bytes; at once
    when one was garbled. Only with checksums, or it may be done twice."""

    def __init__(
        self, channel: Channel, log: BinaryIO | None = None, serial: FileIO | None = None
    ) -> None:
        self.pexpect = ConsoleStream(channel)
        """For patterns that `expect` has no way to say (several at once, say)."""
        self._channel = channel
        self._log = log
        self._pending: dict[int, Pending] = {}
        self._start_afresh()
        with ExitStack() as opening:
            self.source, self._feed = open_pipe(opening)
            output, self.sink = open_pipe(opening)
            if serial is not None:
                output = self._feed = opening.enter_context(serial)
            os.set_blocking(self.source.fileno(), False)
            os.set_blocking(self._feed.fileno(), False)
            hung_up = partial(channel.hung_up, "console")
            self._intake = Intake.owned(
                opening, output.fileno(), self._hear, hung_up, lambda: not self._pending
            )
            self._descriptors = opening.pop_all()
        channel.seen = lambda: self.lines

    # What comes in. On the loop thread.

    def _start_afresh(self) -> None:
        self._parser = ConsoleParser()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._log_lines: deque[str] = deque(maxlen=LINES_KEPT)

    def _hear(self, data: bytes) -> None:
        with self._channel.changing():
            self.pexpect.supply(self._decoder.decode(data))
            for line, message in self._parser.feed(data):
                self._lines.append(line)
                self._channel.journal.note("console", "<", line)
                self._act_on(line, message)
        if self._log is not None:
            self._log.write(data)

    def _act_on(self, line: str, message: Message) -> None:
        match message:
            case Log(text):
                self._log_lines.append(text)
            case Panic():
                self._channel.halt(partial(FirmwarePanic, line))
            case Noise():
                pass
            case Reply() | Malformed() if is_protected(line) or not self.checked:
                self._take_answer(line, message)
            case _:
                self._hurry()

    def _take_answer(self, line: str, message: Reply | Malformed) -> None:
        if message.seq == 0:
            self._hurry()  # the firmware could not read a line
        elif message.seq and (pending := self._pending.pop(message.seq, None)):
            pending.answer(message if isinstance(message, Reply) else f"{line!r} is no reply")

    def _hurry(self) -> None:
        for pending in self._pending.values():
            pending.hurry()

    def recall(self) -> None:
        """Take back what was sent and not read: before a machine is restored.

        What its serial port has read meanwhile is then replaced by the restored state.
        Recalled afterwards, it could have been read into that. Raises ChannelClosed.
        """
        self._require_open("what was sent and not read")
        while self.source.read(PIPE_READ):
            pass

    def _require_open(self, awaited: str) -> None:
        if self._feed.closed:
            raise ChannelClosed("the console is closed", awaited, self.lines)

    def begin_epoch(self) -> None:
        """Forget all that was heard: after a stopped machine was restored."""
        on_loop(self._begin_epoch)

    def _begin_epoch(self) -> None:
        self._intake.drain()
        with self._channel.changing():
            for pending in self._pending.values():
                pending.answer("the machine was restored before it answered")
            self._pending.clear()
            self._start_afresh()
            self.pexpect.forget()

    def close(self) -> None:
        """Close both pipes. `lines` stays readable. To be called once."""
        self._descriptors.close()

    def catch_up(self) -> None:
        """Take in what the machine has written so far (loop thread only)."""
        self._intake.drain()

    # What goes out, and the waiting. In the caller's thread.

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines since the start or the restore; the last may be unfinished."""
        with self._channel.lock:
            rest = self._parser.rest
            return (*self._lines, rest) if rest else tuple(self._lines)

    def send(self, text: str, timeout: Timeout = None) -> None:
        """Send characters as they are: all of them or none.

        Raises ValueError for more than PIPE_BUF bytes (pipe(7): 4096), WaitTimeout when
        the machine does not read and the pipe stays full, ChannelClosed.
        """
        data = text.encode()
        if len(data) > PIPE_BUF:
            raise ValueError(f"{len(data)} bytes are more than a pipe takes whole ({PIPE_BUF})")
        room = "room in the console input, which the machine does not read"
        self._require_open(room)
        self._channel.journal.note("console", ">", text.removesuffix("\n"))  # before its answer
        self._channel.await_fact(
            partial(self._write, bytearray(data)), room, timeout, every=ROOM_CHECK
        )

    def _write(self, rest: bytearray) -> bool | None:
        """A pipe takes all or nothing, a serial line what it has room for."""
        del rest[: self._feed.write(rest) or 0]
        return None if rest else True

    def send_line(self, line: str) -> None:
        """Send a line as it is, for what `submit` would not send. Raises what `send` does."""
        self.send(f"{line}\n")

    def submit(self, request: str) -> Pending:
        """Send a request, "remap 1 0x60100000 2 0x30000000" say, and do not wait.

        Raises what `send` does, and ValueError for what the firmware would not take as
        one line: a control character (the end of a line among them) in it, or too much.
        """
        pending = Pending(self._channel, request, self._send_request, self.again)
        require_request(self._protect(pending.line))
        with self._channel.lock:
            self._pending[pending.seq] = pending
        try:
            pending.ask()
        except BaseException:  # Ctrl-C too: nobody will wait for it
            with self._channel.lock:
                self._pending.pop(pending.seq, None)
            raise
        return pending

    def _protect(self, line: str) -> str:
        return protect(line) if self.checked else line

    def _send_request(self, line: str) -> None:
        self.send_line(self._protect(line))

    def request(self, request: str, timeout: Timeout = None) -> Reply:
        """Send a request and wait for its reply, whatever its status; see `Pending.result`."""
        return self.submit(request).result(timeout)

    def await_log(self, text: str, timeout: Timeout = None) -> None:
        """Wait until the log has, or since the start or restore has had, the line `text`.

        The log is what our firmware prints as "# text"; for other output there is `expect`.
        Raises what `Channel.await_fact` does.
        """

        def logged() -> bool | None:
            with self._channel.lock:
                return text in self._log_lines or None

        self._channel.await_fact(logged, f"the line '# {text}' on the console", timeout)

    def expect(self, pattern: str | re.Pattern[str], timeout: Timeout = None) -> re.Match[str]:
        """The next match of `pattern` in what comes, pexpect's way: it is used up to there.

        Raises WaitTimeout, and what else ends a wait (see `Channel.await_fact`). No
        deadline ends the search itself, which holds the whole interpreter: a pattern that
        backtracks without end, `(a|aa)+$` say, hangs.
        """
        shown = pattern if isinstance(pattern, str) else pattern.pattern
        deadline = Deadline.after(timeout)
        self.pexpect.awaited = f"{shown!r} on the console"
        try:
            self.pexpect.expect(pattern, timeout=deadline.left)
        except pexpect.TIMEOUT:
            raise WaitTimeout(self.pexpect.awaited, deadline.seconds, self.lines) from None
        match = self.pexpect.match
        assert isinstance(match, re.Match)
        return match
