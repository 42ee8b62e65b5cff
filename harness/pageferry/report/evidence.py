"""One folder for one failed test: all that is known of the machine it has left.

    failure.txt     the test, its error, what could not be taken; begin here
    console.log     the console's lines, the test's name before them
    qmp.log mi.log  what the monitor, and gdb where it was used, were told and said
    oracle.log      what the witnesses saw at both ends of a page, and how the machine and the
                    model of ownership differed, where a test asked for that
    timeline.log    all wires on one clock
    requests.txt    requests on the console, each with its answer; of what an agent was asked
                    by one, its report too
    registers.txt   every CPU's, and where it is by name
    guest1.txt ...  each guest's two tables, walked in physical memory; also as .json
    frames.txt      the hypervisor's record of every frame; also as .json
    doubts.txt      every frame of which records and stage-2 tables do not say the same
    *.elf           the images
    ram.bin         physical memory, sparse; of a remote machine as far as frames are given
                    to anybody, and as DUMP is enough for
    reproduce.sh    brings the machine up again, in gdb; of a remote one this RAM, in QEMU
    command.txt     how QEMU was started; this and what follows not of a remote machine
    snapshot.qcow2  QEMU's snapshots, "failure" among them

Each is taken by itself: what goes wrong with one is written down in its place, and the
others are taken all the same. What a full disk has no room for is not there in part.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from ..channel import Deadline
from ..emulator import emulation
from ..journal import Entry
from ..machine import Machine
from ..target import Remote
from ..testbed import Testbed
from . import accounts, dump, reproduce
from .documents import WholeOrNothing

PATIENCE = 10.0
"""Seconds, before scaling, that QEMU has for all that is asked of it."""

DUMP = 10.0
"""Seconds, before scaling, that a remote machine's memory may take on its way through gdb."""


@dataclass
class Scene:
    """A machine that a failed test has left.

    bed     None where there are no guests of ours
    images  files with the symbols of what runs in it, the kernel's first
    """

    test: str
    phase: str
    error: str
    machine: Machine
    bed: Testbed | None
    images: tuple[Path, ...]


@dataclass
class Evidence:
    """Takes down what there is about a scene, into `folder`, in which is nothing of another test.

    problems  what could not be taken, a line each
    """

    scene: Scene
    folder: Path
    allowance: dump.Allowance
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._deadline = Deadline.after(PATIENCE)
        self._journal = self.scene.machine.channel.journal
        self._since = self._beginning()
        self._frames: list[dict[str, Any]] = []
        self._remote = isinstance(cast(object, self.scene.machine), Remote)

    def _beginning(self) -> float:
        """When the test began on this machine, as its mark says; 0 without one."""
        marks = self._journal.entries(wires=["test"])
        return marks[-1].seconds if marks else 0.0

    def collect(self) -> None:
        """Stop the machine, take everything, and let it go on if it had been running.

        Raises nothing: see `problems`.
        """
        running = self._try("the machine's state", self._stop) or False
        self._try("the folder", partial(self.folder.mkdir, parents=True, exist_ok=True))
        self._write("failure.txt", self._summary)
        self._take_logs()
        self._write("registers.txt", self._gdb_registers if self._remote else self._registers)
        if self.scene.bed is not None:
            self._take_guests(self.scene.bed)
        self._take_images()
        if self._remote:
            self._take_remote_state()
        else:
            self._take_state()
        self._write("failure.txt", self._summary)
        if running:
            self._try("letting it go on", self.scene.machine.cont)

    # One thing at a time

    def _try(self, what: str, act: Callable[[], Any]) -> Any:
        """Do it; what goes wrong, be it a mistake in here, is a problem and no error.

        A test's own failure is on its way to the report, and nothing may replace it.
        """
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - see above
            first = str(error).partition("\n")[0]
            self.problems.append(f"{what}: {type(error).__name__}: {first}")
            return None

    def _write(self, name: str, make: Callable[[], str]) -> None:
        text = self._try(name, make)
        if text is None:
            text = f"not taken: {self.problems[-1]}\n"
        self._try(name, partial(self._put, name, text))

    def _put(self, name: str, text: str, mode: int = 0o644) -> None:
        with WholeOrNothing(self.folder / name) as part:
            part.write_text(text, "utf-8", "replace")
            part.chmod(mode)

    # What there is

    def _stop(self) -> bool:
        self._journal.note("test", "#", "failed; what follows is the taking of evidence")
        machine = self.scene.machine
        if self._remote:
            running = machine.runs
        else:
            running = machine.monitor.member("query-status", "running", bool, self._deadline)
        if running:
            machine.stop()  # by gdb, where that has control
        return running

    def _entries(self, *wires: str) -> list[Entry]:
        """What these wires (all if none is named) said from the test's beginning on."""
        return self._journal.entries(self._since, ("test", *wires) if wires else None)

    def _take_logs(self) -> None:
        for wire in ("console", "qmp", "mi", "oracle"):
            if wire == "console" or self._journal.entries(self._since, [wire]):
                self._write(f"{wire}.log", partial(accounts.lines, self._entries(wire)))
        self._write("timeline.log", lambda: accounts.lines(self._entries()))
        self._write("requests.txt", lambda: accounts.requests(self._entries("console", "agent")))

    def _registers(self) -> str:
        human = self.scene.machine.monitor.human("info registers -a", self._deadline)
        agents = [self.scene.bed.guests[0].agent_image] if self.scene.bed else []
        return accounts.registers(human, [self.scene.machine.image, *agents])

    def _gdb_registers(self) -> str:
        gdb = self.scene.machine.debugger()
        words = ("backtrace", "info registers")
        return "".join(gdb.command(f"thread apply all {it}", self._deadline) for it in words)

    def _take_guests(self, bed: Testbed) -> None:
        for guest in bed.guests:
            self._take_pair(
                f"guest{guest.vm}", partial(accounts.guest_tables, guest), accounts.guest_text
            )
        base = bed.machine.arch.ram_base
        show = partial(accounts.frame_text, base=base)
        self._frames = self._take_pair("frames", partial(accounts.frame_runs, bed), show) or []
        self._write("doubts.txt", partial(accounts.doubts, bed))

    def _take_pair(self, name: str, find: Callable[[], Any], show: Callable[[Any], str]) -> Any:
        """The same for people and for programs; None if it could not be found."""
        found = self._try(name, find)
        if found is None:
            self._write(f"{name}.txt", lambda: f"not taken: {self.problems[-1]}\n")
            return None
        self._write(f"{name}.txt", partial(show, found))
        self._write(f"{name}.json", partial(accounts.as_json, found))
        return found

    def _take_images(self) -> None:
        for image in self.scene.images:
            self._try(image.name, partial(self._copy, image))

    def _copy(self, file: Path) -> None:
        with WholeOrNothing(self.folder / file.name) as part:
            shutil.copyfile(file, part)

    def _take_state(self) -> None:
        machine = self.scene.machine
        self._write("command.txt", lambda: f"{shlex.join(machine.command)}\n")
        self._try(reproduce.RAM_FILE, partial(self._take_ram, machine.ram))
        self._try(reproduce.SNAPSHOT_FILE, self._take_snapshot)
        self._try("reproduce.sh", lambda: self._take_script(machine.command, machine.ram))

    def _take_remote_state(self) -> None:
        machine = self.scene.machine
        size = accounts.handed_out(self._frames) or machine.ram
        take = partial(self._take_ram, size, Deadline.after(DUMP))
        taken = self._try(reproduce.RAM_FILE, take)
        if taken is not None and taken < size:
            said = f"only {taken >> 10} of {size >> 10} KiB came through gdb in {DUMP:g} s"
            self.problems.append(f"{reproduce.RAM_FILE}: {said}")
        if taken == size:  # as long as RAM is: a board may need what lies at its end
            os.truncate(self.folder / reproduce.RAM_FILE, taken := machine.ram)
        if taken:
            command = emulation(machine.arch, machine.cpus, taken)
            self._try("reproduce.sh", lambda: self._take_script(command, taken))

    def _take_ram(self, size: int, deadline: Deadline | None = None) -> int:
        machine, path = self.scene.machine, self.folder / reproduce.RAM_FILE
        base = machine.arch.ram_base
        return dump.dump_memory(machine.memory, base, size, path, self.allowance, deadline)

    def _take_script(self, command: Sequence[str], ram: int) -> None:
        machine = self.scene.machine
        about = self.scene.test, machine.arch.name
        ours = self.scene.bed is not None
        text = reproduce.script(*about, command, machine.kernel.name, ram, ours=ours)
        self._put("reproduce.sh", text, 0o755)

    def _take_snapshot(self) -> None:
        machine = self.scene.machine
        machine.snapshot(reproduce.SNAPSHOT, self._deadline)
        path = self.folder / reproduce.SNAPSHOT_FILE
        dump.copy_sparse(machine.snapshot_file, path, self.allowance)
        machine.drop_snapshot(reproduce.SNAPSHOT, self._deadline)

    def _summary(self) -> str:
        scene, machine = self.scene, self.scene.machine
        told = [
            f"test          {scene.test}",
            f"failed in     {scene.phase}",
            f"machine       {machine.arch.name}, CPUs: {machine.cpus}",
            f"kernel        {machine.kernel}",
            *(["target lacks  monitor, snapshot, and the files from them"] if self._remote else []),
            "",
            scene.error.rstrip(),
        ]
        if self.problems:
            told += ["", "What could not be taken:", *(f"  {line}" for line in self.problems)]
        return "\n".join(told) + "\n"
