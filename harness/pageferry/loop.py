"""Deadlines, and the one thread that reads every wire.

It runs an asyncio loop and lives as long as the process, from the first time it is
needed; after a fork the child begins one of its own. Ctrl-C is raised in the main
thread and never there: what must not be left half-done is done there.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from selectors import EpollSelector
from typing import NamedTuple, TypeVar

from .errors import HarnessError, WaitTimeout

T = TypeVar("T")

DEFAULT_TIMEOUT = 30.0
"""Seconds a wait lasts at most when its caller names none, before scaling."""

SCALE_VARIABLE = "PAGEFERRY_TIMEOUT_SCALE"
"""The environment variable that scales every timeout, for slow machines."""


@dataclass(frozen=True)
class Deadline:
    """A moment by which several waits must be over. Both fields are in seconds."""

    seconds: float
    moment: float

    @classmethod
    def after(cls, timeout: Timeout) -> Deadline:
        """In `timeout` seconds times the scale; None is DEFAULT_TIMEOUT.

        Raises HarnessError, which names it, for a number that is no such thing.
        """
        if isinstance(timeout, Deadline):
            return timeout
        seconds = DEFAULT_TIMEOUT if timeout is None else timeout
        if not isinstance(seconds, int | float) or not 0 <= seconds < threading.TIMEOUT_MAX:
            raise HarnessError(f"timeout={timeout!r} is no number of seconds to wait")
        return cls.exactly(min(seconds * _scale(), threading.TIMEOUT_MAX / 2))

    @classmethod
    def exactly(cls, seconds: float) -> Deadline:
        """In `seconds`, not scaled: they are what is left of a scaled timeout."""
        return cls(seconds, time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds that remain; never negative."""
        return max(0.0, self.moment - time.monotonic())


Timeout = float | Deadline | None
"""Seconds (scaled), or the deadline of a longer action, or None for the default."""


def _scale() -> float:
    said = os.environ.get(SCALE_VARIABLE, "1")
    try:
        scale = float(said)
    except ValueError:
        scale = 0.0
    if not 0 < scale < float("inf"):
        raise HarnessError(f"{SCALE_VARIABLE}={said!r} is no factor greater than 0, as 1 or 2.5")
    return scale


class _Running(NamedTuple):
    """A loop, its thread, what its thread sleeps on (`fd`), and which files that and what
    wakes it are of, by their descriptors: all that sleep so are of one file."""

    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    fd: int
    files: Mapping[int, tuple[int, int] | None]

    def require_usable(self) -> None:
        """HarnessError if it would never get to a call."""
        if not self.thread.is_alive() or self.loop.is_closed():
            raise HarnessError("the thread of all wires has ended")
        for fd, file in self.files.items():
            if _file_of(fd) != file:
                raise HarnessError(
                    f"the thread of all wires cannot be woken: somebody closed its descriptor {fd}"
                )


def _file_of(fd: int) -> tuple[int, int] | None:
    """Which file an open descriptor is of."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Loop:
    """The loop of this process, started when it is first needed."""

    _lock = threading.Lock()
    _running: _Running | None = None
    _inherited: list[asyncio.AbstractEventLoop] = []  # noqa: RUF012 - of the class on purpose

    @classmethod
    def get(cls) -> asyncio.AbstractEventLoop:
        with cls._lock:
            if cls._running is None:
                try:
                    cls._running = cls._start()
                except (MemoryError, OSError, RuntimeError) as error:
                    raise HarnessError(f"cannot start the thread of all wires: {error}") from error
            cls._running.require_usable()
            return cls._running.loop

    @staticmethod
    def _start() -> _Running:
        selector = EpollSelector()
        fd = selector.fileno()
        loop = asyncio.SelectorEventLoop(selector)
        files = {it: _file_of(it) for it in (fd, *(it.fd for it in selector.get_map().values()))}

        def run() -> None:
            with closing(loop):
                loop.run_forever()

        thread = threading.Thread(target=run, name="pageferry wires", daemon=True)
        try:
            thread.start()
        except (MemoryError, RuntimeError):  # it did not begin
            loop.close()
            raise
        except BaseException:  # Ctrl-C: it may have begun
            loop.call_soon_threadsafe(loop.stop)
            raise
        return _Running(loop, thread, fd, files)

    @classmethod
    def runs_here(cls) -> bool:
        """Whether this is the loop's thread."""
        return cls._running is not None and cls._running.thread is threading.current_thread()

    @classmethod
    def after_fork(cls) -> None:
        """In the child there is no thread for it. It is kept: it shares what it polls."""
        if cls._running is not None:
            cls._inherited.append(cls._running.loop)
        cls._lock, cls._running = threading.Lock(), None


os.register_at_fork(after_in_child=_Loop.after_fork)


def the_loop() -> asyncio.AbstractEventLoop:
    """The loop. HarnessError if its thread cannot be started, and the next call tries again;
    or if it has ended, or somebody closed what wakes it."""
    return _Loop.get()


def on_loop(call: Callable[[], T]) -> T:
    """Run `call`, which must not wait, on the loop thread; give or raise what it does.

    A Ctrl-C meanwhile is raised when the call has ended, or cannot begin any more: what it
    makes must have its owner from within the call, as nobody may get to see the result.
    Raises WaitTimeout when the loop does not get to it, and what `the_loop` does.
    """
    if _Loop.runs_here():
        return call()
    done: Future[T] = Future()
    deadline = Deadline.exactly(DEFAULT_TIMEOUT)  # what is closed is, whatever the scale says

    def run() -> None:
        if done.set_running_or_notify_cancel():
            try:
                done.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                done.set_exception(error)

    try:
        the_loop().call_soon_threadsafe(run)
        with suppress(TimeoutError):  # of the wait: what the call raises is returned here
            done.exception(deadline.left)
    except BaseException:
        _settle(done, deadline)
        raise
    if done.cancel() or not done.done():
        raise WaitTimeout("the thread of all wires to take a call", deadline.seconds)
    return done.result()


def _settle(call: Future[T], deadline: Deadline) -> None:
    """Have the call never begin, or wait for its end, however often Ctrl-C is pressed."""
    while not call.cancel() and not call.done() and deadline.left:
        with suppress(KeyboardInterrupt, TimeoutError):
            call.exception(deadline.left)
