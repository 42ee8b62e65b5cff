"""Changes that the hypervisor did not make: entries rewritten in memory from outside."""

from pageferry import Testbed
from pageferry.address import GPA, HPA, PAGE_SIZE
from pageferry.guest import Guest

NO_ADDRESS = 0xDEAD << 48
"""A pointer that no CPU follows."""


def ruin_the_next_run(bed: Testbed, guest: Guest) -> None:
    """Before the guest's next turn the hypervisor saves a vCPU that is nowhere, and panics."""
    cpu = bed.firmware.read_int(f"vms[{guest.vm}].vcpus[{guest.index}].cpu")
    bed.firmware.write(f"cpus[{cpu}].loaded", NO_ADDRESS)


def point_at(bed: Testbed, guest: Guest, gpa: GPA, frame: HPA) -> None:
    """Make the guest's leaf entry for `gpa` name another frame, with the rights it has.

    How entries hold a frame's address is told by two whose frames are known.
    """
    first, second = guest.stage2(guest.page(100)), guest.stage2(guest.page(101))
    ignored = ~bed.machine.arch.accessed_dirty
    low, high = (found.steps[-1].raw & ignored for found in (first, second))
    found = guest.stage2(gpa)
    assert None not in (first.output, second.output, found.output)
    step = (high - low) * PAGE_SIZE // ((second.output or 0) - (first.output or 0))
    distance = (frame - (found.output or 0)) // PAGE_SIZE
    leaf = found.steps[-1]
    entry = (leaf.raw & ignored) + distance * step
    bed.machine.memory.write(HPA(leaf.address), entry.to_bytes(8, "little"))
    assert guest.stage2(gpa).output == frame
