"""How a CPU that stands goes on by a step, a line or a function."""

from __future__ import annotations

from abc import abstractmethod

from ..channel import Deadline, Timeout
from ..wire.gdbmi import Result
from .stops import Standing, Stop
from .values import Values
from .views import Command

STEPS = 5
"""Times that a step is taken which changes nothing."""

STEPPED = "end-stepping-range"
"""gdb's reason for a stop after a step."""

STEP = "-exec-step-instruction"

CORE = 33
"""Registers, the first that gdb lists: the general ones, of which a step changes one, or pc."""


class Steps(Values):
    """The CPU that stopped goes on a little."""

    _stop: Stop | None

    @abstractmethod
    def wait(self, timeout: Timeout = None) -> Stop:
        """Wait for the machine to stop; at once if it stands."""

    @abstractmethod
    def _resume(self, *commands: Command) -> list[tuple[Result, str]]:
        """Execute commands of which the last lets it run."""

    def step(self, timeout: Timeout = None) -> Stop:
        """One source line, into functions. Other CPUs run meanwhile."""
        return self._advance("-exec-step", timeout)

    def next(self, timeout: Timeout = None) -> Stop:
        """One source line, over functions."""
        return self._advance("-exec-next", timeout)

    def step_instruction(self, timeout: Timeout = None) -> Stop:
        """One instruction."""
        return self._advance(STEP, timeout)

    def finish(self, timeout: Timeout = None) -> Stop:
        """Until the function it is in has returned."""
        return self._advance("-exec-finish", timeout)

    def _advance(
        self, command: str, timeout: Timeout = None, standing: Standing | None = None
    ) -> Stop:
        """QEMU may end a step before its instruction, when an interrupt waits to be looked
        at: one after which all is as it was is taken again, a few times.

        gdb says then that the step has ended, or that the breakpoint it began at was hit; a
        jump to itself looks the same. What else it says is believed: it has a cause of its own.

        standing  how it stands, if that is known
        """
        deadline = Deadline.after(timeout)
        first, before = self._stop, standing or self._standing()
        for _ in range(STEPS):
            self._resume(Command(command))
            stop = self.wait(deadline)
            ended = stop.reason == STEPPED or (stop.at_breakpoint and stop == first)
            if not ended or self._standing() != before:
                break
        return stop

    def _standing(self) -> Standing | None:
        """How it stands now; None while it runs."""
        if self._stop is None:
            return None
        names = [name for name, number in self._registers.items() if number < CORE]
        return Standing.of(self._stop, self.registers(names))

    def _leave(self) -> bool:
        """Step off a breakpoint; False if that led to another one."""
        before = self._stop
        if before is None or not before.at_breakpoint:
            return True
        standing = self._standing()
        stop = self._advance(STEP, standing=standing)
        return not stop.at_breakpoint or (standing and standing.address) == stop.frame.address
