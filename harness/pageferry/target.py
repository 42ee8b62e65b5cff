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
import re
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import Self, TypeVar

from .address import HPA
from .arch import Arch, WayOut
from .channel import Channel, Deadline, Timeout, Waiting, on_loop
from .console import Console
from .debugger import Debugger
from .errors import ChannelClosed, DebuggerError, ImageError, TargetLacks
from .image import Image
from .machine import RAM
from .memory import PhysicalMemory

T = TypeVar("T")

AGAIN = 0.5
"""Seconds, before scaling, after which a request is sent again over a serial line."""

ASK_AGAIN = 2.0
"""Seconds after which a board is asked again to stop. One that has answered meanwhile, over a
slow line, may take that for an interruption of its own: OpenOCD tells its next stop as one."""

RESET = "monitor system_reset"
"""QEMU's gdb server resets its machine by this; OpenOCD's by "monitor reset halt"."""

_LACKING = {
    **dict.fromkeys(("monitor", "monitor_memory", "qemu_version"), "monitor"),
    **dict.fromkeys(("snapshot", "drop_snapshot", "restore", "snapshot_file"), "snapshot"),
    **dict.fromkeys(("pid", "command", "announce"), "process"),
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
        with standing(debugger):
            return access(debugger.memory)


@contextmanager
def standing(debugger: Debugger) -> Iterator[None]:
    """Have the machine stand still meanwhile, if it runs. From a stop that came just then by
    itself it does not go on: somebody waits for that."""
    goes_on = debugger.running and debugger.interrupt().interrupted
    try:
        yield
    finally:
        if goes_on:
            debugger.cont()


class Remote(Waiting):
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
        self._debugger: Debugger | None = None

    def __enter__(self) -> Self:
        self.image = Image.load(self.kernel)
        if self.image.kind != (right := f"ELF64 for {self.arch.name}"):
            raise ImageError(f"{self.kernel} is {self.image.kind}, not {right}")
        try:
            on_loop(self._open)  # where no Ctrl-C comes half-way
            self._owned.callback(self._leave)
            self._debugger = self._connect()
            self.memory = PausingMemory(self.debugger)
            self.cpus = len(self._debugger.cpus)
            self._start_again(Deadline.after(None))
            return self
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        """On the loop thread: the line."""
        self.channel = Channel()
        line = self._owned.enter_context(open_serial(self._serial, self._baud))
        self.console = Console(self.channel, None, line)
        self._owned.callback(self.console.close)
        self.console.again = Deadline.after(AGAIN).seconds

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let it run and leave it. Closing twice is harmless."""
        self._owned.close()

    def _leave(self) -> None:
        if self._debugger is not None:
            self._debugger.close()

    def __getattr__(self, name: str) -> object:
        if name in _LACKING:
            raise TargetLacks(_LACKING[name])
        raise AttributeError(f"a remote machine has no {name}")

    @property
    def runs(self) -> bool:
        """Whether the CPUs run, as far as gdb knows."""
        return self.debugger().running

    def stop(self) -> None:
        """Stop all CPUs."""
        self.debugger().interrupt()

    def looking(self) -> AbstractContextManager[None]:
        """For much that is read: it is stopped once, and not each time."""
        return standing(self.debugger())

    def cont(self) -> None:
        """Let all CPUs run."""
        self.debugger().cont()

    def debugger(self) -> Debugger:
        """gdb, connected to this machine as long as it is open; again, if it was closed."""
        if self._debugger is None or self._debugger.closed:
            self._debugger = self._connect()
            self._debugger.cont()
        return self._debugger

    def release_debugger(self) -> None:
        """End gdb for another one to come, as its server serves one; the machine stays as it is."""
        if self._debugger is not None:
            self._debugger.kill()

    def listen_for_debugger(self) -> str:
        """What gdb's `target remote` takes."""
        return self._gdb

    def _connect(self) -> Debugger:
        base = self.arch.ram_base
        return Debugger(
            self.channel, self.kernel, self._gdb, base=base, size=self.ram, ask_again=ASK_AGAIN
        )

    def restart(self, timeout: Timeout = None) -> None:
        """Start it again and let it run. What was written before is not seen afterwards."""
        self._start_again(Deadline.after(timeout))
        self.cont()

    def _start_again(self, deadline: Deadline) -> None:
        debugger = self.debugger()
        debugger.take_control(deadline)
        if self._reset == RESET and self.arch.way_out:
            leave_guests(debugger, self.arch.way_out, deadline)
        debugger.command(self._reset, deadline)
        debugger.forget()
        self.console.begin_epoch()
        self.channel.resume()


def leave_guests(debugger: Debugger, out: WayOut, deadline: Deadline) -> None:
    """Have each CPU trap that is in a guest, at an instruction put before it.

    QEMU 7.2 resets a hart without its V: it starts in machine mode, and all its interrupts
    are open there (target/riscv: riscv_cpu_reset, riscv_cpu_local_irq_pending). The first
    one comes before the firmware has a stack, and the hart traps for ever.
    """
    registers = debugger.command("monitor info registers -a", deadline).split("CPU#")[1:]
    if len(registers) != len(debugger.cpus):
        raise DebuggerError(f"QEMU tells the registers of {len(registers)} CPUs, not of all")
    inside = [it for it, cpu in debugger.cpus.items() if re.search(out.inside, registers[cpu])]
    debugger.command("set scheduler-locking on", deadline)  # or the others enter theirs
    try:
        for thread in inside:
            debugger.command(f"thread {thread}", deadline)
            try:
                debugger.command(f"set *(unsigned int *)$pc = {out.instruction:#x}", deadline)
            except DebuggerError:
                continue  # its code is not there: nothing brings it out
            debugger.step_instruction(deadline)
    finally:
        debugger.command("set scheduler-locking off")


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
