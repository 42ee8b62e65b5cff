"""What the CPUs did that matters to the protocol.

`number` orders the events of all CPUs; `code` is the host-physical address of the
instruction. An event that tells of a store or an access happened before its number, after
`since` where there is one; every other happened at its number or just after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag

from ..address import GPA, HPA
from ..tables import Rights


class Part(Flag):
    """What a CPU may hold of a translation."""

    NONE = 0
    STAGE2 = 1
    """What stage 2 says of a page."""
    COMBINED = 2
    """What the two stages together make of an address."""
    ALL = STAGE2 | COMBINED


class Effect(Enum):
    """When an invalidation has taken effect on a CPU that it is for."""

    AT_ONCE = "at once"
    AT_BARRIER = "when the CPU that issued it has passed a barrier"
    AT_ENTRY = "when that CPU, kicked out of its guest, enters one again and flushes"


class Flush(Enum):
    """What a CPU forgets as it enters a guest."""

    NONE = "nothing"
    TAG = "what has this guest's tag"
    ALL = "everything"


@dataclass(frozen=True)
class Event:
    """Something that a CPU did."""

    number: int
    cpu: int
    code: int


@dataclass(frozen=True)
class Store(Event):
    """The hypervisor stored to what may be a table; `value` is in the 8 bytes afterwards."""

    address: HPA
    value: int
    since: int


@dataclass(frozen=True)
class Invalidate(Event):
    """An invalidation was issued.

    parts       what of a translation is forgotten; COMBINED counts only when STAGE2 is
                already gone, from which it would be made again
    everywhere  on all CPUs, otherwise on this one
    effect      when that is done
    orders      it orders the CPU's own stores before it, so that no barrier has to publish
                them for this CPU
    vm, gpa     of whose translations, of which page. None: of all, or not known from here,
                where a plugin cannot see an instruction's operands
    """

    parts: Part = Part.ALL
    everywhere: bool = False
    effect: Effect = Effect.AT_ONCE
    orders: bool = False
    vm: int | None = None
    gpa: GPA | None = None


@dataclass(frozen=True)
class Select(Event):
    """The CPU says in a register whose translations its invalidations are for. They are
    when it has settled what it wrote to its registers."""


@dataclass(frozen=True)
class Settle(Event):
    """What the CPU wrote to its registers holds from here on, as it does after an exception."""


@dataclass(frozen=True)
class Barrier(Event):
    """A barrier.

    publishes  table walkers find the stores before it
    completes  the invalidations before it have taken effect
    """

    publishes: bool = True
    completes: bool = True


@dataclass(frozen=True)
class Kick(Event):
    """Some other CPU was interrupted. Which one a plugin cannot see."""


@dataclass(frozen=True)
class Enter(Event):
    """A CPU enters a guest, whose translations have this tag (ASID, VMID) there."""

    vm: int
    tag: int
    flush: Flush = Flush.NONE


@dataclass(frozen=True)
class Leave(Event):
    """A CPU has left its guest."""


@dataclass(frozen=True)
class Access(Event):
    """A guest reached a frame."""

    vm: int
    frame: HPA
    right: Rights


@dataclass(frozen=True)
class Books(Event):
    """The hypervisor changed what it holds of frames, of pages that are expected, of vCPUs."""


@dataclass(frozen=True)
class Lock(Event):
    """A CPU took the lock of tables and books, or tried to, or gave it back."""

    taken: bool
