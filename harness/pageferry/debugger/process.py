"""gdb as a process: commands out, records in, each result matched by its token.

    command  ->  17-data-evaluate-expression "x"        pipe, from the caller's thread
    loop     <-  17^done,value="5"                      wakes the caller
             <-  *stopped,...                           goes to whoever follows the machine

A result comes when gdb has it and nobody waits any longer than that.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from ..channel import (
    EXPLANATION,
    Channel,
    Deadline,
    Ending,
    Intake,
    Needs,
    Timeout,
    open_pipe,
)
from ..child import Child
from ..errors import DebuggerError
from ..wire.gdbmi import MiParser, Notice, Record, Result, Text

PATIENCE = "remotetimeout 30"
"""Seconds, whoever starts gdb. By default it gives a slow emulator up after 2."""

SETTINGS = (
    "auto-load off",  # nothing that lies beside a kernel is executed
    "confirm off",
    "pagination off",
    "width 0",
    "style enabled off",
    "debuginfod enabled off",
    "osabi none",  # a kernel of no system that gdb knows
    "mi-async on",  # commands are taken while the machine runs
    PATIENCE,
    "print frame-arguments none",  # a stop need not read memory to be told
    "print entry-values no",
)
"""What `set` is given before anything is loaded."""

BUFFERED = (
    "python import ctypes; pageferry_c = ctypes.CDLL(None); "
    "pageferry_c.malloc.restype = ctypes.c_void_p; "
    "pageferry_c.setvbuf(ctypes.c_void_p.in_dll(pageferry_c, 'stdout'), "
    "ctypes.c_void_p(pageferry_c.malloc(1 << 16)), 0, 1 << 16)"
)
"""Has gdb write what it flushes, and not each character: _IOFBF of setvbuf(3) is 0. The
buffer is never freed, so that gdb can write to its end."""

ROOM_CHECK = 0.001
"""Seconds between looks whether gdb has read some of a full input."""

SHOWN = 80
"""Characters of a command that an error shows."""

_LOST = re.compile(r"Remote connection closed|Remote communication error|Connection reset|putpkt")
"""gdb's words for a stub that is gone. Whoever had the stub has a better explanation."""

_tokens = count(1)
"""Never restarted, so that a late result matches nothing."""


@dataclass
class _Command:
    """A command that was sent, what gdb said meanwhile, and how it ended."""

    text: list[Text] = field(default_factory=list)
    result: Result | None = None


def _shown(command: str) -> str:
    return command if len(command) <= SHOWN else f"{command[:SHOWN]}..."


def _outcome(command: str, entry: _Command) -> tuple[Result, str]:
    """What became of a command that has its result."""
    result = entry.result
    assert result is not None
    if result.kind == "error":
        raise DebuggerError(f"gdb refused {_shown(command)}: {result.payload.get('msg', '')}")
    return result, "".join(text.text for text in entry.text)


class Gdb:
    """A running gdb without a target. To be closed by its owner.

    argv   the program and more arguments than the ones that make it speak MI
    fds    descriptors it inherits under the same numbers
    heard  gets every notice, on the loop thread, while the channel is changing

    Raises OSError if it cannot be started.
    """

    def __init__(
        self,
        channel: Channel,
        argv: Sequence[str],
        *,
        fds: Sequence[int],
        heard: Callable[[Notice], None],
    ) -> None:
        self.gone: Ending | None = None
        self._channel = channel
        self._heard = heard
        self._closing = False
        self._turn = threading.Lock()
        self._begun = b""
        self._parser = MiParser()
        self._commands: dict[int, _Command] = {}
        program, *arguments = argv
        settings = [word for line in SETTINGS for word in ("-iex", f"set {line}")]
        settings += ["-iex", BUFFERED]
        command = [program, "-nx", "-q", "--interpreter=mi3", *settings, *arguments]
        with ExitStack() as opening:
            source, self._feed = open_pipe(opening)
            output, sink = open_pipe(opening)
            os.set_blocking(self._feed.fileno(), False)
            self._intake = Intake.owned(opening, output.fileno(), self._hear, self._hung_up)
            self._child = Child(
                channel,
                command,
                stdin=source.fileno(),
                stdout=sink.fileno(),
                fds=fds,
                exited=self._on_exit,
            )
            opening.callback(self._child.close)
            source.close()
            sink.close()
            self._owned = opening.pop_all()

    # What comes in. On the loop thread.

    def _hear(self, data: bytes) -> None:
        for line, record in self._parser.feed(data):
            self._channel.journal.note("mi", "<", line)
            try:
                with self._channel.lock:
                    self._act_on(record)
            except Exception as error:  # noqa: BLE001 - whatever it lacks, the rest is still heard
                self._end(f"said {line!r}, which is no such record: {error!r}")

    def _act_on(self, record: Record) -> None:
        """Wake who waits, but for no text: that costs more than the text."""
        match record:
            case Notice("thread-group-exited") if not self._closing:
                self._channel.hung_up("debugger's stub")
            case Notice():
                with self._channel.changing():
                    self._heard(record)
            case Result(kind="error") if self._is_lost(record):
                self._channel.hung_up("debugger's stub")  # which ends whatever waits
            case Result(token=int(token)) if command := self._commands.get(token):
                with self._channel.changing():
                    command.result = record
                    if record.kind == "running":  # the notice of it comes after this
                        self._heard(Notice("running", record.line))
            case Text("console" | "target"):
                open_ones = (it for it in self._commands.values() if it.result is None)
                if command := next(open_ones, None):  # gdb speaks of the one it is at
                    command.text.append(record)

    def _is_lost(self, result: Result) -> bool:
        return not self._closing and bool(_LOST.search(result.payload.get("msg", "")))

    def _hung_up(self) -> None:
        """Its exit does that too, and says more: it has a moment to be noticed."""
        asyncio.get_running_loop().call_later(
            Deadline.after(EXPLANATION).seconds, self._end, "hung up"
        )

    def _on_exit(self, status: int, stderr: str) -> None:
        self._intake.drain()
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        said = f": {stderr.strip()}" if stderr.strip() else ""
        self._end(f"{how}{said}")

    def _end(self, how: str) -> None:
        """It is not there any more. The machine stays as it left it: nobody makes it go on."""
        ended = "the debugger is closed" if self._closing else f"gdb {how}"
        with self._channel.changing():
            self.gone = self.gone or partial(DebuggerError, ended)
        if not self._closing:
            self._channel.halt(self.gone)

    # What goes out. In the caller's thread.

    @property
    def pid(self) -> int:
        """gdb's process id."""
        return self._child.pid

    def execute(self, command: str, timeout: Timeout = None) -> tuple[dict[str, Any], str]:
        """Execute an MI command: its result, and what it printed for people.

        Raises DebuggerError when gdb refuses it or is gone, and what ends a wait.
        """
        result, text = self.execute_all([command], timeout)[0]
        return result.payload, text

    def execute_all(
        self, commands: Sequence[str], timeout: Timeout = None
    ) -> list[tuple[Result, str]]:
        """Execute one after the other, without a pause for each one's result.

        One that is refused keeps none behind it from being executed; the first such is
        raised in the end. Otherwise as `execute`.
        """
        deadline = Deadline.after(timeout)
        awaited = f"gdb's answer to {_shown(commands[-1])}"
        sent = {next(_tokens): command for command in commands}
        entries = {token: _Command() for token in sent}
        try:
            with self._channel.lock:
                self._commands.update(entries)
            lines = [f"{token}{command}" for token, command in sent.items()]
            for line in lines:
                self._channel.journal.note("mi", ">", line)
            self._send("".join(f"{line}\n" for line in lines).encode(), awaited, deadline)
            fact = partial(self._all_answered, entries.values(), awaited)
            self._channel.await_fact(fact, awaited, deadline, needs=Needs.PROCESS)
        finally:
            with self._channel.lock:
                for token in entries:  # Ctrl-C may have come before they were there
                    self._commands.pop(token, None)
        return [_outcome(sent[token], entry) for token, entry in entries.items()]

    def require(self, awaited: str) -> None:
        """Raise DebuggerError if gdb is gone: nothing of the machine can be awaited then."""
        if self.gone is not None:
            raise self.gone(awaited, self._channel.seen())

    def _all_answered(self, entries: Collection[_Command], awaited: str) -> bool | None:
        if any(entry.result is None for entry in entries):
            self.require(awaited)
            return None
        return True

    def _send(self, data: bytes, awaited: str, deadline: Deadline) -> None:
        with self._turn:  # a command is one line, whoever else has one
            self._write(data, awaited, deadline)

    def _write(self, data: bytes, awaited: str, deadline: Deadline) -> None:
        """What was begun when Ctrl-C came is ended before anything else is sent."""
        rest = memoryview(self._begun + data)

        def write() -> bool | None:
            nonlocal rest
            self.require(awaited)
            try:
                rest = rest[self._feed.write(rest) or 0 :]
            except BrokenPipeError:
                return None  # its exit says why, in a moment
            return None if rest else True

        try:
            self._channel.await_fact(
                write, awaited, deadline, every=ROOM_CHECK, needs=Needs.PROCESS
            )
        finally:
            own = len(rest) < len(data)
            self._begun = bytes(rest if own else rest[: len(rest) - len(data)])

    def leave(self) -> None:
        """From now on its end, and that of its connection, is no failure."""
        self._closing = True

    def close(self) -> None:
        """End gdb. Closing twice is harmless."""
        self.leave()
        self._owned.close()
