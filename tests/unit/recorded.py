"""Histories written by hand: two VMs of one page each, on x86-64 tables made of bits.

VM 1: root 1000h -> 2000h -> 3000h -> 4000h, page 0 is frame 50000h
VM 2: root 11000h -> 12000h -> 13000h -> 14000h, empty
"""

from collections.abc import Iterable
from dataclasses import replace

from tests.unit.handmade import OPEN

from pageferry import arch
from pageferry.address import HPA
from pageferry.protocol import (
    Access,
    Barrier,
    Enter,
    Event,
    Flush,
    Kick,
    Leave,
    Lock,
    Rule,
    Start,
    Store,
    check,
)
from pageferry.tables import Rights

FRAME = HPA(0x50000)
OTHER_FRAME = HPA(0x51000)
ENTRY = HPA(0x4000)
"""VM 1's entry for page 0."""

TABLE_ENTRY = HPA(0x3000)
"""The one that leads to it."""

TARGET = HPA(0x14008)
"""VM 2's entry for page 1000h."""

READ_ONLY = OPEN & ~2
READ = Rights.READ

WORDS = {
    0x1000: 0x2000 | OPEN,
    0x2000: 0x3000 | OPEN,
    0x3000: 0x4000 | OPEN,
    0x4000: FRAME | OPEN,
    0x11000: 0x12000 | OPEN,
    0x12000: 0x13000 | OPEN,
    0x13000: 0x14000 | OPEN,
}

BOTH = frozenset(((cpu, vm), vm) for cpu in (0, 1, 2) for vm in (1, 2))
"""Every CPU may hold something of both VMs; a VM's number is its tag."""

START = Start(arch.get("x86_64").stage2, 0x60, {1: HPA(0x1000), 2: HPA(0x11000)}, WORDS, holds=BOTH)
"""No CPU is in a guest."""

RUNNING = replace(START, inside={1: (1, 1), 2: (2, 2)})
"""VM 1 on CPU 1 and VM 2 on CPU 2, both in their guests."""


def lock(cpu: int = 0) -> Lock:
    return Lock(0, cpu, 0, taken=True)


def unlock(cpu: int = 0) -> Lock:
    return Lock(0, cpu, 0, taken=False)


def store(address: HPA, value: int, cpu: int = 0) -> Store:
    return Store(0, cpu, 0, address, value, since=0)


def unmap(cpu: int = 0) -> Store:
    return store(ENTRY, 0, cpu)


def make(flags: int = OPEN, frame: HPA = FRAME) -> Store:
    return store(TARGET, frame | flags)


def kick() -> Kick:
    return Kick(0, 0, 0)


def leave(cpu: int = 1) -> Leave:
    return Leave(0, cpu, 0)


def enter(cpu: int = 1, vm: int = 1, flush: Flush = Flush.ALL, tag: int | None = None) -> Enter:
    return Enter(0, cpu, 0, vm, tag or vm, flush)


def barrier(publishes: bool = True, completes: bool = True) -> Barrier:
    return Barrier(0, 0, 0, publishes, completes)


def access(cpu: int, vm: int, right: Rights = READ, frame: HPA = FRAME) -> Access:
    return Access(0, cpu, 0, vm, frame, right)


def numbered(events: Iterable[Event]) -> list[Event]:
    """Each event with its place as its number; a store began just after the event before."""
    found: list[Event] = []
    for number, event in enumerate(events):
        at = replace(event, number=number)
        found.append(replace(at, since=number) if isinstance(at, Store) else at)
    return found


def rules(start: Start, *events: Event) -> list[Rule]:
    """The rules that the events break, in order."""
    return [it.rule for it in check(start, numbered(events))]
