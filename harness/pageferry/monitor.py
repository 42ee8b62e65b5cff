"""QEMU's monitor: commands, events and jobs over QMP, on the one loop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import count
from typing import Any, TypeVar

from qemu.qmp import (
    ConnectError,
    ExecInterruptedError,
    ExecuteError,
    Message,
    QMPClient,
    QMPError,
    Runstate,
    StateError,
)

from .address import HPA
from .channel import Channel, Deadline, Needs, Timeout
from .child import GRACE
from .errors import HarnessError, MemoryUnreadable, MonitorError, ProtocolError
from .journal import Journal

SHOWN = 80
"""Characters of the human monitor's lines that an error shows."""

EVENTS_KEPT = 200
"""Events that `Monitor.events` gives, the last ones."""

Event = Mapping[str, Any]
"""A QMP event as QEMU sends it: "event" is its name, "data" what it says."""

T = TypeVar("T")

_MEMBERS: dict[str, dict[str, type]] = {
    "JOB_STATUS_CHANGE": {"id": str, "status": str},
    "RESET": {"guest": bool, "reason": str},
    "SHUTDOWN": {"guest": bool, "reason": str},
}
"""What the data of an event has, of what is read here (QEMU's qapi/job.json, run-state.json)."""

_HUMAN = "human-monitor-command"

_RAM_RANGE = re.compile(r"^ +([0-9a-f]+)-([0-9a-f]+) \(prio -?\d+, (?:ram|rom|romd)\)", re.M)
"""A line of `info mtree -f` for memory that can be read: first and last address."""


class _Client(QMPClient):
    """The library's, without what it prepares for its log: every message, indented, which
    takes longer than to send it."""

    def _cb_outbound(self, msg: Message) -> Message:
        return msg

    def _cb_inbound(self, msg: Message) -> Message:
        return msg


class Monitor:
    """A QMP connection over a socket pair, of which QEMU gets the `far_end`.

    Who has given it away closes it here, or nobody notices when QEMU hangs up. `heard`
    gets every event, on the loop thread. To be closed by its owner.
    """

    def __init__(self, channel: Channel, heard: Callable[[Event], None]) -> None:
        self._channel = channel
        self._wire, self.far_end = socket.socketpair()
        self._heard = heard
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._jobs: dict[str, str] = {}
        self._names = (f"job{number}" for number in count(1))
        self._client = _Client("pageferry")
        self._client.logger = _quiet_logger(channel.journal)
        self._client.events.event_filter = self._hear
        self._shaking_hands: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None

    def connect(self, timeout: Timeout = None) -> None:
        """Shake hands. Raises what ends a wait; QEMU may be on its way out."""
        self._channel.run(self._connect(), "the monitor's greeting", timeout)

    async def _connect(self) -> None:
        self._shaking_hands = asyncio.create_task(self._client.connect(self._wire))
        # Not to be cancelled half-way: the library takes that for a bug of its own.
        await asyncio.wait([self._shaking_hands])
        if error := self._shaking_hands.exception():
            self._lose(error.exc if isinstance(error, ConnectError) else error)
            await asyncio.Future()  # until the wait has its own end, which says why
        self._watch = asyncio.create_task(self._watch_wire())

    async def _watch_wire(self) -> None:
        while self._client.runstate is Runstate.RUNNING:
            await self._client.runstate_changed()
        self._lose(await self._disconnect())

    async def _disconnect(self) -> BaseException | None:
        """Why there is no connection any more: what the library's reader met, of any kind."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._client.disconnect())
        await asyncio.wait([self._leaving])
        return self._leaving.exception()

    def _lose(self, why: BaseException | None) -> None:
        ended = why is None or isinstance(why, EOFError | OSError)
        garbled = partial(ProtocolError, f"the monitor spoke no QMP: {why!r}")
        self._channel.hung_up("monitor", None if ended else garbled)

    def _hear(self, event: Message) -> bool:
        """The client's filter of events: none is kept there, where nothing is bounded."""
        data = event.get("data", {})
        needed = _MEMBERS.get(str(event["event"]), {})
        if not isinstance(data, dict) or not all(
            isinstance(data.get(name), kind) for name, kind in needed.items()
        ):
            self._channel.finish(partial(ProtocolError, f"the monitor sent no event: {event!r}"))
            return False
        with self._channel.changing():
            self._events.append(event)
            self._note("<", event)
            if event["event"] == "JOB_STATUS_CHANGE":
                self._jobs[data["id"]] = data["status"]
        self._heard(event)
        return False

    @property
    def events(self) -> tuple[Event, ...]:
        """The last events, oldest first."""
        with self._channel.lock:
            return tuple(self._events)

    def execute(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        timeout: Timeout = None,
        *,
        needs: Needs = Needs.PROCESS,
    ) -> Any:
        """Execute a QMP command and return its answer, also on a halted machine.

        Raises MonitorError when QEMU refuses it, and what ends a wait.
        """
        work = self._execute(command, arguments)
        awaited = f"the monitor's answer to {command}"
        return self._channel.run(work, awaited, timeout, needs=needs)

    async def _execute(self, command: str, arguments: Mapping[str, object] | None) -> object:
        self._note(">", {"execute": command, "arguments": dict(arguments or {})})
        try:
            answer = await self._client.execute(command, arguments)
            self._note("<", {"return": answer})
            return answer
        except ExecuteError as error:
            self._note("<", {"error": str(error)})
            raise MonitorError(f"{command} {dict(arguments or {})}: {error}") from error
        except (ExecInterruptedError, StateError):
            return await asyncio.Future()  # until the wait has its own end, which says why
        except QMPError as error:
            raise ProtocolError(f"the monitor's answer to {command} is none: {error}") from error

    def _note(self, way: str, message: Mapping[str, object]) -> None:
        self._channel.journal.note("qmp", way, json.dumps(message, default=dict))

    def human(self, command: str, timeout: Timeout = None) -> str:
        """Execute a line of the human monitor and return what it prints, errors included."""
        return self.human_all([command], timeout)[0]

    def human_all(
        self, commands: Sequence[str], timeout: Timeout = None, *, stopped: bool = False
    ) -> list[str]:
        """The same of many lines, with no pause for each one's answer.

        stopped  whether all CPUs are stopped before the first of them
        """
        lines = [(_HUMAN, {"command-line": command}) for command in commands]
        work = self._execute_all([*([("stop", None)] * stopped), *lines])
        awaited = f"the monitor's answer to {_HUMAN} {', '.join(commands)[:SHOWN]}"
        answers = self._channel.run(work, awaited, timeout)[stopped:]
        return [
            _of_kind(answer, str, f"{_HUMAN} {command}")
            for command, answer in zip(commands, answers, strict=True)
        ]

    async def _execute_all(
        self, commands: Iterable[tuple[str, Mapping[str, object] | None]]
    ) -> Sequence[object]:
        return await asyncio.gather(*(self._execute(*command) for command in commands))

    def member(self, query: str, name: str, kind: type[T], timeout: Timeout = None) -> T:
        """A member of the answer to a query. ProtocolError if there is none of that kind."""
        answer = _of_kind(self.execute(query, None, timeout), dict, query)
        return _of_kind(answer.get(name), kind, f"{query}, {name!r},")

    def run_job(
        self, command: str, arguments: Mapping[str, object], timeout: Timeout = None
    ) -> None:
        """Execute a command that starts a job, and wait until the job has ended.

        Raises MonitorError with the job's own error when it fails.
        """
        deadline = Deadline.after(timeout)
        name = next(self._names)
        self.execute(command, {"job-id": name, **arguments}, deadline)
        self._channel.await_fact(
            lambda: self._jobs.get(name) == "concluded" or None,
            f"the end of the monitor's job {command}",
            deadline,
            needs=Needs.PROCESS,
        )
        jobs = _of_kind(self.execute("query-jobs", None, deadline), list, "query-jobs")
        self.execute("job-dismiss", {"id": name}, deadline)
        del self._jobs[name]
        ours = (job for job in jobs if _of_kind(job, dict, "query-jobs").get("id") == name)
        error = next((job.get("error") for job in ours), None)
        if error is not None:
            raise MonitorError(f"{command} {dict(arguments)}: {error}")

    def close(self) -> None:
        """Hang up. To be called once, also when `connect` failed or was never called.

        It raises nothing of its own: whoever closes may have a better error on its way.
        """
        if self._channel.inherited is not None:  # the connection goes on for the parent
            self.far_end.close()
            self._wire.close()
            return
        with suppress(HarnessError):
            self._channel.run(self._close(), "the monitor's end", GRACE, needs=Needs.NOTHING)

    async def _close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self.far_end.close()
        with closing(self._wire):
            with suppress(OSError):  # the other end hung up first
                self._wire.shutdown(socket.SHUT_RDWR)  # or the library waits for the other end
            if self._shaking_hands is not None:
                await asyncio.wait([self._shaking_hands])
                self._shaking_hands.exception()
            await self._disconnect()


class _Noting(logging.Handler):
    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        self._journal.note("qmp", "#", record.getMessage())


def _quiet_logger(journal: Journal) -> logging.Logger:
    """For the library: what it complains of is raised here too, and no news to a terminal."""
    logger = logging.Logger("qmp", logging.WARNING)  # a child of none, so that nobody else hears
    logger.addHandler(_Noting(journal))
    return logger


def _of_kind(answer: object, kind: type[T], what: str) -> T:
    """What QMP may be odd in, and its users are not."""
    if not isinstance(answer, kind):
        raise ProtocolError(f"the monitor's answer to {what} is no {kind.__name__}: {answer!r}")
    return answer


class MonitorMemory:
    """Physical memory as the monitor reads it: for what is not in the RAM file.

    spool   a file that QEMU has inherited under the same number, to hand bytes over

    Every read asks first what is memory, which takes longer than the bytes. It cannot
    write: neither QMP nor the human monitor has a command for that.
    """

    def __init__(self, monitor: Monitor, spool: int) -> None:
        self._monitor = monitor
        self._spool = spool

    def read(self, address: HPA, length: int) -> bytes:
        """The `length` bytes from `address` on. Raises MemoryUnreadable, and as `execute`.

        What is no memory is not given as zeros, as pmemsave does.
        """
        self._require(address, length)
        name = f"/proc/self/fd/{self._spool}"
        self._monitor.execute("pmemsave", {"val": address, "size": length, "filename": name})
        data = os.pread(self._spool, length, 0)
        if len(data) != length:
            raise MemoryUnreadable(address, length, f"the monitor gave {len(data)} bytes")
        return data

    def write(self, address: HPA, data: bytes) -> None:
        """Raises MemoryUnreadable: the monitor has no way to do it."""
        raise MemoryUnreadable(address, len(data), "the monitor cannot write memory")

    def _require(self, address: HPA, length: int) -> None:
        """Every byte asked for is in some range of RAM or ROM."""
        here = int(address)
        for first, last in self._ranges():
            if first <= here <= last:
                here = last + 1
        if length <= 0 or here < address + length:
            raise MemoryUnreadable(address, length, f"the machine has no memory at {here:#x}")

    def _ranges(self) -> list[tuple[int, int]]:
        """First and last addresses, sorted, of the memory the CPUs see."""
        said = self._monitor.human("info mtree -f")
        view = next((it for it in said.split("FlatView #") if ' AS "memory"' in it), None)
        if view is None:
            raise ProtocolError(f"the monitor shows no memory of the CPUs: {said!r}")
        return sorted((int(first, 16), int(last, 16)) for first, last in _RAM_RANGE.findall(view))
