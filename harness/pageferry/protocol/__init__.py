"""How a translation has to be changed while CPUs use it, and whether it was done so.

    break        the old entry becomes absent, or loses a right
    invalidate   every CPU that may hold the old translation is made to forget it
    complete     ... and has
    make         the frame is given to somebody else, or the page another frame

events.py   what happened, one value each, in order; no architecture in them
shadow.py   the stage-2 tables, as the recorded stores make them
check.py    the rules

Everything here is pure: events in, violations out. It shares nothing with the firmware.
"""

from .check import Rule, Start, Violation, check
from .events import (
    Access,
    Barrier,
    Books,
    Effect,
    Enter,
    Event,
    Flush,
    Invalidate,
    Kick,
    Leave,
    Lock,
    Part,
    Select,
    Settle,
    Store,
)

__all__ = [
    "Access",
    "Barrier",
    "Books",
    "Effect",
    "Enter",
    "Event",
    "Flush",
    "Invalidate",
    "Kick",
    "Leave",
    "Lock",
    "Part",
    "Rule",
    "Select",
    "Settle",
    "Start",
    "Store",
    "Violation",
    "check",
]
