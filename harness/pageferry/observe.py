"""Observers at both ends of a hand-over: what they see before, what they see after.

    observers = Observers(bed, source, gpa, target, to)      looks, before
    ... whatever happens to the page ...
    scene = observers.conclude()                             looks again, after

Each look asks the guest, on each of its vCPUs, to read and to write the page by both of
its addresses, walks its stage 2 in physical memory, and reads the frame. Nobody here learns
what was asked of the hypervisor, or what it answered.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from .abi import Operation
from .address import GPA, HPA, PAGE_SIZE
from .errors import GuestFault
from .guest import ALIASES, Guest
from .pattern import checksum
from .verdict import Access, End, Place, Scene, Sight

if TYPE_CHECKING:
    from .testbed import Testbed

_ELSEWHERE = "a store that did not reach the frame"


@dataclass(frozen=True)
class Look:
    """One end at one moment: the sight, and what it was concluded from.

    entry  the raw leaf entry of stage 2, None if no table has one for the page
    data   the frame's bytes in RAM, None without a frame
    """

    sight: Sight
    entry: int | None
    data: bytes | None


class Observers:
    """Two ends of one possible hand-over. Takes the look before when it is made.

    To look is to try: the guests read and write the page (and put back what was there),
    and a source that has lost it asks to have it back. After a lend it has it then.
    """

    def __init__(self, bed: Testbed, source: Guest, gpa: GPA, target: Guest, to: GPA) -> None:
        self._bed = bed
        self._ends = ((source, gpa), (target, to))
        self.before = self._look()
        self._strangers = self._find_strangers(self.before)
        self.after: tuple[Look, Look] | None = None

    def conclude(self) -> Scene:
        """Look again, and probe whether the source can take back by itself what it lost."""
        self.after = self._look()
        (source, gpa), (target, to) = self._ends
        scene = Scene(
            source=End(source.vm, gpa, self.before[0].sight, self.after[0].sight),
            target=End(target.vm, to, self.before[1].sight, self.after[1].sight),
            strangers_before=self._strangers,
            strangers_after=self._find_strangers((*self.before, *self.after)),
            returned=self._probe_return(self.after),
        )
        for line in str(scene).splitlines():
            self._bed.machine.channel.journal.note("oracle", "#", line)
        return scene

    def _look(self) -> tuple[Look, Look]:
        (source, gpa), (target, to) = self._ends
        return look(self._bed, source, gpa), look(self._bed, target, to)

    def _find_strangers(self, looks: tuple[Look, ...]) -> frozenset[Place]:
        frames = {seen.sight.frame for seen in looks} - {None}
        ends = {(guest.vm, gpa) for guest, gpa in self._ends}
        return frozenset(
            Place(vm, gpa, frame)
            for vm, gpa, frame in self._bed.mapped()
            if frame in frames and (vm, gpa) not in ends
        )

    def _probe_return(self, after: tuple[Look, Look]) -> bool | None:
        """Only where a lend and a remap look the same: the target alone reads the frame."""
        alone = after[0].sight.access is Access.FAULT and after[1].sight.access is not Access.FAULT
        if not alone or after[1].sight.frame != self.before[0].sight.frame:
            return None
        source, gpa = self._ends[0]
        source.hypercall(Operation.RECLAIM, gpa)
        return look(self._bed, source, gpa).sight.access is not Access.FAULT


def look(bed: Testbed, guest: Guest, gpa: GPA) -> Look:
    """What the guest itself, its table and the frame say about a page, now."""
    found = guest.stage2(gpa)
    frame = found.output
    data = None if frame is None else bed.machine.memory.read(frame, PAGE_SIZE)
    stored = None if data is None else _digest(checksum(data))
    access, least, seen = _witness(bed, guest, gpa, frame, stored)
    leaf = found.steps[-1] if found.steps and found.steps[-1].level == 0 else None
    sight = Sight(frame, found.rights, access, seen, stored, least)
    return Look(sight, leaf.raw if leaf else None, data)


def _digest(value: int) -> str:
    return f"{value:016x}"


def _witness(
    bed: Testbed, guest: Guest, gpa: GPA, frame: HPA | None, stored: str | None
) -> tuple[Access, Access | None, str | None]:
    """The strongest access by any vCPU and alias, the weakest if it is another, and what was
    read; a reading that contradicts the frame is preferred to one that agrees."""
    tries = [_try(bed, vcpu, gpa, alias, frame) for vcpu, alias in product(guest.vcpus, ALIASES)]
    readings = [read for _, read in tries if read is not None]
    seen = next((read for read in readings if read != stored), next(iter(readings), None))
    possible = {access for access, _ in tries}
    weakest = next(access for access in Access if access in possible)
    strongest = next(access for access in reversed(Access) if access in possible)
    return strongest, weakest if weakest is not strongest else None, seen


def _try(
    bed: Testbed, vcpu: Guest, gpa: GPA, alias: int, frame: HPA | None
) -> tuple[Access, str | None]:
    """What one vCPU can do at one address, and what it reads there."""
    try:
        read = _digest(vcpu.checksum(gpa, alias))
    except GuestFault:
        return Access.FAULT, None
    try:
        reached = _try_store(bed, vcpu, gpa, alias, frame)
    except GuestFault:
        return Access.READ_ONLY, read
    return Access.READ_WRITE, read if reached else _ELSEWHERE


def _try_store(bed: Testbed, guest: Guest, gpa: GPA, alias: int, frame: HPA | None) -> bool:
    """Have the guest write a nonce, see whether it is in the frame, have it put back."""
    nonce = secrets.token_bytes(8)
    old = guest.load(gpa, alias)
    guest.store(gpa, int.from_bytes(nonce, "little"), alias)
    reached = frame is not None and bed.machine.memory.read(frame, 8) == nonce
    guest.store(gpa, old, alias)
    return reached
