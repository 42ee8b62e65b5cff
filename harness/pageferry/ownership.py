"""What should be true: who owns each frame, who has it on loan, who maps it where.

The model shares nothing with the firmware. `apply` says which status an operation
must get and what is true afterwards; `disagreements` compares that with what the
tables were seen to say. States never change: a refused operation returns the very
state it was given.

    operation   source's page afterwards      target's page     frame's owner, borrower
    remap       gone                          read, write       target, nobody
    share       read                          read              source, target
    copy        as before                     read, write       (a frame nobody had) target
    reclaim     (of the owner) rights before  (borrower) gone   owner, nobody
    relinquish  (of the owner) rights before  (borrower) gone   owner, nobody

Received pages are data: nobody executes them. The first check that fails names
the status, in this order:

    unknown-operation                   no such number
    unknown-vm                          source, then target
    same-vm                             source is target
    misaligned                          source's address, then target's
    out-of-range                        source's: RAM or window; target's: the window
    not-mapped                          source has no page there
    protected                           it has one, on a frame that is no guest's
    not-owner, shared                   remap, share, copy: the source must hold it alone
    not-owner, not-shared               reclaim: its owner, and lent
    not-shared                          relinquish: a borrower
    not-posted, occupied                target's page
    no-memory                           nothing left for a table or for the copy

post and withdraw know unknown-vm, misaligned and out-of-range only. A page stays
posted after something was received there: it "may receive when empty".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from .abi import Operation, Status
from .address import GPA, HPA, PAGE_SIZE, is_aligned
from .holdings import (
    RAM,
    WINDOW,
    Area,
    Frame,
    Fresh,
    Holding,
    Loan,
    Observed,
    Outcome,
    Page,
    Request,
    State,
    Vm,
    bind,
    boot,
    put,
    range_pages,
)
from .tables import Rights

__all__ = [
    "DATA",
    "RAM",
    "WINDOW",
    "Area",
    "Disagreement",
    "Frame",
    "Fresh",
    "Holding",
    "Loan",
    "Observed",
    "Outcome",
    "Page",
    "Request",
    "State",
    "Vm",
    "Wrong",
    "apply",
    "bind",
    "boot",
    "disagreements",
    "range_pages",
]

DATA = Rights.READ | Rights.WRITE
"""What a received page allows."""


_TRANSFERS = (Operation.REMAP, Operation.SHARE, Operation.COPY)
_RETURNS = (Operation.RECLAIM, Operation.RELINQUISH)
_POSTINGS = (Operation.POST, Operation.WITHDRAW)


def apply(state: State, request: Request, no_memory: bool = False) -> Outcome:
    """What `request` must be answered with in `state`, and what is true afterwards.

    no_memory  the hypervisor has no frame left and this operation would need one

    Raises ValueError for operations that are not about pages (wait, recover, ask).
    """
    if request.operation not in list(Operation):
        return Outcome(Status.UNKNOWN_OPERATION, state)
    if request.operation in _TRANSFERS:
        status = _check_transfer(state, request)
        if status is Status.OK and no_memory:
            status = Status.NO_MEMORY
        commit = _transfer
    elif request.operation in _RETURNS:
        status, commit = _check_return(state, request), _end_share
    elif request.operation in _POSTINGS:
        status, commit = _check_posting(state, request), _posting
    else:
        raise ValueError(f"{Operation(request.operation).name} is not about pages")
    return Outcome(status, commit(state, request) if status is Status.OK else state)


def _check_source(state: State, request: Request) -> Status:
    """What every operation on a page needs, from the address on."""
    vm = state.vms[request.vm]
    if not vm.ram.holds(request.gpa) and not vm.window.holds(request.gpa):
        return Status.OUT_OF_RANGE
    page = vm.pages.get(request.gpa)
    if page is None:
        return Status.NOT_MAPPED
    if page.frame in state.protected or page.frame not in state.frames:
        return Status.PROTECTED
    return Status.OK


def _check_transfer(state: State, request: Request) -> Status:
    if request.vm not in state.vms or request.target not in state.vms:
        return Status.UNKNOWN_VM
    if request.vm == request.target:
        return Status.SAME_VM
    if not is_aligned(request.gpa) or not is_aligned(request.target_gpa):
        return Status.MISALIGNED
    target = state.vms[request.target]
    source_status = _check_source(state, request)
    if source_status is Status.OUT_OF_RANGE or not target.window.holds(request.target_gpa):
        return Status.OUT_OF_RANGE
    if source_status is not Status.OK:
        return source_status
    holding = state.frames[state.vms[request.vm].pages[request.gpa].frame]
    if holding.owner != request.vm:
        return Status.NOT_OWNER
    if holding.loan is not None:
        return Status.SHARED
    if request.target_gpa not in target.posted:
        return Status.NOT_POSTED
    return Status.OCCUPIED if request.target_gpa in target.pages else Status.OK


def _check_return(state: State, request: Request) -> Status:
    if request.vm not in state.vms:
        return Status.UNKNOWN_VM
    if not is_aligned(request.gpa):
        return Status.MISALIGNED
    status = _check_source(state, request)
    if status is not Status.OK:
        return status
    holding = state.frames[state.vms[request.vm].pages[request.gpa].frame]
    if request.operation == Operation.RECLAIM and holding.owner != request.vm:
        return Status.NOT_OWNER
    if holding.loan is None:
        return Status.NOT_SHARED
    if request.operation == Operation.RELINQUISH and holding.loan.borrower != request.vm:
        return Status.NOT_SHARED
    return Status.OK


def _check_posting(state: State, request: Request) -> Status:
    if request.vm not in state.vms:
        return Status.UNKNOWN_VM
    if not is_aligned(request.gpa):
        return Status.MISALIGNED
    window = state.vms[request.vm].window
    whole = request.pages >= 1 and window.holds(request.gpa, request.pages * PAGE_SIZE)
    return Status.OK if whole else Status.OUT_OF_RANGE


def _hold(state: State, frame: Frame, holding: Holding) -> State:
    return replace(state, frames={**state.frames, frame: holding})


def _transfer(state: State, request: Request) -> State:
    page = state.vms[request.vm].pages[request.gpa]
    to = (request.target, request.target_gpa)
    if request.operation == Operation.REMAP:
        state = put(state, request.vm, request.gpa, None)
        state = put(state, *to, Page(page.frame, DATA))
        return _hold(state, page.frame, Holding(request.target))
    if request.operation == Operation.SHARE:
        shared = Page(page.frame, Rights.READ)
        state = put(put(state, request.vm, request.gpa, shared), *to, shared)
        loan = Loan(request.gpa, *to, before=page.rights)
        return _hold(state, page.frame, Holding(request.vm, loan))
    copy = Fresh(state.copies)
    state = _hold(put(state, *to, Page(copy, DATA)), copy, Holding(request.target))
    return replace(state, copies=state.copies + 1)


def _end_share(state: State, request: Request) -> State:
    frame = state.vms[request.vm].pages[request.gpa].frame
    holding = state.frames[frame]
    loan = holding.loan
    assert loan is not None, "checked before"
    state = put(state, loan.borrower, loan.gpa, None)
    state = put(state, holding.owner, loan.home, Page(frame, loan.before))
    return _hold(state, frame, Holding(holding.owner))


def _posting(state: State, request: Request) -> State:
    vm = state.vms[request.vm]
    named = range_pages(request.gpa, request.pages)
    posted = vm.posted | named if request.operation == Operation.POST else vm.posted - named
    return replace(state, vms={**state.vms, request.vm: replace(vm, posted=posted)})


class Wrong(Enum):
    """How what is seen may differ from what should be."""

    MISSING_PAGE = "missing page"
    UNEXPECTED_PAGE = "unexpected page"
    WRONG_FRAME = "wrong frame"
    WRONG_RIGHTS = "wrong rights"
    STRANGER = "stranger"
    SECOND_MAPPING = "second mapping"
    TWO_WRITERS = "two writers"
    PROTECTED_FRAME = "protected frame"
    UNKNOWN_VM = "unknown VM"
    BOOKKEEPING = "wrong bookkeeping"


@dataclass(frozen=True)
class Disagreement:
    """One thing that is not as it should be; `text` names pages and frames."""

    kind: Wrong
    text: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.text}"


def disagreements(state: State, observed: Observed) -> list[Disagreement]:
    """How what the tables were seen to say differs from `state`; empty when it does not.

    A copy not bound yet may be on any frame that nobody had and that is not protected.
    """
    state = bind(state, observed)
    found = [
        Disagreement(Wrong.UNKNOWN_VM, f"VM {vm} was seen, the model has none")
        for vm in observed.keys() - state.vms.keys()
    ]
    for vm, held in state.vms.items():
        seen = observed.get(vm, {})
        for gpa in sorted(held.pages.keys() | seen.keys()):
            found += _compare(state, vm, gpa, held.pages.get(gpa), seen.get(gpa))
    found += _shared_frames(observed)
    return found


def _named(rights: Rights) -> str:
    return "+".join(r.name.lower() for r in rights if r.name) or "nothing"


def _written(frame: Frame) -> str:
    return f"{frame}, which nobody had" if isinstance(frame, Fresh) else f"frame {frame:#x}"


def _at(vm: int, gpa: GPA) -> str:
    return f"VM {vm} at {gpa:#x}"


def _compare(
    state: State, vm: int, gpa: GPA, page: Page | None, seen: tuple[HPA, Rights] | None
) -> Iterator[Disagreement]:
    if seen is None:
        if page is not None:
            text = f"{_at(vm, gpa)} should map {_written(page.frame)}, and maps nothing"
            yield Disagreement(Wrong.MISSING_PAGE, text)
        return
    frame, rights = seen
    if page is None:
        text = f"{_at(vm, gpa)} should map nothing, and maps {frame:#x}"
        yield Disagreement(Wrong.UNEXPECTED_PAGE, text)
    elif page.frame != frame:
        text = f"{_at(vm, gpa)} should map {_written(page.frame)}, and maps {frame:#x}"
        yield Disagreement(Wrong.WRONG_FRAME, text)
    if page is not None and page.rights != rights:
        text = f"{_at(vm, gpa)} should allow {_named(page.rights)}, and allows {_named(rights)}"
        yield Disagreement(Wrong.WRONG_RIGHTS, text)
    if frame in state.protected:
        yield Disagreement(
            Wrong.PROTECTED_FRAME, f"{_at(vm, gpa)} maps {frame:#x}, which is no guest's"
        )
    holding = state.frames.get(frame)
    if holding and vm != holding.owner and (not holding.loan or vm != holding.loan.borrower):
        text = (
            f"{_at(vm, gpa)} maps {frame:#x}, which VM {holding.owner} owns and did not lend to it"
        )
        yield Disagreement(Wrong.STRANGER, text)


def _shared_frames(observed: Observed) -> Iterator[Disagreement]:
    mapped = Counter(frame for pages in observed.values() for frame, _ in pages.values())
    mappers: dict[HPA, list[tuple[int, GPA, Rights]]]
    mappers = {frame: [] for frame, count in mapped.items() if count > 1}
    for vm, pages in observed.items() if mappers else ():
        for gpa, (frame, rights) in pages.items():
            if frame in mappers:
                mappers[frame].append((vm, gpa, rights))
    for frame, group in mappers.items():
        places = ", ".join(_at(vm, gpa) for vm, gpa, _ in group)
        if len({vm for vm, _, _ in group}) < len(group):
            yield Disagreement(Wrong.SECOND_MAPPING, f"frame {frame:#x} is mapped by {places}")
        if len({vm for vm, _, rights in group if Rights.WRITE in rights}) > 1:
            yield Disagreement(Wrong.TWO_WRITERS, f"frame {frame:#x} is writable by {places}")
