"""What went over a machine's wires and when: all of them on one clock.

    12.345678 console > 17 remap 1 0x60100000 2 0x30000000
    12.346012 console < < 17 ok frame=0x500000
    12.346310 agent   < 18 done, value 0x7
    12.346410 qmp     > {"execute": "stop"}

The seconds are the monotonic clock's since the machine was made; `>` went to it, `<`
came from it, `#` was said about it. Told like a wire is what an agent was asked and what
its report page said, by the number of the request, and what the oracles found. Every wire
keeps its own last entries, so that a noisy one pushes out nothing that the others said.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from .errors import printable

ENTRIES_KEPT = 1000
"""Entries that each wire keeps, the last ones."""

LONGEST_ENTRY = 4096
"""Characters of an entry; of a longer one the beginning is kept."""


class Entry(NamedTuple):
    """One thing that was said: `seconds` after the start, on `wire`, to or from the machine."""

    seconds: float
    wire: str
    way: str
    text: str

    def __str__(self) -> str:
        return f"{self.seconds:12.6f} {self.wire:<7} {self.way} {printable(self.text)}"


class Journal:
    """Takes notes from any thread; the clock starts with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._wires: dict[str, deque[Entry]] = {}

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def note(self, wire: str, way: str, text: str) -> None:
        """Keep one line, without its end; `way` is one of `>`, `<` and `#`."""
        if len(text) > LONGEST_ENTRY:
            text = f"{text[:LONGEST_ENTRY]}... ({len(text)} characters)"
        with self._lock:
            wires = self._wires.setdefault(wire, deque(maxlen=ENTRIES_KEPT))
            wires.append(Entry(self.now, wire, way, text))

    def entries(self, since: float = 0.0, wires: Iterable[str] | None = None) -> list[Entry]:
        """What is kept of these wires (all if None) from `since` on, in the order of time."""
        with self._lock:
            names = list(self._wires if wires is None else wires)
            found = [entry for name in names for entry in self._wires.get(name, ())]
        return sorted((it for it in found if it.seconds >= since), key=lambda it: it.seconds)
