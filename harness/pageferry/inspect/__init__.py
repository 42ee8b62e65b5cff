"""What a stopped or running system is: its guests, their pages, who owns a frame.

    system.py    where the answers come from: memory, and variables or bare roots
    views.py     guests, walk, owner, map, diff, bytes: questions and their answers
    commands.py  the same as command lines, for gdb and for `pageferry inspect`
    render.py    answers as text for people and as JSON

Standard library only: gdb's own Python loads it.
"""

from .commands import USAGE, answer, parse, run
from .system import Roots, System, Variables
from .views import (
    Change,
    GuestSeen,
    Holder,
    Owner,
    Range,
    Record,
    VcpuSeen,
    bytes_at,
    diff,
    doubts,
    guests,
    map_of,
    owner,
    walk,
)

__all__ = [
    "USAGE",
    "Change",
    "GuestSeen",
    "Holder",
    "Owner",
    "Range",
    "Record",
    "Roots",
    "System",
    "Variables",
    "VcpuSeen",
    "answer",
    "bytes_at",
    "diff",
    "doubts",
    "guests",
    "map_of",
    "owner",
    "parse",
    "run",
    "walk",
]
