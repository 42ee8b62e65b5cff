"""Where the machine stopped, as gdb says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

EXPLAINED_SIGNALS = ("SIGINT", "SIGTRAP")
"""Of an interruption and of a breakpoint. A stub gives others for what it has no name for:
QEMU for a panic and a shutdown, which the monitor explains."""


@dataclass(frozen=True)
class Frame:
    """A place in the code. `line` is "file.c:12"; it and `function` are None outside of all."""

    address: int
    function: str | None
    line: str | None

    def __str__(self) -> str:
        known = f" {self.function or '?'} ({self.line or '?'})"
        return f"{self.address:#x}{known if self.function or self.line else ''}"

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Frame:
        """From the `frame` of an MI record."""
        file, number = payload.get("file"), payload.get("line")
        line = f"{PurePath(file).name}:{number}" if file and number else None
        function = payload.get("func")
        return cls(int(payload["addr"], 16), None if function == "??" else function, line)


@dataclass(frozen=True)
class Stop:
    """A stop of all CPUs.

    reason      gdb's word: breakpoint-hit, watchpoint-trigger, end-stepping-range,
                function-finished, signal-received, or "" right after attaching
    thread      gdb's number of the CPU that brought it about
    frame       where that CPU is
    breakpoint  the number of the breakpoint or watchpoint, None for other reasons
    signal      its name for signal-received: SIGINT after an interruption
    old, new    what a watched expression was and is, as gdb writes it
    temporary   whether it is a breakpoint that has been deleted, thereby or since
    """

    reason: str
    thread: int
    frame: Frame
    breakpoint: int | None = None
    signal: str | None = None
    old: str | None = None
    new: str | None = None
    temporary: bool = False

    @property
    def explained(self) -> bool:
        """Whether the debugger brought it about, and not the end of the machine."""
        return self.signal is None or self.signal in EXPLAINED_SIGNALS

    @property
    def interrupted(self) -> bool:
        """Whether it stands for nothing but a signal: for that of an interruption, which stubs
        of boards call differently, or for the machine's end."""
        return self.reason == "signal-received"

    @property
    def at_breakpoint(self) -> bool:
        """Whether there is still a breakpoint where it stands, which brought it about."""
        return self.reason == "breakpoint-hit" and not self.temporary

    def __str__(self) -> str:
        why = self.signal or self.reason or "attached"
        return f"{why} at {self.frame}"

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Stop:
        """From a `*stopped` notice."""
        watched: Mapping[str, Any] = next((payload[key] for key in _WATCHED if key in payload), {})
        number = payload.get("bkptno") or watched.get("number")
        values = payload.get("value", {})
        return cls(
            payload.get("reason", ""),
            int(payload["thread-id"]),
            Frame.of(payload["frame"]),
            None if number is None else int(number),
            payload.get("signal-name"),
            values.get("old"),
            values.get("new", values.get("value")),
            payload.get("disp") == "del",
        )


_WATCHED = ("wpt", "hw-rwpt", "hw-awpt")
"""Watched for writing, for reading, for either."""


COUNTERS = ("pc", "rip")
"""How gdb names the program counter."""


@dataclass(frozen=True)
class Standing:
    """Which CPU stands where and with what in its registers."""

    thread: int
    address: int
    registers: dict[str, int]

    @classmethod
    def of(cls, stop: Stop, registers: dict[str, int]) -> Standing:
        """By the registers, if the program counter is among them: it may have been changed
        after the stop."""
        counters = (registers[name] for name in COUNTERS if name in registers)
        return cls(stop.thread, next(counters, stop.frame.address), registers)
