"""The one event loop, and the one way to wait.

Every wire of every machine is read on one thread that runs an asyncio loop and
lives as long as the process; children are spawned from it too, because
PR_SET_PDEATHSIG follows the thread that spawned. A `Channel` gathers what is
heard from one machine. Whoever changes something there says so (`changing`),
and whoever waits looks again at the fact it waits for (`await_fact`). No other
module waits, and none sleeps.

    loop thread                            caller's thread
    bytes, events, exits
      with channel.changing(): ...  --->   await_fact(fact, "the reply", 30)
      channel.halt / channel.finish --->     raises why the fact cannot come
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import Enum
from functools import partial
from io import FileIO
from typing import Any, TypeVar
from weakref import WeakSet

from .errors import ChannelClosed, HarnessError, WaitTimeout
from .journal import Journal
from .loop import DEFAULT_TIMEOUT as DEFAULT_TIMEOUT
from .loop import SCALE_VARIABLE as SCALE_VARIABLE
from .loop import Deadline as Deadline
from .loop import Timeout as Timeout
from .loop import on_loop as on_loop
from .loop import the_loop

T = TypeVar("T")

EXPLANATION = 2.0
"""Seconds, before scaling, within which an exit explains why a wire was hung up."""

PIPE_READ = 1 << 16
"""Bytes read at once: what a Linux pipe holds (pipe(7))."""

REST = 0.001
"""Seconds a wire is left alone after a read when nobody is in a hurry for what it says."""

DRAINED = 1 << 20
"""Bytes after which a drain has what was there: more than any wire holds."""

Ending = Callable[[str, Sequence[str]], HarnessError]
"""Makes the error for a wait that has become pointless, from `awaited` and `seen`."""


class Needs(Enum):
    """What a wait needs to have any prospect; it ends when that is gone."""

    FIRMWARE = "running firmware"
    PROCESS = "a running emulator"
    NOTHING = "only time"


class Channel:
    """What is heard from one machine, and why it will not be heard any more.

    A machine can end in two ways. It is *halted* when its firmware gave up or was
    reset: nothing will come from it until it is restored, but it can be looked
    at. It is *finished* when the process is gone or a wire was hung up.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        """Held by whoever copies a structure that the loop changes."""
        self.turn = threading.RLock()
        """Held by whoever stops the machine, lets it run, saves or restores it, until that is
        done: two restores at once crash the emulator. Whoever holds it has a deadline."""
        self._bell = threading.Condition(self.lock)
        self.seen: Callable[[], Sequence[str]] = tuple
        """Gives the last lines seen, for the message of an error; the console sets it."""
        self.standing = False
        """Whether the emulator last said that the machine is stopped."""
        self.watched = False
        """Whether there ever was a watchpoint: `Debugger.watchpoint` says what that leaves."""
        self.journal = Journal()
        """Gets what every wire carries, for whoever has to explain a failure later."""
        self._heard = 0
        self._halted: Ending | None = None
        self._finished: Ending | None = None
        self.inherited: Ending | None = None
        """Set after a fork, in the child: what its parent's machine is not good for."""
        _channels.add(self)

    def disown(self) -> None:
        """After a fork, in the child: the machine is the parent's, the locks are nobody's."""
        self.lock, self.turn = threading.RLock(), threading.RLock()
        self._bell = threading.Condition(self.lock)
        why = f"the machine is of process {os.getppid()}, which this one was forked from"
        self.inherited = partial(ChannelClosed, why)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change what facts look at, then have everyone who waits look again."""
        with self._bell:
            yield
            self._heard += 1
            self._bell.notify_all()

    def halt(self, ending: Ending) -> None:
        """From now on every wait for the firmware ends with this; the first one counts."""
        with self.changing():
            self._halted = self._halted or ending

    def resume(self) -> None:
        """The machine was restored: what had halted it did not happen."""
        with self.changing():
            self._halted = None

    def finish(self, ending: Ending) -> None:
        """From now on every wait ends with this; the first one counts."""
        with self.changing():
            self._finished = self._finished or ending

    def hung_up(self, wire: str, why: Ending | None = None) -> None:
        """A wire was closed at its other end, or `why` it is of no use (loop thread only).

        An exit closes the wires too, and says more: it has a moment to be noticed.
        """
        ending = why or partial(ChannelClosed, f"the {wire} was hung up")
        asyncio.get_running_loop().call_later(
            Deadline.after(EXPLANATION).seconds, self.finish, ending
        )

    def _ending(self, needs: Needs) -> Ending | None:
        if needs is Needs.NOTHING:
            return None
        return self._finished or (self._halted if needs is Needs.FIRMWARE else None)

    def await_fact(
        self,
        fact: Callable[[], T | None],
        awaited: str,
        timeout: Timeout = None,
        *,
        every: float | None = None,
        needs: Needs = Needs.FIRMWARE,
    ) -> T:
        """Wait until `fact()` is not None, and return what it gave.

        fact     looked at in the caller's thread, after every change
        awaited  the fact in words, for the error
        every    seconds between looks at what announces nothing (a word in RAM)
        needs    what must be there for the fact to come true

        Raises WaitTimeout when the time is over, and at once what else ended it:
        QemuDied, ChannelClosed, FirmwarePanic, MachineReset.
        """
        deadline = Deadline.after(timeout)
        self._require_own(awaited)
        while True:
            heard = self._heard
            ending = self._ending(needs)
            if (value := fact()) is not None:  # what came before the end still counts
                return value
            if ending is not None:
                raise ending(awaited, self.seen())
            if (left := deadline.left) == 0:
                stands = self.standing and needs is Needs.FIRMWARE
                raise WaitTimeout(awaited, deadline.seconds, self.seen(), standing=stands)
            self._listen(heard, left if every is None else min(left, every))

    def _require_own(self, awaited: str) -> None:
        """Before anything is touched that the parent of a fork goes on using."""
        if self.inherited is not None:
            raise self.inherited(awaited, self.seen())

    def _ring(self) -> None:
        with self.changing():
            pass

    def _listen(self, heard: int, seconds: float) -> None:
        with self._bell:
            self._bell.wait_for(lambda: self._heard != heard, seconds)

    def run(
        self,
        work: Coroutine[Any, Any, T],
        awaited: str,
        timeout: Timeout = None,
        *,
        needs: Needs = Needs.PROCESS,
    ) -> T:
        """Run `work` on the loop and give or raise what it does; arguments as above.

        When the wait fails the work is cancelled.
        """
        try:
            self._require_own(awaited)
            future = asyncio.run_coroutine_threadsafe(work, the_loop())
        except BaseException:
            work.close()
            raise
        future.add_done_callback(lambda _: self._ring())
        try:
            self.await_fact(lambda: future.done() or None, awaited, timeout, needs=needs)
        finally:
            future.cancel()
        return future.result()


class Waiting:
    """What has a channel, and lets its users wait there."""

    channel: Channel

    def await_fact(
        self,
        fact: Callable[[], T | None],
        awaited: str,
        timeout: Timeout = None,
        every: float | None = None,
    ) -> T:
        """Wait for a fact that the running firmware brings about; see `Channel.await_fact`."""
        return self.channel.await_fact(fact, awaited, timeout, every=every)


_channels: WeakSet[Channel] = WeakSet()


def _after_fork() -> None:
    """In the child: what was inherited is the parent's, and stays as it is."""
    for channel in _channels:
        channel.disown()


os.register_at_fork(after_in_child=_after_fork)


def open_pipe(owner: ExitStack) -> tuple[FileIO, FileIO]:
    """A pipe's reading and writing end; `owner` closes what is still open."""
    reading, writing = os.pipe()
    return owner.enter_context(FileIO(reading)), owner.enter_context(FileIO(writing, "w"))


class Intake:
    """Reads a descriptor, which stays its owner's, as fast as it fills.

    take    gets the bytes
    closed  is called once, when the other end has hung up
    calm    whether it may rest after a read: otherwise a port that is written to character
            by character wakes the loop for each, and the writer pays for that

    All of it belongs to the loop thread.
    """

    def __init__(
        self,
        fd: int,
        take: Callable[[bytes], None],
        closed: Callable[[], None],
        calm: Callable[[], bool] = lambda: False,
    ) -> None:
        self._fd = fd
        self._take = take
        self._closed = closed
        self._calm = calm
        self._open = True
        os.set_blocking(fd, False)
        self._listen()

    @classmethod
    def owned(
        cls,
        owner: ExitStack,
        fd: int,
        take: Callable[[bytes], None],
        closed: Callable[[], None],
        calm: Callable[[], bool] = lambda: False,
    ) -> Intake:
        """One that `owner` closes. From any thread, whatever Ctrl-C interrupts."""

        def begin() -> Intake:
            intake = cls(fd, take, closed, calm)
            owner.callback(on_loop, intake.close)
            return intake

        return on_loop(begin)

    def _listen(self) -> None:
        if self._open:
            asyncio.get_running_loop().add_reader(self._fd, self._take_what_came)

    def _take_what_came(self) -> None:
        calm = self._calm()
        self._take_until(PIPE_READ)  # there may be more: each turn of the loop has its price
        if calm and self._open:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._fd)
            loop.call_later(REST, self._listen)

    def _read(self) -> int:
        """Read once; how many bytes there were."""
        try:
            data = os.read(self._fd, PIPE_READ)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose other end hung up
                raise
            data = b""
        if data:
            self._take(data)
        else:
            self.close()
            self._closed()
        return len(data)

    def drain(self) -> None:
        """Take all that is there now; not all that comes meanwhile, which may never end."""
        self._take_until(DRAINED)

    def _take_until(self, enough: int) -> None:
        taken = 0
        while self._open and taken < enough and (count := self._read()):
            taken += count

    def close(self) -> None:
        """Stop reading. Closing twice is harmless."""
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._fd)
