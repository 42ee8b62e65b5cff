"""What tests run on: a machine of our own, or one that is there and only reached.

    capability   QEMU   remote
    console      yes    yes      a serial line
    debugger     yes    yes      a gdb server
    memory       yes    yes      remote: by the debugger, which stops the machine for it
    monitor, snapshot, shared-ram, icount, plugin: QEMU only

A remote machine is put back to its start by a reset, which takes a command that its gdb
server knows.
"""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import Callable
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Self, TypeVar

from .address import HPA
from .arch import Arch
from .channel import Channel, Deadline, Timeout
from .console import Console
from .debugger import Debugger
from .errors import ChannelClosed, ImageError, TargetLacks
from .image import Image
from .machine import RAM
from .memory import PhysicalMemory

T = TypeVar("T")

AGAIN = 0.5
"""Seconds, before scaling, after which a request is sent again over a serial line."""

RESET = "monitor system_reset"
"""QEMU's gdb server resets its machine by this; OpenOCD's by "monitor reset halt"."""

_LACKING = {
    **dict.fromkeys(("monitor", "monitor_memory", "qemu_version"), "monitor"),
    **dict.fromkeys(("snapshot", "drop_snapshot", "restore", "snapshot_file"), "snapshot"),
    **dict.fromkeys(("pid", "command"), "process"),
}
"""What a `Machine` has besides, and the name of the capability that it needs."""


class PausingMemory:
    """`PhysicalMemory` through a debugger: a running machine is stopped for each access."""

    def __init__(self, connect: Callable[[], Debugger]) -> None:
        self._connect = connect

    def read(self, address: HPA, length: int) -> bytes:
        """The `length` bytes from `address` on. Raises MemoryUnreadable, DebuggerError."""
        return self._paused(lambda memory: memory.read(address, length))

    def write(self, address: HPA, data: bytes) -> None:
        """Put `data` at `address`. Raises MemoryUnreadable, DebuggerError."""
        self._paused(lambda memory: memory.write(address, data))

    def _paused(self, access: Callable[[PhysicalMemory], T]) -> T:
        debugger = self._connect()
        if not debugger.running:
            return access(debugger.memory)
        debugger.interrupt()
        try:
            return access(debugger.memory)
        finally:
            debugger.cont()


class Remote:
    """A machine reached only by a serial line and a gdb server, as `Machine` is used.

    arch    what it is
    kernel  ELF file that it boots
    serial  the line's device, or a pseudo-terminal
    gdb     its gdb server, HOST:PORT
    reset   the gdb command that starts it again, stopped or running; see RESET
    ram     bytes of its RAM
    baud    of the line

    Entering resets it and leaves it stopped. Raises ChannelClosed for a line that cannot
    be opened, DebuggerError for a server that does not answer, ImageError.
    """

    icount = False

    def __init__(
        self,
        arch: Arch,
        kernel: Path | str,
        *,
        serial: Path | str,
        gdb: str,
        reset: str = RESET,
        ram: int = RAM,
        baud: int = 115200,
    ) -> None:
        self.arch = arch
        self.kernel = Path(kernel)
        self.ram = ram
        self._serial = serial
        self._gdb = gdb
        self._reset = reset
        self._baud = baud
        self._owned = ExitStack()

    def __enter__(self) -> Self:
        self.image = Image.load(self.kernel)
        if self.image.machine != self.arch.name:
            raise ImageError(f"{self.kernel} is for {self.image.machine}, not {self.arch.name}")
        with ExitStack() as owned:
            self.channel = Channel()
            line = owned.enter_context(open_serial(self._serial, self._baud))
            self.console = Console(self.channel, None, line)
            owned.callback(self.console.close)
            self.console.again = Deadline.after(AGAIN).seconds
            self._debugger = self._connect()
            owned.callback(lambda: self._debugger.close())
            self.memory = PausingMemory(self.debugger)
            self.cpus = len(self._debugger.cpus)
            self._start_again(Deadline.after(None))
            self._owned = owned.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let it run and leave it. Closing twice is harmless."""
        self._owned.close()

    def __getattr__(self, name: str) -> object:
        if name in _LACKING:
            raise TargetLacks(_LACKING[name])
        raise AttributeError(f"a remote machine has no {name}")

    def await_fact(
        self,
        fact: Callable[[], T | None],
        awaited: str,
        timeout: Timeout = None,
        every: float | None = None,
    ) -> T:
        """Wait for a fact that the running firmware brings about; see `Channel.await_fact`."""
        return self.channel.await_fact(fact, awaited, timeout, every=every)

    def stop(self) -> None:
        """Stop all CPUs."""
        self.debugger().interrupt()

    def cont(self) -> None:
        """Let all CPUs run."""
        self.debugger().cont()

    def debugger(self) -> Debugger:
        """gdb, connected to this machine as long as it is open; again, if it was closed."""
        if self._debugger.closed:
            self._debugger = self._connect()
            self._debugger.cont()
        return self._debugger

    def _connect(self) -> Debugger:
        base = self.arch.ram_base
        return Debugger(self.channel, self.kernel, self._gdb, base=base, size=self.ram)

    def restart(self, timeout: Timeout = None) -> None:
        """Start it again and let it run. What was written before is not seen afterwards."""
        self._start_again(Deadline.after(timeout))
        self.cont()

    def _start_again(self, deadline: Deadline) -> None:
        debugger = self.debugger()
        debugger.take_control(deadline)
        debugger.command(self._reset, deadline)
        debugger.forget()
        self.console.begin_epoch()
        self.channel.resume()


def open_serial(path: Path | str, baud: int) -> FileIO:
    """A serial line, raw: every byte as it is. Raises ChannelClosed if it cannot be opened."""
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise ValueError(f"{baud} is no speed of a serial line")
    try:
        line = FileIO(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK), "r+")
    except OSError as error:
        raise ChannelClosed(f"the serial line {path} cannot be opened: {error.strerror}") from error
    try:
        tty.setraw(line.fileno())
        settings = termios.tcgetattr(line)
        settings[4] = settings[5] = speed
        termios.tcsetattr(line, termios.TCSANOW, settings)
        termios.tcflush(line, termios.TCIOFLUSH)
    except termios.error as error:
        line.close()
        raise ChannelClosed(f"{path} is no serial line: {error}") from error
    return line
