"""A guest as a test speaks to it: its agent does one thing at a time and reports.

    ask (console)          the hypervisor hands the work to the waiting agent
    the agent acts         load, store, fill, checksum, jump, hypercall, watch
    report page            found by walking both stages, read from physical memory

What the agent saw is never taken from the hypervisor: the console only says that it
came back.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from .abi import Access, Command, GuestMap, Operation, Outcome, Status
from .address import GPA, GVA, HPA, PAGE_SIZE
from .channel import Timeout
from .console import Pending
from .errors import (
    GuestException,
    GuestFault,
    GuestStopped,
    ProtocolError,
    RequestRefused,
    WaitTimeout,
    guest_name,
)
from .image import Image, Reader
from .machine import Machine
from .paging import GuestTranslation, Rights, Translation, leaves, pages, walk, walk_guest

WATCHED = 100
"""Rounds that a watch has gone when `Guest.watching` begins."""

POLL = 0.001
"""Seconds between looks at a word that a guest writes: memory announces nothing."""

ALIASES = (0, 1)
"""A guest maps every page twice."""

_Name = TypeVar("_Name", Status, Outcome)
_WORD = 1 << 64
_REPORT = "reports[{}]"
_STOP = f"{_REPORT}.stop"


def word(value: int) -> int:
    """`value`, if a register can hold it; ValueError otherwise."""
    if not isinstance(value, int) or not 0 <= value < _WORD:
        raise ValueError(f"{value!r} is no number that fits into 64 bits")
    return int(value)


@dataclass(frozen=True)
class Report:
    """What an agent's report page says about one piece of work (struct report)."""

    begun: int
    nonce: int
    command: int
    outcome: Outcome
    value: int
    address: int
    detail: int
    instructions: int
    rounds: int

    @property
    def told(self) -> str:
        """How it went, in a line."""
        name = self.outcome.name.lower().replace("_", " ")
        if self.outcome is Outcome.FAULT:
            access = Access(self.detail)
            return f"{name} at GPA {self.address:#x} on {access.name or f'{access:#x}'}"
        if self.outcome is Outcome.EXCEPTION:
            return f"{name} {self.detail} at GVA {self.address:#x}"
        return f"{name}, value {self.value:#x}"


class Guest:
    """One VM: its memory as the tables have it, and its agent on one of its vCPUs.

    That is the first; `vcpu` gives the same VM by another one. A guest is one thread's at a
    time.

    vm        the id that requests use, from 1
    index     the vCPU that is asked, from 0
    machine   where it runs
    firmware  typed access to the hypervisor's memory
    agent     the image that runs in every VM
    """

    def __init__(
        self, vm: int, machine: Machine, firmware: Reader, agent: Image, index: int = 0
    ) -> None:
        self.vm = vm
        self.index = index
        self.name = guest_name(vm, index)
        self.machine = machine
        self._firmware = firmware
        self.agent_image = agent
        self.agent = agent.bind(machine.memory, self._own_hpa)
        """Typed access to what the agent keeps in its memory, by its own tables."""

    def __repr__(self) -> str:
        return f"<guest {self.name}>"

    @property
    def vcpus(self) -> tuple[Guest, ...]:
        """The VM by each of its vCPUs. With four CPUs the first guest has two, with five both.

        ProtocolError for more than there is room for: the hypervisor's memory is overwritten.
        """
        count = self._firmware.read_int(f"vms[{self.vm}].vcpu_count")
        size, vcpus = self._firmware.size, f"vms[{self.vm}].vcpus"
        if count > (room := size(vcpus) // size(f"{vcpus}[0]")):
            raise ProtocolError(f"VM {self.vm} is said to have {count} vCPUs, with room for {room}")
        others = (self.vm, self.machine, self._firmware, self.agent_image)
        return tuple(Guest(*others, index) for index in range(count))

    def vcpu(self, index: int) -> Guest:
        """The same VM by the vCPU of that index, from 0: that one is asked. ValueError."""
        found = self.vcpus
        if not 0 <= index < len(found):
            raise ValueError(
                f"guest {self.vm} has no vCPU {index}: it has {len(found)}, counted from 0, as "
                f"{self.machine.cpus} is the number of CPUs; with 4 guest 1 has two, with 5 both"
            )
        return found[index]

    # Where things are

    def page(self, number: int) -> GPA:
        """A page of its RAM that is free to be given away, counted from 0. ValueError."""
        end = GuestMap.RAM + GuestMap.RAM_SIZE
        return GPA(GuestMap.PAGES + PAGE_SIZE * _within(number, end - GuestMap.PAGES))

    def window(self, number: int) -> GPA:
        """A page of its window, where pages are received, counted from 0. ValueError."""
        return GPA(GuestMap.WINDOW + PAGE_SIZE * _within(number, GuestMap.WINDOW_SIZE))

    def gva(self, gpa: GPA, alias: int = 0) -> GVA:
        """Where its program sees the page: at either of two addresses (alias 0 or 1)."""
        if alias not in ALIASES:
            raise ValueError(f"there is no alias {alias}: a page has {len(ALIASES)}, 0 and 1")
        return GVA(gpa + alias * GuestMap.ALIAS)

    @property
    def stage2_root(self) -> HPA:
        """The root of its stage 2, as the CPU is told it."""
        return HPA(self._root(self.machine.arch.stage2_root))

    @property
    def stage1_root(self) -> GPA:
        """The root of its own table, as the CPU was last told it."""
        return GPA(self._root(self.machine.arch.stage1_root))

    @property
    def exits(self) -> int:
        """How often it has left its program for the hypervisor, as that counts."""
        return self._firmware.read_int(f"vms[{self.vm}].vcpus[{self.index}].exits")

    def _root(self, expression: str) -> int:
        register = self._firmware.read_int(expression.format(vm=self.vm, vcpu=self.index))
        return self.machine.arch.root_of(register)

    # What the tables say

    def stage2(self, gpa: GPA) -> Translation:
        """The walk of `gpa` through its stage 2, in physical memory."""
        arch = self.machine.arch
        return walk(self.machine.memory, arch.stage2, self.stage2_root, gpa)

    def walk(self, gva: GVA) -> GuestTranslation:
        """The walk of `gva` through both stages, in physical memory."""
        arch, memory = self.machine.arch, self.machine.memory
        return walk_guest(memory, arch.stage1, self.stage1_root, arch.stage2, self.stage2_root, gva)

    def pages(self) -> dict[GPA, tuple[HPA, Rights]]:
        """All that its stage 2 maps, page by page."""
        arch = self.machine.arch
        return pages(leaves(self.machine.memory, arch.stage2, self.stage2_root))

    def bytes_at(self, gpa: GPA) -> bytes:
        """The page's bytes in physical memory. GuestFault if stage 2 maps none."""
        frame = self.stage2(gpa).output
        if frame is None:
            raise GuestFault(self.vm, gpa, Access.READ, "its table has no such page", self.index)
        return self.machine.memory.read(frame, PAGE_SIZE)

    def _own_hpa(self, gva: int) -> HPA:
        found = self.walk(GVA(gva))
        if found.hpa is None:
            raise ProtocolError(f"guest {self.name} has lost what its agent needs: {found.fails()}")
        return found.hpa

    # What it does and sees itself

    def ping(self) -> None:
        """One round trip of its vCPU: it is alive."""
        _round_trips([self])

    def load(self, gpa: GPA, alias: int = 0) -> int:
        """The 8 bytes at `gpa` as it reads them."""
        return self.ask(Command.LOAD, self.gva(gpa, alias)).value

    def store(self, gpa: GPA, value: int, alias: int = 0) -> None:
        """Have it write 8 bytes at `gpa`."""
        self.ask(Command.STORE, self.gva(gpa, alias), value)

    def fill(self, gpa: GPA, seed: int, alias: int = 0) -> None:
        """Have it write the page: 512 words, seed, seed + 1, ..."""
        self.ask(Command.FILL, self.gva(gpa, alias), seed)

    def checksum(self, gpa: GPA, alias: int = 0) -> int:
        """The page's checksum (as `pattern.checksum` computes it) as it reads the bytes."""
        return self.ask(Command.CHECKSUM, self.gva(gpa, alias)).value

    def jump(self, gva: GVA) -> int:
        """Have it call `gva`; what the code there returns."""
        return self.ask(Command.JUMP, gva).value

    def remember(self, value: int) -> None:
        """Have it put 64 bits into a floating-point register."""
        self.ask(Command.REMEMBER, value)

    def recall(self) -> int:
        """What is in that register."""
        return self.ask(Command.RECALL).value

    def residue(self) -> int:
        """What the floating-point unit tells about whoever used it last; 0 if nothing."""
        return self.ask(Command.RESIDUE).value

    def hypercall(self, operation: int, *arguments: int) -> tuple[Status, Report]:
        """Have it issue a hypercall, with at most three arguments: status and report."""
        report = self.ask(Command.HYPERCALL, operation, *arguments)
        return self._named(Status, report.value), report

    def post(self, gpa: GPA, count: int = 1) -> None:
        """Have it post `count` pages of its window. RequestRefused if that is refused."""
        self._must(Operation.POST, gpa, count)

    def withdraw(self, gpa: GPA, count: int = 1) -> None:
        """Have it withdraw `count` pages of its window. RequestRefused if that is refused."""
        self._must(Operation.WITHDRAW, gpa, count)

    def _must(self, operation: Operation, *arguments: int) -> None:
        status, _ = self.hypercall(operation, *arguments)
        if status is not Status.OK:
            raise RequestRefused(status, f"{operation.name.lower()} by guest {self.name}")

    # How it is asked

    def ask(self, command: int, *arguments: int, timeout: Timeout = None) -> Report:
        """Give the agent work and return its report.

        Raises GuestFault, GuestException, GuestStopped; RequestRefused (busy) while it
        is at something else; ProtocolError if it came back without an answer; WaitTimeout,
        which says where it is, if it does not come back.
        """
        return self.begin(command, *arguments).result(timeout)

    def begin(self, command: int, *arguments: int) -> Work:
        """Give the agent work and do not wait for it. Its report counts from here on."""
        nonce = secrets.randbits(62) + 1
        words = " ".join(f"{word(value):#x}" for value in (command, *arguments))
        pending = self.machine.console.submit(f"ask {self.name} {nonce:#x} {words}")
        work = Work(self, nonce, _describe(command, arguments), pending)
        work.note(">", f"guest {self.name}: {work.what}")
        return work

    def report(self) -> Report:
        """The report page as it is now, whatever work it is about."""
        with self.machine.looking():
            fields = self.agent.read_struct(_REPORT.format(self.index))
        return Report(
            outcome=self._named(Outcome, fields["outcome"]),
            **{name: fields[name] for name in Report.__annotations__ if name != "outcome"},
        )

    def _named(self, names: type[_Name], number: int) -> _Name:
        """What a number of the report says. The guest can write any into its page."""
        if number not in list(names):
            what = names.__name__.lower()
            raise ProtocolError(f"guest {self.name} reports {what} {number:#x}, which is none")
        return names(number)

    @contextmanager
    def watching(self, gpa: GPA, alias: int = 0) -> Iterator[Work]:
        """While the block runs it reads a page all the time, without any exit.

        Until it loses the page: the work's `result` is a GuestFault then, which is no
        error at the end of the block.
        """
        work = self.begin(Command.WATCH, self.gva(gpa, alias))
        work.await_rounds(WATCHED)
        yield work
        self.stop_watch()
        with suppress(GuestFault):
            work.result()

    def stop_watch(self) -> None:
        """End the watch that the agent is at, which has begun: see `Work.await_rounds`."""
        self.agent.write(_STOP.format(self.index), self.report().begun)

    def where(self) -> str:
        """Where it last left its CPU: with one to itself, that may be long ago."""
        expression = self.machine.arch.program_counter.format(vm=self.vm, vcpu=self.index)
        counter = self._firmware.read_int(expression)
        reason = self._firmware.read_int(f"vms[{self.vm}].vcpus[{self.index}].exit_reason")
        where = f"{counter:#x}, {self.agent_image.describe(counter)}"
        return f"it last left its CPU at {where}, by exit {reason:#x}"


@dataclass(frozen=True)
class Work:
    """Something an agent was asked to do."""

    guest: Guest
    nonce: int
    what: str
    pending: Pending

    def note(self, way: str, text: str) -> None:
        """Have the machine's journal say it, with the number of the request on the console."""
        self.guest.machine.channel.journal.note("agent", way, f"{self.pending.seq} {text}")

    def await_rounds(self, rounds: int, timeout: Timeout = None) -> None:
        """Wait until a watch has gone round that often, as it says itself."""

        def gone_round() -> bool | None:
            report = self.guest.report()
            return (report.begun == self.nonce and report.rounds >= rounds) or None

        channel = self.guest.machine.channel
        channel.await_fact(gone_round, f"{rounds} rounds of {self.what}", timeout, every=POLL)

    def result(self, timeout: Timeout = None) -> Report:
        """Wait for the report. Errors as `Guest.ask`."""
        guest = self.guest
        try:
            reply = self.pending.result(timeout)
        except WaitTimeout as error:
            awaited = f"guest {guest.name} to come back from {self.what} ({guest.where()})"
            stands = error.standing
            raise WaitTimeout(awaited, error.seconds, error.seen, standing=stands) from error
        if reply.status is Status.STOPPED:
            raise GuestStopped(guest.vm, reply.text, guest.index, guest.where())
        if reply.status is not Status.OK:
            raise RequestRefused(reply.status, reply.text)
        report = guest.report()
        if report.nonce != self.nonce:
            raise ProtocolError(
                f"guest {guest.name} came back from {self.what} without an answer: its agent "
                f"is not {guest.agent_image.name}, or it waited in the middle of its work"
            )
        self.note("<", report.told)
        if report.outcome is Outcome.FAULT:
            gpa, access = GPA(report.address), Access(report.detail)
            raise GuestFault(guest.vm, gpa, access, self.what, guest.index)
        if report.outcome is Outcome.EXCEPTION:
            gva = GVA(report.address)
            raise GuestException(guest.vm, gva, report.detail, self.what, guest.index)
        if report.outcome is not Outcome.DONE:
            raise ProtocolError(f"guest {guest.name} says {report.outcome.name} to {self.what}")
        return report


def _within(number: int, size: int) -> int:
    if 0 <= number < size // PAGE_SIZE:
        return number
    raise ValueError(f"there is no page {number}: they are 0 to {size // PAGE_SIZE - 1}")


def ping(guests: Iterable[Guest], meanwhile: Callable[[], None] | None = None) -> None:
    """One round trip of each of their vCPUs, all on their way at once. Errors as `Guest.ask`.

    meanwhile  called when all have been asked, before the first answer is awaited
    """
    _round_trips((vcpu for guest in guests for vcpu in guest.vcpus), meanwhile)


def _round_trips(guests: Iterable[Guest], meanwhile: Callable[[], None] | None = None) -> None:
    begun = [guest.begin(Command.PING) for guest in guests]
    if meanwhile is not None:
        meanwhile()
    for work in begun:
        report = work.result()
        if report.value != ~report.nonce % _WORD:
            raise ProtocolError(f"{work.guest} answered a ping with {report.value:#x}")


def _describe(command: int, arguments: Iterable[int]) -> str:
    name = Command(command).name.lower() if command in list(Command) else f"command {command}"
    return " ".join([name, *(f"{value:#x}" for value in arguments)])
