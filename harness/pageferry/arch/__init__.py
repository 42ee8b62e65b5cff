"""One descriptor per architecture: what the harness must know and the firmware may not tell.

A module in this folder with an `ARCH` is an architecture; nothing else lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

from ..address import HPA
from ..errors import HarnessError
from ..tables import TableFormat
from ..traces import Traces


@dataclass(frozen=True)
class WayOut:
    """How a CPU is brought out of its guest from outside.

    inside       a pattern in what QEMU's `info registers` says of a CPU in a guest
    instruction  32 bits, as an integer: a guest that executes it traps to its hypervisor
    """

    inside: str
    instruction: int


@dataclass(frozen=True)
class Arch:
    """What differs between architectures, seen from outside the machine.

    qemu, qemu_package  the emulator's program name, and Debian's package of it
    bios, bios_package  the file that QEMU boots the machine with before our kernel, in a
                    folder that QEMU knows, and Debian's package of it; None without one
    machine_args    its arguments for the board and the CPU
    icount          whether one CPU under -icount counts instructions exactly
    icount_in_turns whether several do, one at a time: not where a CPU spins until another
                    one has done its part, for it spins until its turn is over
    ram_base        where RAM begins
    stage1, stage2  the guest's own tables and the hypervisor's
    accessed_dirty  bits of an entry that the CPU sets by itself
    gdb_architecture  what gdb calls it
    spare_register  gdb's name of an integer register that holds any value: tests change it
    remap_goal      instructions that a remap may take at most, as the guest sees it
    way_out         for a CPU that QEMU does not reset right while it is in a guest
    traces          what a TCG plugin can see of the invalidation protocol, None: nobody has
                    said it yet
    root_of         the root table's address in the register that names it
    stage1_root, stage2_root, program_counter
                    where the value of that register of a guest is, as an image
                    expression with {vm} and {vcpu}: what the CPU uses, not what core
                    keeps about it
    """

    name: str
    qemu: str
    qemu_package: str
    machine_args: tuple[str, ...]
    icount: bool
    ram_base: HPA
    stage1: TableFormat
    stage2: TableFormat
    accessed_dirty: int
    root_of: Callable[[int], int]
    stage1_root: str
    stage2_root: str
    program_counter: str
    gdb_architecture: str
    spare_register: str
    remap_goal: int
    icount_in_turns: bool = False
    bios: str | None = None
    bios_package: str | None = None
    way_out: WayOut | None = None
    traces: Traces | None = None


def names() -> tuple[str, ...]:
    """The names `get` knows, sorted."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def get(name: str) -> Arch:
    """The descriptor of `name`. HarnessError, naming those that exist, if it is none."""
    if name not in names():
        raise HarnessError(f"no architecture is called {name!r}; there are: {', '.join(names())}")
    found = import_module(f"{__name__}.{name}").ARCH
    if not isinstance(found, Arch):
        raise HarnessError(f"{name}.ARCH is no architecture descriptor")
    return found
