"""Changes that the hypervisor did not make: entries rewritten in memory from outside."""

from pageferry import Testbed, books, ledger
from pageferry.address import GPA, HPA, PAGE_SIZE
from pageferry.guest import Guest

NO_ADDRESS = 0xDEAD << 48
"""A pointer that no CPU follows."""


def ruin_the_next_run(bed: Testbed, guest: Guest) -> None:
    """Before the guest's next turn the hypervisor saves a vCPU that is nowhere, and panics."""
    cpu = bed.firmware.read_int(f"vms[{guest.vm}].vcpus[{guest.index}].cpu")
    bed.firmware.write(f"cpus[{cpu}].loaded", NO_ADDRESS)


def unit(bed: Testbed, guest: Guest) -> int:
    """How much an entry grows when the frame it names is the next one.

    That is told by two entries whose frames are known.
    """
    first, second = guest.stage2(guest.page(100)), guest.stage2(guest.page(101))
    ignored = ~bed.machine.arch.accessed_dirty
    low, high = (found.steps[-1].raw & ignored for found in (first, second))
    assert None not in (first.output, second.output)
    return (high - low) * PAGE_SIZE // ((second.output or 0) - (first.output or 0))


def point_at(bed: Testbed, guest: Guest, gpa: GPA, frame: HPA) -> None:
    """Make the guest's leaf entry for `gpa` name another frame, with the rights it has."""
    found = guest.stage2(gpa)
    assert found.output is not None
    distance = (frame - found.output) // PAGE_SIZE
    leaf = found.steps[-1]
    entry = (leaf.raw & ~bed.machine.arch.accessed_dirty) + distance * unit(bed, guest)
    bed.machine.memory.write(HPA(leaf.address), entry.to_bytes(8, "little"))
    assert guest.stage2(gpa).output == frame


def give_tables_of_its_own(bed: Testbed, vcpu: Guest, gpa: GPA, entry: int) -> None:
    """Let the vCPU's root be a copy, as are all tables from there to `gpa`, whose leaf
    entry is `entry` in it. A CPU that has loaded the old root goes on with that."""
    memory, arch = bed.machine.memory, bed.machine.arch
    free = max(ledger.free_frames(books.records(bed.firmware, bed.machine)))
    end, steps, word = HPA(free - free % 0x4000), vcpu.stage2(gpa).steps, entry
    for step in reversed(steps):
        size = arch.stage2.table_size(step.level)
        old, end = HPA(step.table), HPA(end - size)
        end = HPA(end - end % size)
        content = bytearray(memory.read(old, size))
        content[8 * step.index : 8 * step.index + 8] = word.to_bytes(8, "little")
        memory.write(end, bytes(content))
        above = next((it.raw for it in steps if it.level == step.level + 1), 0)
        word = above + (end - old) // PAGE_SIZE * unit(bed, vcpu)
    name = arch.stage2_root.format(vm=vcpu.vm, vcpu=vcpu.index)
    register, distance = bed.firmware.read_int(name), end - vcpu.stage2_root
    values = (register + distance, register + distance // PAGE_SIZE)
    bed.firmware.write(name, next(it for it in values if arch.root_of(it) == end))
    assert vcpu.stage2_root == end
