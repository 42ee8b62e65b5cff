"""What is set in gdb and deleted again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ..channel import Timeout

if TYPE_CHECKING:
    from .core import Debugger

WATCH = {"write": "", "read": "-r ", "access": "-a "}
"""The option of -break-watch for what is watched for."""


@dataclass(frozen=True)
class Breakpoint:
    """A breakpoint or a watchpoint, by gdb's number. A `with` deletes it."""

    number: int
    debugger: Debugger

    def delete(self, timeout: Timeout = None) -> None:
        """Remove it. DebuggerError if it is not there any more."""
        self.debugger.delete(self.number, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()
