"""A small world for the ownership model: two VMs of three pages, and what they can ask."""

from pageferry.abi import Operation
from pageferry.address import GPA, HPA
from pageferry.ownership import Fresh, Observed, Request, State, boot
from pageferry.tables import Rights

RAM = [GPA(0x6010_0000 + 0x1000 * index) for index in range(3)]
WINDOW = [GPA(0x3000_0000 + 0x1000 * index) for index in range(3)]
FRAMES = {vm: [HPA(0x40_0000 * vm + 0x1000 * index) for index in range(3)] for vm in (1, 2)}
PROTECTED = HPA(0x1000)

READ = Rights.READ
READ_WRITE = Rights.READ | Rights.WRITE


def world() -> State:
    """Both VMs map their three pages with all rights, and posted the whole window."""
    observed: Observed = {
        vm: {gpa: (frame, Rights.ALL) for gpa, frame in zip(RAM, frames, strict=True)}
        for vm, frames in FRAMES.items()
    }
    return boot(observed, protected=[PROTECTED])


def remap(vm: int, gpa: int, target: int, to: int) -> Request:
    return Request(Operation.REMAP, vm, GPA(gpa), target, GPA(to))


def share(vm: int, gpa: int, target: int, to: int) -> Request:
    return Request(Operation.SHARE, vm, GPA(gpa), target, GPA(to))


def copy(vm: int, gpa: int, target: int, to: int) -> Request:
    return Request(Operation.COPY, vm, GPA(gpa), target, GPA(to))


def reclaim(vm: int, gpa: int) -> Request:
    return Request(Operation.RECLAIM, vm, GPA(gpa))


def relinquish(vm: int, gpa: int) -> Request:
    return Request(Operation.RELINQUISH, vm, GPA(gpa))


def post(vm: int, gpa: int, pages: int = 1) -> Request:
    return Request(Operation.POST, vm, GPA(gpa), pages=pages)


def withdraw(vm: int, gpa: int, pages: int = 1) -> Request:
    return Request(Operation.WITHDRAW, vm, GPA(gpa), pages=pages)


def seen(state: State) -> dict[int, dict[GPA, tuple[HPA, Rights]]]:
    """What a machine that is as it should be would show; each copy in a frame of its own."""
    return {
        vm: {
            gpa: (
                HPA(0x800_0000 + 0x1000 * page.frame.number)
                if isinstance(page.frame, Fresh)
                else page.frame,
                page.rights,
            )
            for gpa, page in held.pages.items()
        }
        for vm, held in state.vms.items()
    }
