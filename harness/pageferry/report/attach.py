"""gdb on a machine that a failed test has left: at once, or when the run is over."""

from __future__ import annotations

from ..machine import Machine
from . import debugging

NOTE = "As the test has left it. hv help."


def command(machine: Machine) -> list[str]:
    """gdb with the machine's symbols, attached to it; a `Remote` too.

    A debugger that the test had is ended: the stub serves one at a time. Raises what
    `Monitor.human` does.
    """
    machine.release_debugger()
    return debugging.arguments(machine.kernel, machine.listen_for_debugger(), NOTE, ())


def debug(machine: Machine) -> None:
    """Give the terminal to gdb until the user leaves it. Raises HarnessError."""
    debugging.hand_over(command(machine))
