"""One emulated machine: started stopped with its wires connected, ended for certain.

Nothing of it has a path or a port: RAM, snapshots and what the monitor spools are
memfds, the console is two pipes, the monitor a socket pair, all of them inherited.
So nothing can be found by accident and nothing can be left behind.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Self, TypeVar

from .arch import Arch
from .channel import Channel, Deadline, Timeout
from .child import GRACE, Child
from .console import Console
from .errors import (
    ChannelClosed,
    FirmwarePanic,
    HarnessError,
    ImageError,
    MachineReset,
    QemuDied,
    QemuMissing,
)
from .image import Image
from .memory import RamFile
from .monitor import Event, Monitor, MonitorMemory
from .snapshot import Snapshots

T = TypeVar("T")

MIB = 1 << 20

RAM = 32 * MIB
"""Bytes of RAM by default. A snapshot costs what RAM was touched: little is fast."""


class Machine:
    """QEMU with a kernel, from `with` to the end of its block.

    arch        what machine and CPU to emulate
    kernel      ELF file to boot, built for that architecture
    cpus        how many
    icount      count instructions, one a nanosecond; ValueError with several CPUs
    qemu        program to run instead of the architecture's own
    extra_args  more arguments for it
    ram         bytes of RAM
    console_log gets every byte the machine writes to its console

    Entering raises ImageError for a kernel that is none of this architecture,
    QemuMissing, and QemuDied when QEMU refuses its arguments. The machine is then
    stopped before its first instruction; `cont` lets it run.

    When the firmware panics or the machine is reset, it is paused: waits end with
    FirmwarePanic or MachineReset, memory and monitor remain.
    """

    channel: Channel
    image: Image
    memory: RamFile
    console: Console
    monitor: Monitor
    monitor_memory: MonitorMemory

    def __init__(
        self,
        arch: Arch,
        kernel: Path | str,
        *,
        cpus: int = 1,
        icount: bool = False,
        qemu: str | None = None,
        extra_args: Sequence[str] = (),
        ram: int = RAM,
        console_log: Path | None = None,
    ) -> None:
        if icount and (cpus > 1 or not arch.icount):
            raise ValueError("instructions are counted on one CPU only, where QEMU can at all")
        self.arch = arch
        self.kernel = Path(kernel)
        self.ram = ram
        self.cpus = cpus
        self.icount = icount
        self._qemu = qemu or arch.qemu
        self._extra_args = tuple(extra_args)
        self._console_log = console_log
        self._owned = ExitStack()

    def __enter__(self) -> Self:
        self.image = Image.load(self.kernel)
        if self.image.machine != self.arch.name:
            raise ImageError(f"{self.kernel} is for {self.image.machine}, not {self.arch.name}")
        program = shutil.which(self._qemu)
        if program is None:
            package = self._qemu.replace("_", "-")  # Debian's packages provide these names
            raise QemuMissing(f"no program {self._qemu}; Debian has it in {package}")
        with ExitStack() as owned:
            self._start(program, owned)
            self._owned = owned.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Start and end.

    def _start(self, program: str, owned: ExitStack) -> None:
        self._closing = False
        self.channel = Channel()
        log = owned.enter_context(self._console_log.open("wb")) if self._console_log else None
        self.console = Console(self.channel, log)
        owned.callback(self.console.close)
        self.monitor = Monitor(self.channel, self._on_event)
        owned.callback(self.monitor.close)
        spool = owned.enter_context(_memfd("spool"))
        with _memfd("ram") as ram, _memfd("snapshots") as disk:  # QEMU has its own afterwards
            ram.truncate(self.ram)
            self.memory = owned.enter_context(RamFile(ram.fileno(), self.ram, self.arch.ram_base))
            self._child = Child(
                self.channel,
                [program, *self._arguments(ram.fileno())],
                stdin=self.console.source.fileno(),
                stdout=self.console.sink.fileno(),
                fds=[item.fileno() for item in (ram, disk, spool, self.monitor.far_end)],
                exited=self._on_exit,
            )
            owned.callback(self._child.close)
            self._snapshots = Snapshots(self.monitor, disk.fileno())
        self.console.sink.close()
        self.monitor.far_end.close()
        self.monitor_memory = MonitorMemory(self.monitor, spool.fileno())
        self.monitor.connect()
        owned.callback(self._quit)

    def _arguments(self, ram: int) -> list[str]:
        backend = f"memory-backend-file,id=ram,size={self.ram},mem-path=/proc/self/fd/{ram}"
        icount = ["-icount", "shift=0,sleep=off"] if self.icount else []
        return [
            *("-S", "-no-user-config", "-nodefaults", "-display", "none", "-accel", "tcg"),
            *self.arch.machine_args,
            *("-smp", f"{self.cpus},sockets=1,cores={self.cpus},threads=1", *icount),
            *("-m", f"{self.ram}B", "-object", f"{backend},share=on"),
            *("-machine", "memory-backend=ram"),
            *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
            *("-chardev", f"socket,id=monitor,fd={self.monitor.far_end.fileno()}"),
            *("-mon", "chardev=monitor,mode=control"),
            *("-device", "pvpanic"),
            # Whatever happens to the machine, it stays there to be looked at.
            *("-action", "panic=pause,reboot=shutdown,shutdown=pause"),
            *("-kernel", str(self.kernel)),
            *self._extra_args,
        ]

    def _quit(self) -> None:
        """Ask QEMU to end; whoever owns it ends it anyway."""
        self._closing = True
        with suppress(HarnessError):
            self.monitor.execute("quit", timeout=GRACE)
            self._child.wait(GRACE)

    def close(self) -> None:
        """End QEMU and release everything. Closing twice is harmless."""
        self._owned.close()

    # What is heard. On the loop thread.

    def _on_exit(self, status: int, stderr: str) -> None:
        self.console.catch_up()
        if self._closing:
            self.channel.finish(partial(ChannelClosed, "the machine is closed"))
        else:
            self.channel.finish(partial(QemuDied, status, stderr))

    def _on_event(self, event: Event) -> None:
        """A line of the console that explains the event came before it: it is read first."""
        if event["event"] == "GUEST_PANICKED":
            self.console.catch_up()
            self.channel.halt(partial(FirmwarePanic, "it wrote to pvpanic and said nothing"))
        elif event["event"] in ("RESET", "SHUTDOWN") and event["data"]["guest"]:
            self.console.catch_up()
            why = f"the machine stopped by itself: {event['data']['reason']}"
            self.channel.halt(partial(MachineReset, why))

    # What a running machine can do.

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        return self._child.pid

    @property
    def qemu_version(self) -> str:
        """QEMU's version, "7.2.22"."""
        version = self.monitor.execute("query-version")["qemu"]
        return "{major}.{minor}.{micro}".format(**version)

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
        self.monitor.execute("stop")

    def cont(self) -> None:
        """Let all CPUs run."""
        self.monitor.execute("cont")

    def snapshot(self, name: str, timeout: Timeout = None) -> None:
        """Save everything under `name`; a running machine goes on afterwards.

        On x86 no CPU may be in guest mode, or the snapshot cannot be loaded. Raises
        MonitorError.
        """
        self._snapshots.save(name, timeout)

    def restore(self, name: str, timeout: Timeout = None) -> None:
        """Put everything back to what was saved under `name`, and let it run.

        Nothing that was written to the console before, in either direction, is seen
        afterwards, and requests that were not answered never will be. Raises MonitorError,
        after which the machine is in no defined state.
        """
        deadline = Deadline.after(timeout)
        self.stop()
        self.console.recall()
        self._snapshots.load(name, deadline)
        self.console.begin_epoch()
        self.channel.resume()
        self.cont()


def _memfd(name: str) -> FileIO:
    """An empty file in memory, which ends with its last descriptor."""
    return FileIO(os.memfd_create(name), "r+")
