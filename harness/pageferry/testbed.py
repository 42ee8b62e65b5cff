"""What a test speaks to: a machine with two guests, and pages that change hands.

    with Testbed.start() as bed:
        a, b = bed.guests
        bed.remap(a, a.page(0), b, b.window(0))
        bed.restore()

The same operation goes in by every door: the console, a hypercall that the guest issues
itself, from its own code on its own CPU, or gdb, which puts it into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, Self, cast

from . import arch as architectures
from . import books, census, holdings, ledger, ownership
from .abi import GuestMap, Operation, Status
from .address import GPA, HPA, PAGE_SIZE, in_hex
from .errors import ImageError, NotReady, RequestRefused, TargetLacks, WaitTimeout
from .gdb_door import GdbDoor
from .guest import Guest, ping, word
from .image import Image
from .machine import Machine
from .paging import Rights, table_frames
from .target import Remote

READY = "ready"
"""The name of the snapshot that every test starts from."""

VM_COUNT = 2


class Door(Enum):
    """The way in that an operation takes."""

    CONSOLE = "console"
    GUEST = "guest"
    GDB = "gdb"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        names = ", ".join(door.value for door in cls)
        raise ValueError(f"{value!r} is no door; there are: {names}")


@dataclass(frozen=True)
class Answer:
    """What the hypervisor said to an operation: the weakest of the witnesses.

    frame         the frame it named; None by the guest's door, which is not told
    instructions  by the guest's own counter around the hypercall; None by another door,
                  and in a machine without `icount`, where it counts time
    """

    status: Status
    text: str = ""
    frame: HPA | None = None
    instructions: int | None = None

    __repr__ = in_hex


def firmware_directory(arch: str) -> Path:
    """Where `make firmware` puts its products, below the working directory."""
    return Path("build", "firmware", arch)


def require_firmware(directory: Path, arch: str) -> Path:
    """`directory`, if our firmware is in it. ImageError tells how it gets there."""
    for name in ("hypervisor.elf", "agent.elf"):
        if not (directory / name).is_file():
            raise ImageError(
                f"there is no {name} in {directory.absolute()}: run `make firmware ARCH={arch}` in "
                "the checkout and start there; pytest, wherever it is started, looks below its "
                "root, or where --pageferry-firmware=FOLDER or pageferry_firmware in its ini file "
                "says"
            )
    return directory


class Testbed:
    """Two guests under the hypervisor in a machine. Made by `start`, closed by `with`."""

    __test__ = False  # pytest would take the name for a test class

    def __init__(self, machine: Machine, agent: Image) -> None:
        self.machine = machine
        machine.console.checked = True
        self.firmware = machine.image.bind(machine.memory)
        self.guests = tuple(
            Guest(vm, machine, self.firmware, agent) for vm in range(1, VM_COUNT + 1)
        )
        self._remote: Remote | None = None
        self._stack = ExitStack()

    @classmethod
    def start(cls, arch: str = "x86_64", *, firmware: Path | None = None, **machine: Any) -> Self:
        """Boot, wait until both guests have completed one round trip, and take a snapshot.

        firmware  the directory of hypervisor.elf and agent.elf
        machine   further arguments of `Machine`: icount, qemu, extra_args, ...

        Raises ImageError, NotReady, and whatever ends the wait before: QemuDied, ...
        """
        directory = require_firmware(firmware or firmware_directory(arch), arch)
        started = Machine(architectures.get(arch), directory / "hypervisor.elf", **machine)
        stack = ExitStack()
        stack.callback(started.close)  # it has its owner before there is anything to leave behind
        try:
            started.__enter__()
            bed = cls.boot(started, directory / "agent.elf")
            bed._stack = stack
        except BaseException:
            stack.close()
            raise
        return bed

    @classmethod
    def boot(cls, machine: Machine | Remote, agent: Path) -> Self:
        """The same on a machine that was started with the hypervisor and remains its owner's.

        One that has no snapshots is started again where others are restored.
        """
        bed = cls(cast(Machine, machine), Image.load(agent))
        machine.cont()
        bed._await_ready()
        if isinstance(machine, Remote):
            bed._remote = machine
        else:
            machine.snapshot(READY)
        return bed

    def _await_ready(self) -> None:
        try:
            self.machine.console.await_log(f"pageferry {self.machine.arch.name} ready")
            ping(self.guests)
        except WaitTimeout as error:
            raise NotReady(error.awaited, error.seconds, error.seen) from error

    @cached_property
    def _gdb_door(self) -> GdbDoor:
        return GdbDoor(self.machine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the machine. Closing twice is harmless."""
        self._stack.close()

    def restore(self, name: str = READY) -> None:
        """Back to the moment when both guests were ready, or to a snapshot; both answer.

        What was on its way on the console when a snapshot was saved may be done again, and
        nobody gets the reply. RequestRefused (busy) when a guest was at work then, on x86
        MonitorError. TargetLacks for a snapshot of a machine that has none. A thread waits for
        another's.
        """
        with self.machine.channel.turn:
            self._restore(name)

    def _restore(self, name: str) -> None:
        if self._remote is None:
            self.machine.restore(name, run=False)
            self.machine.console.send("\n")  # ends a line of which it has the beginning only
            ping(self.guests, self.machine.cont)  # their work waits for them
        elif name == READY:
            self._remote.restart()
            self._await_ready()
        else:
            raise TargetLacks("snapshot")

    # Operations

    def remap(
        self, source: Guest, gpa: GPA, target: Guest, to: GPA, door: Door = Door.CONSOLE
    ) -> Answer:
        """The page stops being the source's and becomes the target's. RequestRefused."""
        return self._done(self.request(Operation.REMAP, source, gpa, target.vm, to, door=door))

    def share(
        self, source: Guest, gpa: GPA, target: Guest, to: GPA, door: Door = Door.CONSOLE
    ) -> Answer:
        """Both read the page and nobody writes it. RequestRefused."""
        return self._done(self.request(Operation.SHARE, source, gpa, target.vm, to, door=door))

    def copy(
        self, source: Guest, gpa: GPA, target: Guest, to: GPA, door: Door = Door.CONSOLE
    ) -> Answer:
        """The target gets a page with equal bytes. RequestRefused."""
        return self._done(self.request(Operation.COPY, source, gpa, target.vm, to, door=door))

    def reclaim(self, owner: Guest, gpa: GPA, door: Door = Door.CONSOLE) -> Answer:
        """The owner ends a share. RequestRefused."""
        return self._done(self.request(Operation.RECLAIM, owner, gpa, door=door))

    def relinquish(self, borrower: Guest, gpa: GPA, door: Door = Door.CONSOLE) -> Answer:
        """The borrower ends a share. RequestRefused."""
        return self._done(self.request(Operation.RELINQUISH, borrower, gpa, door=door))

    @staticmethod
    def _done(answer: Answer) -> Answer:
        if answer.status is not Status.OK:
            raise RequestRefused(answer.status, answer.text)
        return answer

    def request(
        self, operation: int, source: Guest, *arguments: int, door: Door = Door.CONSOLE
    ) -> Answer:
        """Any operation with any arguments, in the source's name; the answer, refused or not.

        ValueError for what is no 64-bit number, and by the console's door, which takes
        names, for a number that has none.
        """
        door = Door(door)  # ValueError for what is none, instead of another way in
        operation = word(operation)
        if door is Door.GUEST:
            status, report = source.hypercall(operation, *arguments)
            counted = report.instructions if self.machine.icount else None
            return Answer(status, instructions=counted)
        if door is Door.GDB:
            numbers = [word(argument) for argument in arguments]
            said = self._gdb_door.request(operation, source.vm, numbers, vcpu=source.index)
            return Answer(said.status, said.text, said.frame)
        name = Operation(operation).name.lower()
        words = " ".join(f"{word(argument):#x}" for argument in arguments)
        caller = source.name if operation == Operation.ASK else source.vm
        reply = self.machine.console.request(f"{name} {caller} {words}")
        frame = reply.fields.get("frame")
        return Answer(reply.status, reply.text, HPA(int(frame, 16)) if frame else None)

    # What is true

    def observed(self) -> dict[int, dict[GPA, tuple[HPA, Rights]]]:
        """Per VM, what its stage 2 maps now, page by page."""
        with self.machine.looking():
            return {guest.vm: guest.pages() for guest in self.guests}

    def mapped(self) -> Iterator[tuple[int, GPA, HPA]]:
        """(vm, page, frame) of all that any vCPU's stage 2 maps now: they should have one."""
        with self.machine.looking():
            for guest in self.guests:
                roots = {vcpu.stage2_root: vcpu for vcpu in guest.vcpus}
                for vcpu in roots.values():
                    yield from ((guest.vm, gpa, frame) for gpa, (frame, _) in vcpu.pages().items())

    def model(self) -> holdings.State:
        """The ownership model of the machine as it is now, taken as its beginning.

        Raises ValueError while a page is shared: who lent it to whom cannot be told from
        tables alone.
        """
        records = books.records(self.firmware, self.machine)
        free = ledger.free_frames(records)
        state = holdings.boot(self.observed(), protected=self._tables().keys(), free=free)
        vms = {
            vm: replace(held, posted=books.posted(self.firmware, vm))
            for vm, held in state.vms.items()
        }
        return replace(state, vms=vms)

    def disagreements(self, model: holdings.State) -> list[ownership.Disagreement]:
        """How tables and books differ from what the model says; empty if they do not."""
        observed, tables = self.observed(), self._tables()
        known = replace(model, protected=model.protected | tables.keys())
        found = ownership.disagreements(known, observed)
        bound = holdings.bind(known, observed)
        records = books.records(self.firmware, self.machine)
        found += ledger.discrepancies(bound, tables, records)
        found += books.disagreements(self.firmware, self.guests, bound)
        for each in found:
            self.machine.channel.journal.note("oracle", "#", str(each))
        return found

    def _tables(self) -> dict[HPA, int]:
        """The frames that stage-2 tables lie in now, and whose they are."""
        memory, arch = self.machine.memory, self.machine.arch
        with self.machine.looking():
            return {
                frame: guest.vm
                for guest in self.guests
                for frame in table_frames(memory, arch.stage2, guest.stage2_root)
            }

    def agents_pages(self) -> list[tuple[int, GPA]]:
        """(vm, page) of what the agents need for themselves: see `Census.changes`."""
        pages = range(GuestMap.RAM, GuestMap.PAGES, PAGE_SIZE)
        return [(guest.vm, GPA(page)) for guest in self.guests for page in pages]

    def census(self) -> census.Census:
        """All that a refused operation must leave as it was."""
        with self.machine.looking():
            return census.take(self.machine, self.firmware, self.guests)
