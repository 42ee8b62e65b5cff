"""Commands of gdb, each with the addresses it means: the CPU's, or physical ones.

QEMU's stub takes every address as the current CPU does, until it is told to take it for a
physical one (QEMU's docs/system/gdb.rst, "Examining physical memory"). It is told when a
command needs the other view, and between requests it has the CPU's: gdb itself reads
memory when a breakpoint is hit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..channel import Timeout
from ..errors import DebuggerError, HarnessError
from ..wire.gdbmi import Result, quoted
from .process import Gdb

_REFUSED = "the stub has no view of physical memory (Qqemu.PhyMemMode)"


class Command(NamedTuple):
    """An MI command and whether its addresses are physical."""

    text: str
    physical: bool = False


def on_console(line: str) -> str:
    """The MI command that executes `line` as a person types it."""
    return f"-interpreter-exec console {quoted(line)}"


class Views:
    """The commands of one gdb."""

    def __init__(self, gdb: Gdb) -> None:
        self._gdb = gdb
        self._physical: bool | None = False
        """The view that the stub has; None if Ctrl-C left it unknown."""
        self._known = False
        """Whether the stub has both views: until then it is asked before anything else."""

    def execute_all(
        self, commands: Sequence[Command], timeout: Timeout = None, *, standing: bool
    ) -> list[tuple[Result, str]]:
        """Results and texts of commands, sent with no pause, as `Gdb.execute_all` does.

        Unless the machine is `standing` nothing is read, and the stub does not listen: the
        view stays.
        """
        if not self._known and any(command.physical for command in commands):
            self._ask()
        view, lines, kept = self._physical, [], []
        for command in commands:
            if command.physical is not view and standing:
                view = command.physical
                lines.append(_switch(physical=view))
            kept.append(len(lines))
            lines.append(command.text)
        self._physical = view  # in any case: one that is refused does not stop the others
        try:
            found = self._gdb.execute_all(lines, timeout)
        except HarnessError:
            raise
        except BaseException:  # Ctrl-C: who knows what was sent
            self._physical = None
            raise
        return [found[place] for place in kept]

    def _ask(self) -> None:
        """A stub that knows no such packet would take a physical address for a virtual one."""
        _, said = self._gdb.execute_all([_switch(physical=True), _switch(physical=False)])[0]
        if 'received: "OK"' not in said:
            raise DebuggerError(_REFUSED)
        self._known = True


def _switch(*, physical: bool) -> str:
    return on_console(f"maintenance packet Qqemu.PhyMemMode:{physical:d}")
