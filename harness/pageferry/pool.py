"""Machines that tests share: one of each kind, booted once, restored for every test.

    pool.begin("tests/test_it.py::test_that")     nothing is started yet
    bed = pool.check_out(cpus=3)                  booted, or restored
    ... the test ...
    pool.release()                                what was used stands still until it is again

What cannot be restored, what failed to boot, a QEMU that had a watchpoint (why, says
`Debugger.watchpoint`) and what `condemn` names is ended instead, and the next test that
asks gets a fresh one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from . import arch as architectures
from .errors import GuestReport, HarnessError, TargetLacks
from .machine import Machine
from .manifest import FOLDER
from .recorder import PLUGIN
from .settings import Settings, firmware_folder
from .target import RESET, Remote
from .testbed import Testbed, require_firmware

START = "start"
"""The snapshot of a foreign kernel's machine, before its first instruction."""

BROKEN = (HarnessError, GuestReport)
"""What a machine that cannot serve another test raises when it is restored."""


@dataclass(frozen=True)
class Kind:
    """What machines are told apart by. `agent` is None for a kernel that is not ours."""

    arch: str
    cpus: int
    icount: bool
    plugin: bool
    target: str
    kernel: Path
    agent: Path | None

    @property
    def images(self) -> tuple[Path, ...]:
        """The files with the symbols of what runs in such a machine."""
        return (self.kernel, self.agent) if self.agent else (self.kernel,)


@dataclass(eq=False)
class Slot:
    """The machine of one kind. `bed` is None for a foreign kernel, or before it is ready."""

    kind: Kind
    machine: Machine
    owned: ExitStack
    bed: Testbed | None = None
    broken: bool = False

    def boot(self) -> None:
        """Bring it to where every test starts."""
        if self.kind.agent is not None:
            self.bed = Testbed.boot(self.machine, self.kind.agent)
        else:
            if self.kind.target != "remote":  # which is started again, and has none
                self.machine.snapshot(START)
            self.machine.cont()

    def restore(self) -> None:
        """Put it back there."""
        if self.bed is not None:
            self.bed.restore()
        elif self.kind.target == "remote":
            cast(Remote, self.machine).restart()
        else:
            self.machine.restore(START)


class Pool:
    """The machines of one process. To be closed by its owner.

    root  the folder below which tools find its machines, and our firmware is, if the
          settings do not say where
    """

    def __init__(self, settings: Settings, root: Path) -> None:
        self.settings = settings
        self._root = root
        self._slots: dict[Kind, Slot] = {}
        self._test = ""
        self._wanted: Mapping[str, Any] = {}
        self.in_use: list[Slot] = []
        """What the test that runs has checked out."""

    def begin(self, test: str, wanted: Mapping[str, Any]) -> None:
        """The next check-outs are for this test, which wants its machines to be such."""
        self._test = test
        self._wanted = wanted

    def check_out(self, *, cpus: int | None = None, icount: bool | None = None) -> Testbed:
        """Two guests that just got ready. Raises what `Testbed.start` does.

        cpus, icount  as `Machine` has them; else what the test wants, else the settings
        """
        bed = self._take(self._kind(cpus, icount, None)).bed
        assert bed is not None
        return bed

    def check_out_machine(
        self, kernel: Path | None = None, *, cpus: int | None = None, icount: bool | None = None
    ) -> Machine:
        """A machine that just began to run `kernel`, whatever that is.

        Without one, the settings' kernel; without that, the machine of `check_out`.
        Raises what `Machine` does when it is entered.
        """
        return self._take(self._kind(cpus, icount, kernel or self.settings.kernel)).machine

    def _kind(self, cpus: int | None, icount: bool | None, kernel: Path | None) -> Kind:
        settings = self.settings
        arch = self._wanted.get("arch", settings.arch[0])
        firmware = firmware_folder(settings, arch, self._root)
        kind = Kind(
            arch,
            self._wanted.get("cpus", settings.cpus) if cpus is None else cpus,
            self._wanted.get("icount", False) if icount is None else icount,
            self._wanted.get("plugin", False),
            settings.target,
            firmware / "hypervisor.elf",
            firmware / "agent.elf",
        )
        if kernel:
            kind = replace(kind, kernel=kernel, agent=None)
        if settings.target == "remote":
            return self._remote_kind(kind, kernel, cpus or self._wanted.get("cpus"))
        return kind

    def _remote_kind(self, kind: Kind, kernel: Path | None, cpus: int | None) -> Kind:
        """There is one, as it is: TargetLacks for any other."""
        for lacking in ("icount", "plugin"):
            if getattr(kind, lacking):
                raise TargetLacks(lacking)
        if kernel != self.settings.kernel:
            raise TargetLacks("our firmware" if kernel is None else "another kernel")
        if cpus not in (None, self.settings.cpus):
            raise TargetLacks(f"{cpus} CPUs" if cpus != 1 else "1 CPU")
        return replace(kind, cpus=self.settings.cpus)

    def _take(self, kind: Kind) -> Slot:
        slot = self._slots.get(kind)
        if slot is not None:
            self._announce(slot)
            try:
                slot.restore()
            except BROKEN:
                self._discard(slot)
                slot = None
        return slot or self._start(kind)

    def _start(self, kind: Kind) -> Slot:
        slot = Slot(kind, self._make(kind), ExitStack())
        slot.broken = True  # until it has booted; whoever explains a failure finds it here
        slot.owned.callback(slot.machine.close)
        self._slots[kind] = slot  # Ctrl-C finds nothing that is not to be closed
        try:
            slot.machine.__enter__()
        except BaseException:
            self._discard(slot)
            raise
        self._announce(slot)
        self._show(slot)
        slot.boot()
        slot.broken = False
        return slot

    def _show(self, slot: Slot) -> None:
        """Let tools find it. Where nothing can be written no test fails for that."""
        if slot.kind.target == "qemu":
            with suppress(OSError):
                slot.machine.announce(self._root / FOLDER)

    def _make(self, kind: Kind) -> Machine:
        settings, arch = self.settings, architectures.get(kind.arch)
        if kind.agent is not None:
            require_firmware(kind.agent.parent, kind.arch)
        if settings.serial and settings.gdb_server and kind.target == "remote":
            remote = Remote(
                arch,
                kind.kernel,
                serial=settings.serial,
                gdb=settings.gdb_server,
                reset=settings.reset or RESET,
            )
            return cast(Machine, remote)  # used like one, and says what it lacks
        return Machine(
            arch,
            kind.kernel,
            cpus=kind.cpus,
            icount=kind.icount,
            plugin=self._root / PLUGIN if kind.plugin else None,
            qemu=settings.qemu,
            extra_args=settings.qemu_args,
        )

    def _announce(self, slot: Slot) -> None:
        """The test's name is in the machine's journal before anything else of it."""
        slot.machine.channel.journal.note("test", "#", f"{self._test} begins")
        if slot not in self.in_use:  # a test may ask twice
            self.in_use.append(slot)

    def condemn(self) -> None:
        """The bench failed: what is in use is not to be used again."""
        for slot in self.in_use:
            slot.broken = True

    def release(self) -> None:
        """The test is over. Its machines stand still; the broken ones are ended.

        Raises what ending one raises, when all is done.
        """
        with ExitStack() as endings:
            for slot in self.in_use:
                try:
                    slot.broken |= slot.machine.channel.watched and slot.kind.target == "qemu"
                    if not slot.broken:
                        slot.machine.stop()
                except HarnessError:
                    slot.broken = True
                if slot.broken:
                    endings.callback(self._discard, slot)
            self.in_use = []

    def give_up(self, slot: Slot) -> None:
        """The slot is the caller's from now on, who closes its `owned`."""
        self._slots.pop(slot.kind, None)
        self.in_use = [it for it in self.in_use if it is not slot]

    def _discard(self, slot: Slot) -> None:
        self.give_up(slot)
        slot.owned.close()

    def close(self) -> None:
        """End every machine. Raises what ending one raises, when all are ended."""
        with ExitStack() as endings:
            for slot in self._slots.values():
                endings.callback(self._discard, slot)
