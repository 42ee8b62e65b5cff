"""A program that cannot outlive this process, started from the loop thread.

The kernel kills it when the thread that spawned it ends (PR_SET_PDEATHSIG, also
after a SIGKILL of this process), and that thread is the loop's. Its exit is an
event on a pidfd, its standard error is always drained. What it has started itself,
as a wrapper script does, is ended with it by its process group. The kernel does not
kill that when this process ends: a script has a watcher in its group which does.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from io import FileIO

from .channel import Channel, Intake, Needs, Timeout, on_loop, open_pipe
from .errors import WaitTimeout

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal this process gets when its parent dies; survives execve."""

STDERR_KEPT = 1 << 16
"""Bytes of standard error that are kept, the last ones."""

GRACE = 2.0
"""Seconds, before scaling, for a child to follow a signal before the next, harder one."""

_WATCHER = ("/bin/sh", "-c", "read line; kill -KILL 0")
"""Ends its process group, itself included, when the other end of its input is closed."""

# Looked up and converted here: after a fork there is only the call.
_prctl = ctypes.CDLL(None).prctl
_on_death = ctypes.c_ulong(signal.SIGKILL)


def die_with(parent: int) -> None:
    """In the child, between fork and exec: end it when its parent's thread ends.

    Takes no lock and imports nothing.
    """
    failed = _prctl(PR_SET_PDEATHSIG, _on_death)
    if failed or os.getppid() != parent:  # the parent died before the line above
        os._exit(1)


class Child:
    """A running program. `status` is None until it has ended and was reaped.

    argv           the program and its arguments
    stdin, stdout  descriptors it gets
    fds            more descriptors it inherits, under the same numbers
    exited         called on the loop thread when it has ended, after its last words
                   on standard error were read, with its status and those words, and
                   before `status` and `wait` tell of it

    The status is as in `Popen.returncode`: negative is a signal. Raises OSError if
    the program cannot be started. To be closed by its owner.
    """

    def __init__(
        self,
        channel: Channel,
        argv: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        fds: Sequence[int],
        exited: Callable[[int, str], None],
    ) -> None:
        self.status: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._channel = channel
        self._exited = exited
        self._stderr = bytearray()
        try:
            on_loop(partial(self._start, argv, stdin, stdout, fds))
        except BaseException:  # Ctrl-C: nobody else can close it
            self.close()
            raise

    # On the loop thread.

    def _start(self, argv: Sequence[str], stdin: int, stdout: int, fds: Sequence[int]) -> None:
        with ExitStack() as opening:
            words, stderr = open_pipe(opening)
            process = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=fds,
                process_group=0,  # a Ctrl-C in the terminal is for whoever is in front of it
                preexec_fn=partial(die_with, os.getpid()),
            )
            opening.callback(_end, process)
            stderr.close()  # the child has its own
            if _is_script(argv[0]):
                _watch_over(process, opening)
            self._pidfd = opening.enter_context(FileIO(os.pidfd_open(process.pid)))
            self._words = Intake(words.fileno(), self._hear, lambda: None)
            asyncio.get_running_loop().add_reader(self._pidfd, self._reap, process)
            self._process = process
            self._opened = opening.pop_all()

    def _hear(self, data: bytes) -> None:
        with self._channel.lock:
            self._stderr += data
            del self._stderr[:-STDERR_KEPT]

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        _signal_group(process, signal.SIGKILL)  # or it goes on writing
        self._words.drain()
        self._words.close()
        status = _end(process)
        self._opened.close()
        try:
            self._exited(status, self.stderr)
        finally:  # last: whoever sees the status finds that it was reported
            with self._channel.changing():
                self.status = status

    def _signal(self, number: int) -> bool:
        """Whether there was anything to signal: once it is reaped the pid may be another's."""
        if self._process is None or self.status is not None:
            return False
        _signal_group(self._process, number)
        return True

    # In the caller's thread.

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None  # it was started, or there is no such object
        return self._process.pid

    @property
    def stderr(self) -> str:
        """What it wrote to standard error: the last STDERR_KEPT bytes."""
        with self._channel.lock:
            return self._stderr.decode("utf-8", "replace")

    def wait(self, timeout: Timeout = None) -> int:
        """Wait for its end and return its status as `Popen.returncode` has it.

        Raises WaitTimeout.
        """
        return self._channel.await_fact(
            lambda: self.status, f"the end of process {self.pid}", timeout, needs=Needs.NOTHING
        )

    def close(self) -> None:
        """End it and all of its process group: SIGTERM, then SIGKILL.

        Afterwards it is reaped and nothing is open. Closing twice is harmless. After a
        fork it does nothing in the child: the program goes on for the parent.
        """
        if self._channel.inherited is not None:
            return
        try:
            if on_loop(partial(self._signal, signal.SIGTERM)):
                with suppress(WaitTimeout):  # it does not listen: the next one is for that
                    self.wait(GRACE)
        finally:
            if on_loop(partial(self._signal, signal.SIGKILL)):
                self.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal all of its process group, which is its own until it is reaped."""
    with suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, number)


def _is_script(program: str) -> bool:
    with suppress(OSError), open(shutil.which(program) or program, "rb") as file:
        return file.read(2) == b"#!"
    return False


def _watch_over(process: subprocess.Popen[bytes], owner: ExitStack) -> None:
    """Start a watcher in the process's group, whose input only this process holds open."""
    with ExitStack() as opening:
        source, _ = open_pipe(opening)
        nowhere = subprocess.DEVNULL
        watcher = subprocess.Popen(
            _WATCHER, stdin=source, stdout=nowhere, stderr=nowhere, process_group=process.pid
        )
        source.close()
        owner.callback(watcher.wait)
        owner.push(opening.pop_all())  # closed first: that ends it, if nothing else has


def _end(process: subprocess.Popen[bytes]) -> int:
    """Kill what is left of its group, itself included, and reap it."""
    _signal_group(process, signal.SIGKILL)
    return process.wait()
