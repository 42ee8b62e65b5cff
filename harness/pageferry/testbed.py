"""What a test speaks to: a machine with two guests, and pages that change hands.

    with Testbed.start() as bed:
        a, b = bed.guests
        bed.remap(a, a.page(0), b, b.window(0))
        bed.restore()

The same operation goes in by either door: the console, or a hypercall that the guest
issues itself, from its own code on its own CPU.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Self

from . import arch as architectures
from . import census, holdings, ownership
from .abi import GuestMap, Operation, Status
from .address import GPA, HPA, PAGE_SIZE
from .errors import ImageError, NotReady, RequestRefused, WaitTimeout
from .guest import Guest, word
from .image import Image
from .machine import Machine
from .paging import Rights, table_frames

READY = "ready"
"""The name of the snapshot that every test starts from."""

VM_COUNT = 2


class Door(Enum):
    """The way in that an operation takes."""

    CONSOLE = "console"
    GUEST = "guest"


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


def firmware_directory(arch: str) -> Path:
    """Where `make firmware` puts its products, below the working directory."""
    return Path("build", "firmware", arch)


class Testbed:
    """Two guests under the hypervisor in a machine. Made by `start`, closed by `with`."""

    __test__ = False  # pytest would take the name for a test class

    def __init__(self, machine: Machine, agent: Image) -> None:
        self.machine = machine
        self.firmware = machine.image.bind(machine.memory)
        self.guests = tuple(
            Guest(vm, machine, self.firmware, agent) for vm in range(1, VM_COUNT + 1)
        )
        self._stack = ExitStack()

    @classmethod
    def start(cls, arch: str = "x86_64", *, firmware: Path | None = None, **machine: Any) -> Self:
        """Boot, wait until both guests have completed one round trip, and take a snapshot.

        firmware  the directory of hypervisor.elf and agent.elf
        machine   further arguments of `Machine`: icount, qemu, extra_args, ...

        Raises NotReady, and whatever ends the wait before: QemuDied, FirmwarePanic, ...
        """
        directory = firmware or firmware_directory(arch)
        if not directory.is_dir():
            raise ImageError(
                f"there is no firmware in {directory.absolute()}: run `make firmware` in the "
                "checkout and start there, or say firmware="
            )
        with ExitStack() as stack:
            kernel = directory / "hypervisor.elf"
            started = stack.enter_context(Machine(architectures.get(arch), kernel, **machine))
            bed = cls.boot(started, directory / "agent.elf")
            bed._stack = stack.pop_all()
        return bed

    @classmethod
    def boot(cls, machine: Machine, agent: Path) -> Self:
        """The same on a machine that was started with the hypervisor and remains its owner's."""
        bed = cls(machine, Image.load(agent))
        machine.cont()
        bed._await_ready()
        machine.snapshot(READY)
        return bed

    def _await_ready(self) -> None:
        try:
            self.machine.console.await_log(f"pageferry {self.machine.arch.name} ready")
            for guest in self.guests:
                guest.ping()
        except WaitTimeout as error:
            raise NotReady(error.awaited, error.seconds, error.seen) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the machine. Closing twice is harmless."""
        self._stack.close()

    def restore(self) -> None:
        """Back to the moment when both guests were ready; both answer."""
        self.machine.restore(READY)
        for guest in self.guests:
            guest.ping()

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

        ValueError for a number that has no name, by the console's door: it takes names.
        """
        door = Door(door)  # ValueError for what is none, instead of another way in
        if door is Door.GUEST:
            status, report = source.hypercall(operation, *arguments)
            counted = report.instructions if self.machine.icount else None
            return Answer(status, instructions=counted)
        name = Operation(operation).name.lower()
        words = " ".join(f"{word(argument):#x}" for argument in arguments)
        reply = self.machine.console.request(f"{name} {source.vm} {words}")
        frame = reply.fields.get("frame")
        return Answer(reply.status, reply.text, HPA(int(frame, 16)) if frame else None)

    # What is true

    def observed(self) -> dict[int, dict[GPA, tuple[HPA, Rights]]]:
        """Per VM, what its stage 2 maps now, page by page."""
        return {guest.vm: guest.pages() for guest in self.guests}

    def model(self) -> holdings.State:
        """The ownership model of the machine as it is now, taken as its beginning."""
        memory, arch = self.machine.memory, self.machine.arch
        tables = (table_frames(memory, arch.stage2, guest.stage2_root) for guest in self.guests)
        return holdings.boot(self.observed(), protected=frozenset().union(*tables))

    def disagreements(self, model: holdings.State) -> list[ownership.Disagreement]:
        """How the tables differ from what the model says; empty if they do not."""
        return ownership.disagreements(model, self.observed())

    def agents_pages(self) -> list[tuple[int, GPA]]:
        """(vm, page) of what the agents need for themselves: see `Census.changes`."""
        pages = range(GuestMap.RAM, GuestMap.PAGES, PAGE_SIZE)
        return [(guest.vm, GPA(page)) for guest in self.guests for page in pages]

    def census(self) -> census.Census:
        """All that a refused operation must leave as it was."""
        return census.take(self.machine, self.firmware, self.guests)
