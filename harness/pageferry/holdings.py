"""Who holds which page: the words of the ownership model, and states to start from.

    State -> Vm -> Page(frame, rights)       one per GPA a VM maps
          -> Holding(owner, loan)            one per frame of a guest

States never change; `ownership` makes new ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from .abi import GuestMap, Status
from .address import GPA, HPA, PAGE_SIZE, in_hex
from .tables import Rights

Observed = Mapping[int, Mapping[GPA, tuple[HPA, Rights]]]
"""Per VM, what its stage-2 table was seen to map: page -> (frame, rights)."""


@dataclass(frozen=True)
class Fresh:
    """A frame not seen yet: the `number`th copy's. `bind` replaces it."""

    number: int

    def __str__(self) -> str:
        return f"the frame of copy {self.number}"


Frame = HPA | Fresh


@dataclass(frozen=True)
class Area:
    """The guest-physical bytes from `start` on, `size` of them."""

    start: GPA
    size: int

    def holds(self, gpa: int, length: int = 1) -> bool:
        """Whether all of the `length` bytes from `gpa` on lie inside."""
        return self.start <= gpa and gpa + length <= self.start + self.size


RAM = Area(GPA(GuestMap.RAM), GuestMap.RAM_SIZE)
WINDOW = Area(GPA(GuestMap.WINDOW), GuestMap.WINDOW_SIZE)


@dataclass(frozen=True)
class Page:
    """What a VM has at one GPA."""

    frame: Frame
    rights: Rights

    __repr__ = in_hex


@dataclass(frozen=True)
class Loan:
    """A share in force: where the page is at both ends, and the owner's rights before."""

    home: GPA
    borrower: int
    gpa: GPA
    before: Rights

    __repr__ = in_hex


@dataclass(frozen=True)
class Holding:
    """Who owns a frame, and its loan if there is one."""

    owner: int
    loan: Loan | None = None


@dataclass(frozen=True)
class Vm:
    """One VM's pages, and where it may receive more."""

    pages: Mapping[GPA, Page]
    posted: frozenset[GPA] = frozenset()
    ram: Area = RAM
    window: Area = WINDOW


@dataclass(frozen=True)
class State:
    """Everything that should be true. Ids as the firmware counts them: from 1.

    protected  frames of the hypervisor and of tables, as far as they are known
    free       the frames that a copy may be made in, None if that is not known
    copies     how many copies were made: names the next Fresh
    """

    vms: Mapping[int, Vm]
    frames: Mapping[Frame, Holding]
    protected: frozenset[HPA] = frozenset()
    free: frozenset[HPA] | None = None
    copies: int = 0


_NOWHERE = GPA(0)


@dataclass(frozen=True)
class Request:
    """One operation as asked, by whatever door. `operation` may be any number.

    post and withdraw use `pages`; remap, share and copy use `target` and `target_gpa`.
    """

    operation: int
    vm: int
    gpa: GPA
    target: int = 0
    target_gpa: GPA = _NOWHERE
    pages: int = 1

    __repr__ = in_hex


@dataclass(frozen=True)
class Outcome:
    """The status the firmware must answer with, and what is true afterwards."""

    status: Status
    state: State


def boot(
    observed: Observed,
    posted: Collection[GPA] | None = None,
    protected: Collection[HPA] = (),
    free: Collection[HPA] | None = None,
) -> State:
    """The state of a machine whose guests just started, from what they map then.

    observed   what each VM's stage-2 table maps; every VM is in it
    posted     what each VM posted, None for its whole window (as the agent does)
    protected  frames of the hypervisor and of tables

    Raises ValueError if two pages share a frame: then nothing can be concluded later.
    """
    if posted is None:
        posted = range_pages(WINDOW.start, WINDOW.size // PAGE_SIZE)
    frames: dict[Frame, Holding] = {}
    vms = {}
    for vm, mapped in observed.items():
        vms[vm] = Vm({g: Page(f, r) for g, (f, r) in mapped.items()}, frozenset(posted))
        for gpa, (frame, _) in mapped.items():
            if frame in frames:
                raise ValueError(
                    f"frame {frame:#x} is mapped twice at boot: by VM {frames[frame].owner}, "
                    f"and by VM {vm} at {gpa:#x}"
                )
            frames[frame] = Holding(vm)
    return State(vms, frames, frozenset(protected), None if free is None else frozenset(free))


def range_pages(gpa: GPA, pages: int) -> frozenset[GPA]:
    """The `pages` pages from `gpa` on."""
    return frozenset(GPA(gpa + PAGE_SIZE * index) for index in range(pages))


def put(state: State, vm: int, gpa: GPA, page: Page | None) -> State:
    """The state with `page` at `gpa` of `vm`, or with nothing there."""
    pages = dict(state.vms[vm].pages)
    pages.pop(gpa, None)
    if page is not None:
        pages[gpa] = page
    return replace(state, vms={**state.vms, vm: replace(state.vms[vm], pages=pages)})


def bind(state: State, observed: Observed) -> State:
    """The state with the copies' frames filled in where they can be seen.

    A frame that somebody had already, that is protected, or that was not free is not
    accepted: that copy stays unbound.
    """
    for vm, gpa, page in _fresh_pages(state):
        seen = observed.get(vm, {}).get(gpa)
        if seen is None or not _may_be_fresh(state, seen[0]):
            continue
        frames = {(seen[0] if f == page.frame else f): h for f, h in state.frames.items()}
        state = replace(state, frames=frames)
        for holder, at in _mappers(state, page.frame):
            bound = replace(state.vms[holder].pages[at], frame=seen[0])
            state = put(state, holder, at, bound)
    return state


def _may_be_fresh(state: State, frame: HPA) -> bool:
    if frame in state.frames or frame in state.protected:
        return False
    return state.free is None or frame in state.free


def _fresh_pages(state: State) -> list[tuple[int, GPA, Page]]:
    return [
        (vm, gpa, page)
        for vm, held in state.vms.items()
        for gpa, page in held.pages.items()
        if isinstance(page.frame, Fresh)
    ]


def _mappers(state: State, frame: Frame) -> list[tuple[int, GPA]]:
    return [
        (vm, gpa)
        for vm, held in state.vms.items()
        for gpa, page in held.pages.items()
        if page.frame == frame
    ]
