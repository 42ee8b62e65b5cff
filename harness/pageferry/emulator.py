"""QEMU itself: where its program is, and the arguments that are the machine."""

from __future__ import annotations

import os
import shutil

from .arch import Arch
from .errors import QemuMissing


def find_program(arch: Arch, named: str | None = None) -> str:
    """The path of the architecture's QEMU, or of the one that was named instead.

    QemuMissing tells what would be right: only of QEMU itself is there a package.
    """
    program = named or arch.qemu
    if found := shutil.which(program):
        return found
    if named is None:
        raise QemuMissing(f"no program {program}; Debian's package {arch.qemu_package} has it")
    instead = f"name one like {arch.qemu}, which is taken if none is named"
    if os.path.exists(program):
        raise QemuMissing(f"{program} is no program that can be run; {instead}")
    where = f"at {program}" if os.sep in program else f"{program} in PATH"
    raise QemuMissing(f"there is no program {where}; {instead}")


def emulation(arch: Arch, cpus: int, ram: int) -> tuple[str, ...]:
    """QEMU with the machine alone, stopped: no wires, no kernel, and RAM from the object "ram"."""
    return (
        arch.qemu,
        *("-S", "-no-user-config", "-nodefaults", "-display", "none", "-accel", "tcg"),
        *arch.machine_args,
        *("-smp", f"{cpus},sockets=1,cores={cpus},threads=1"),
        *("-m", f"{ram}B", "-machine", "memory-backend=ram"),
    )
