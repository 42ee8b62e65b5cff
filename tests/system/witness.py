"""A guest that reads (or writes) one page all the time, and what is seen of it meanwhile.

Its loop has no exit. So as long as its exits are not counted on, nothing has given its CPU
an occasion to forget a translation: not the hypervisor, and not an emulator that flushes
whenever a guest is left or entered. What it reads after it lost the page is then what a
forgotten invalidation leaks.
"""

from dataclasses import dataclass

from pageferry import Command
from pageferry.abi import Outcome
from pageferry.address import GPA
from pageferry.guest import POLL, Guest, Report

ROUNDS = 1000
"""Of its loop, that a witness goes without an exit before its page is taken."""


@dataclass(frozen=True)
class Look:
    """One look at a witness.

    exits   counted before the report was read
    report  with the value that it read last
    ended   the loop is over, and the report will not change any more
    """

    exits: int
    report: Report
    ended: bool

    def __str__(self) -> str:
        report = self.report
        end = f", {report.outcome.name.lower()} at {report.address:#x}" if self.ended else ""
        return f"{self.exits} exits, {report.rounds} rounds, read {report.value:#x} last{end}"

    @property
    def faulted_at(self) -> int | None:
        """The address whose fault ended it; None if it goes on or ended in another way."""
        faulted = self.ended and self.report.outcome is Outcome.FAULT
        return self.report.address if faulted else None


class Witness:
    """A vCPU of a guest in a watch of `gpa`, by either of the guest's addresses for it.

    command  the loop it is in: it reads (WATCH) or writes (SCRIBBLE)

    `str` tells what was seen of it, for the message of a failure.
    """

    def __init__(
        self, guest: Guest, gpa: GPA, alias: int = 0, command: Command = Command.WATCH
    ) -> None:
        self.guest = guest
        gva = guest.gva(gpa, alias)
        self._seen = [f"{command.name.lower()} by guest {guest.name} of {gpa:#x} at {gva:#x}"]
        self.work = guest.begin(command, gva)
        self.work.await_rounds(1)

    def __str__(self) -> str:
        return "\n  ".join(self._seen)

    def look(self) -> Look:
        """How far it is now."""
        exits = self.guest.exits
        report = self.guest.report()
        return Look(exits, report, report.nonce == self.work.nonce)

    def note(self, when: str, look: Look | None = None) -> Look:
        """Keep a look for the message of a failure."""
        look = look or self.look()
        self._seen.append(f"{when}: {look}")
        return look

    def await_undisturbed(self) -> None:
        """Wait until it has gone round `ROUNDS` times, up to now, without an exit.

        The kick that woke it may have been on its way still, so that it begins with one.
        """
        first = self.look()

        def undisturbed() -> Look | None:
            nonlocal first
            now = self.look()
            if self.guest.exits != first.exits:
                first = now
            return now if now.report.rounds >= first.report.rounds + ROUNDS else None

        awaited = f"{ROUNDS} rounds without an exit of guest {self.guest.name}"
        now = self.guest.machine.await_fact(undisturbed, awaited, every=POLL)
        self.note("undisturbed since", first)
        self.note("just before", now)

    def await_later(self) -> Look:
        """Wait until it has ended, or has gone round `ROUNDS` times more; how that looks."""
        before = self.note("after")

        def later() -> Look | None:
            now = self.look()
            enough = now.report.rounds >= before.report.rounds + ROUNDS
            return now if now.ended or enough else None

        awaited = f"the end of the loop, or {ROUNDS} rounds more"
        return self.note("later", self.guest.machine.await_fact(later, awaited, every=POLL))
