"""One emulated machine: started stopped with its wires connected, ended for certain.

Nothing of it has a path or a port: RAM, snapshots and what the monitor spools are
memfds, the console is two pipes, the monitor a socket pair, all of them inherited.
So nothing can be found by accident and nothing can be left behind.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Self

from .arch import Arch
from .channel import Channel, Deadline, Timeout, Waiting, on_loop
from .child import GRACE, Child
from .console import Console
from .debugger import Debugger, Stub
from .emulator import emulation, find_program
from .errors import (
    ChannelClosed,
    FirmwarePanic,
    HarnessError,
    ImageError,
    MachineReset,
    MonitorError,
    QemuDied,
    QemuMissing,
)
from .image import Image
from .manifest import Manifest, announced, start_time
from .memory import RamFile
from .monitor import Event, Monitor, MonitorMemory
from .recorder import Recorder
from .snapshot import Snapshots

MIB = 1 << 20

RAM = 16 * MIB
"""Bytes of RAM by default. A snapshot costs what RAM was touched: little is fast."""

ICOUNT = ("-icount", "shift=0,sleep=off")
"""Virtual time goes by instructions, one a nanosecond, and not on while all CPUs sleep."""


class Machine(Waiting):
    """QEMU with a kernel, from `with` to the end of its block.

    arch        what machine and CPU to emulate
    kernel      ELF file to boot, built for that architecture
    cpus        how many
    icount      count instructions, one a nanosecond; ValueError with several CPUs
    qemu        program to run instead of the architecture's own
    extra_args  more arguments for it
    ram         bytes of RAM
    console_log gets every byte the machine writes to its console
    manifests   the folder where tools find it while it runs (`manifest.FOLDER`), None:
                they do not
    plugin      the TCG plugin that records what the CPUs do (`recorder`), None: none does

    Entering raises ImageError for a kernel that is none of this architecture,
    QemuMissing, and QemuDied when QEMU refuses its arguments. The machine is then
    stopped before its first instruction; `cont` lets it run.

    When the firmware panics or the machine is reset, it is paused: waits end with
    FirmwarePanic or MachineReset, memory and monitor remain.
    """

    image: Image
    memory: RamFile
    console: Console
    monitor: Monitor
    command: tuple[str, ...]
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
        manifests: Path | None = None,
        plugin: Path | None = None,
    ) -> None:
        if icount and (cpus > 1 or not arch.icount):
            raise ValueError("instructions are counted on one CPU only, where QEMU can at all")
        self.arch = arch
        self.kernel = Path(kernel)
        self.ram = ram
        self.cpus = cpus
        self.icount = icount
        self._qemu = qemu
        self._extra_args = tuple(extra_args)
        self._console_log = console_log
        self._manifests = manifests
        self._plugin = plugin
        self.recorder: Recorder | None = None
        self._owned = ExitStack()
        self._debugger: Debugger | None = None
        self._stub_listens = False

    def __enter__(self) -> Self:
        self.image = Image.load(self.kernel)
        self._kernel_file = self.kernel.absolute()  # whoever changes the directory later
        if self.image.kind != (right := f"ELF64 for {self.arch.name}"):
            raise ImageError(f"{self.kernel} is {self.image.kind}, not {right}")
        program = find_program(self.arch, self._qemu)
        try:
            on_loop(partial(self._start, program))  # where no Ctrl-C comes half-way
            self.monitor.connect()
            self._owned.callback(self._quit)
            if self._manifests is not None:
                self.announce(self._manifests)
            return self
        except OSError as error:
            self.close()
            raise HarnessError(f"cannot start a machine: {error}") from error
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    # Start and end.

    def _start(self, program: str) -> None:
        """On the loop thread: all that it holds, and `close` knows of, to the running QEMU."""
        owned = self._owned
        self._closing = False
        self.channel = Channel()
        log = owned.enter_context(self._console_log.open("wb")) if self._console_log else None
        self.channel.standing = True  # QEMU is started stopped
        self.console = Console(self.channel, log)
        owned.callback(self.console.close)
        self.monitor = Monitor(self.channel, self._on_event)
        owned.callback(self.monitor.close)
        spool = owned.enter_context(_memfd("spool"))
        self._stub = Stub()
        owned.callback(self._stub.close)
        if self._plugin:
            end = self.image.symbol("hypervisor_end")
            self.recorder = Recorder(self._plugin, self.arch, self.cpus, self.ram, end)
            owned.callback(self.recorder.close)
        with _memfd("ram") as ram, _memfd("snapshots") as disk:  # QEMU has its own afterwards
            ram.truncate(self.ram)
            self.memory = owned.enter_context(RamFile(ram.fileno(), self.ram, self.arch.ram_base))
            self._ram_fd = ram.fileno()
            self.command = (program, *self._arguments(self._ram_fd))
            files = (ram, disk, spool, self.monitor.far_end)
            fds = [*(it.fileno() for it in files), self._stub.listener, self._stub.door]
            fds += [self.recorder.fd] if self.recorder else []
            self._child = self._run(fds)
            owned.callback(self._child.close)
            self._snapshots = Snapshots(self.monitor, disk.fileno())
        self.console.sink.close()
        self.monitor.far_end.close()
        self.monitor_memory = MonitorMemory(self.monitor, spool.fileno())

    def _run(self, fds: Sequence[int]) -> Child:
        source, sink = self.console.source.fileno(), self.console.sink.fileno()
        try:
            return Child(
                self.channel, self.command, stdin=source, stdout=sink, fds=fds, exited=self._on_exit
            )
        except OSError as error:
            if error.filename is None:  # it did not get as far as the program
                raise
            why = f"cannot run {error.filename}: {error.strerror}"
            hint = "is it a program, or a script whose first line names one?"
            raise QemuMissing(f"{why}; {hint}") from error

    def _arguments(self, ram: int) -> list[str]:
        backend = f"memory-backend-file,id=ram,size={self.ram},mem-path=/proc/self/fd/{ram}"
        icount = ICOUNT if self.icount else ()
        return [
            *emulation(self.arch, self.cpus, self.ram)[1:],
            *("-object", f"{backend},share=on", *icount),
            *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
            *("-chardev", f"socket,id=monitor,fd={self.monitor.far_end.fileno()}"),
            *("-mon", "chardev=monitor,mode=control"),
            *("-chardev", f"socket,id=gdb,fd={self._stub.listener},server=on,wait=off"),
            # Whatever happens to the machine, it stays there to be looked at.
            *("-action", "panic=pause,reboot=shutdown,shutdown=pause"),
            *("-kernel", str(self.kernel)),
            *(self.recorder.arguments(ram) if self.recorder else ()),
            *self._extra_args,
        ]

    def announce(self, folder: Path) -> None:
        """Let tools find it by a manifest in `folder`, and gdb connect, until it is closed.

        Raises OSError when the manifest cannot be written.
        """
        self.listen_for_debugger()
        self._owned.enter_context(announced(self._manifest(), folder))

    def _manifest(self) -> Manifest:
        return Manifest(
            pid=self.pid,
            started=start_time(self.pid) or 0,
            arch=self.arch.name,
            cpus=self.cpus,
            kernel=str(self._kernel_file),
            ram=self._ram_fd,
            ram_base=self.arch.ram_base,
            ram_size=self.ram,
            debugger=self._stub.door,
        )

    def _quit(self) -> None:
        """Ask QEMU to end; whoever owns it ends it anyway."""
        self._closing = True
        with suppress(HarnessError):
            self.monitor.execute("quit", timeout=GRACE)
            self._child.wait(GRACE)

    def close(self) -> None:
        """End QEMU and release everything. Closing twice is harmless.

        In a process that was forked meanwhile, QEMU goes on for the parent.
        """
        self._owned.close()

    # What is heard. On the loop thread.

    def _on_exit(self, status: int, stderr: str) -> None:
        self.console.catch_up()
        if self._closing:
            self.channel.finish(partial(ChannelClosed, "the machine is closed"))
        elif self.arch.bios and f'"{self.arch.bios}"' in stderr:  # so it names what it misses
            package = f"Debian has it in {self.arch.bios_package}"
            self.channel.finish(partial(QemuMissing, f"QEMU misses {self.arch.bios}; {package}"))
        else:
            self.channel.finish(partial(QemuDied, status, stderr))

    def _on_event(self, event: Event) -> None:
        """A line of the console that explains the event came before it: it is read first."""
        if event["event"] == "GUEST_PANICKED":
            self.console.catch_up()
            self.channel.halt(partial(FirmwarePanic, "it wrote to pvpanic and said nothing"))
        elif event["event"] in ("STOP", "RESUME"):
            self.channel.standing = event["event"] == "STOP"
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
    def snapshot_file(self) -> Path:
        """The disk image of all snapshots, to be read while QEMU lives; empty before the first."""
        return Path(f"/proc/{self.pid}/fd/{self._snapshots.file}")

    @property
    def runs(self) -> bool:
        """Whether the CPUs run, as QEMU says."""
        return self.monitor.member("query-status", "running", bool)

    @property
    def qemu_version(self) -> str:
        """QEMU's version, "7.2.22"."""
        version = self.monitor.member("query-version", "qemu", dict)
        return ".".join(str(version.get(part)) for part in ("major", "minor", "micro"))

    def stop(self) -> None:
        """Stop all CPUs."""
        with self.channel.turn:
            if self._debugged is None:
                self.monitor.execute("stop")
            else:
                self._debugged.interrupt()

    def cont(self) -> None:
        """Let all CPUs run."""
        with self.channel.turn:
            if self._debugged is None:
                self.monitor.execute("cont")
            else:
                self._debugged.cont()

    def looking(self) -> AbstractContextManager[None]:
        """For much that is read. Shared RAM is read while the machine goes on."""
        return nullcontext()

    def debugger(self) -> Debugger:
        """gdb, connected to this machine: started when it is first asked for, then kept.

        It is closed with the machine, or before by its own `with`. The machine is stopped
        for it to connect, and then runs on if it did. While it is there it alone stops the
        machine and lets it run: use its methods or these, not the monitor's. Raises
        DebuggerError.
        """
        if self._debugged is None:
            connection = self.listen_for_debugger()
            runs = self.runs
            self._owned.callback(self.release_debugger)
            try:
                self.monitor.execute("stop")  # connecting does it too, and tells in a wrong moment
                self._debugger = Debugger(
                    self.channel,
                    self._kernel_file,
                    connection,
                    base=self.arch.ram_base,
                    size=self.ram,
                )
            finally:
                if runs:
                    self.cont()
        assert self._debugger is not None
        return self._debugger

    @property
    def _debugged(self) -> Debugger | None:
        """gdb, if it has control of the machine. One that died had: it raises then."""
        if self._debugger is None or self._debugger.closed:
            return None
        return self._debugger

    def release_debugger(self) -> None:
        """End gdb, if it was started, for another one to come; the machine stays as it is."""
        if self._debugger is not None:
            self._debugger.kill()

    def listen_for_debugger(self) -> str:
        """Have QEMU's stub wait for a debugger; what gdb's `target remote` takes.

        Valid while QEMU lives, for processes of this user. Connecting stops the machine.
        """
        if not self._stub_listens:
            self.monitor.human("gdbserver chardev:gdb")
            self._stub_listens = True
        return f"/proc/{self.pid}/fd/{self._stub.door}"

    def snapshot(self, name: str, timeout: Timeout = None) -> None:
        """Save everything under `name`; a running machine goes on afterwards.

        On x86 no CPU may be in guest mode, or the snapshot cannot be loaded. Raises
        MonitorError.
        """
        with self.channel.turn:
            self._snapshots.save(name, timeout)

    def drop_snapshot(self, name: str, timeout: Timeout = None) -> None:
        """Forget what was saved under `name`. Raises MonitorError."""
        with self.channel.turn:
            self._snapshots.delete(name, timeout)

    def restore(self, name: str, timeout: Timeout = None, *, run: bool = True) -> None:
        """Put everything back to what was saved under `name`; `run`: and let it run.

        Nothing that was written to the console before, in either direction, is seen
        afterwards, and requests that were not answered never will be; breakpoints are
        gone. On RISC-V, QEMU 7.2 leaves the supervisor's timer where it was: something else
        has to wake the firmware. A thread waits for another's. Raises MonitorError for a name
        that nothing was saved under, DebuggerError when gdb died and left it stopped, and
        MonitorError when QEMU cannot: every wait says so then, until a restore succeeds.
        """
        with self.channel.turn:
            self._snapshots.require(name)
            self._restore(name, Deadline.after(timeout), run=run)

    def _restore(self, name: str, deadline: Deadline, *, run: bool) -> None:
        debugger = self._debugged
        if debugger is not None:
            debugger.take_control(deadline)
        try:
            self.console.recall()
            self._snapshots.load(name, deadline)
            self.console.begin_epoch()
        except BaseException as error:  # Ctrl-C too
            self.channel.resume()
            why = f"restoring {name!r} failed, the machine is in no defined state: {error!r}"
            self.channel.halt(partial(MonitorError, why))
            raise
        self.channel.resume()
        if debugger is not None:
            debugger.forget()
        if run:
            self.cont()


def _memfd(name: str) -> FileIO:
    """An empty file in memory, which ends with its last descriptor."""
    return FileIO(os.memfd_create(name), "r+")
