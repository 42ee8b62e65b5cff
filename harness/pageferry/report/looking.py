"""`pageferry inspect`: the questions of `hv`, asked from outside of gdb."""

from __future__ import annotations

from argparse import Namespace
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from .. import arch as architectures
from .. import inspect
from ..address import GVA, HPA
from ..errors import HarnessError, MemoryUnreadable
from ..image import Image
from ..manifest import FOLDER, find
from ..memory import RamFile


def running(
    question: Namespace, name: str | None, arch: str | None = None, folder: Path = FOLDER
) -> str:
    """What `hv` would answer about the running machine of this id, or arch.

    Nothing is stopped for it: what changes meanwhile is seen half before, half after.
    Raises HarnessError.
    """
    machine = find(name, folder, arch)
    place = machine.descriptor(machine.ram)
    return _answer(question, machine.arch, Path(machine.kernel), place, HPA(machine.ram_base))


def dump(question: Namespace, arch: str, kernel: Path, ram: Path) -> str:
    """The same about a file with the machine's RAM."""
    base = architectures.get(arch).ram_base
    return _answer(question, arch, kernel, ram, base)


def _answer(question: Namespace, arch: str, kernel: Path, ram: Path, base: HPA) -> str:
    with ExitStack() as opened:
        try:
            file = opened.enter_context(ram.open("r+b"))
            size = ram.stat().st_size
            memory = opened.enter_context(RamFile(file.fileno(), size, base))
        except OSError as error:
            raise HarnessError(f"cannot open the RAM in {ram}: {error.strerror}") from error
        except MemoryUnreadable as error:
            raise HarnessError(f"{ram} is no file with RAM in it: {error}") from error
        image = Image.load(kernel)
        if not image.is_loaded(memory):
            what = f"{ram} has no {kernel} in it, as the RAM of {arch} would"
            raise HarnessError(f"{what}: say what it is of by --arch, or by --kernel too")
        name_code = partial(_name_code, kernel.with_name("agent.elf"))
        system = inspect.System(
            architectures.get(arch), memory, image.bind(memory), name_code=name_code
        )
        return inspect.answer(system, question)


def _name_code(agent: Path, address: GVA) -> str | None:
    if not agent.is_file():
        return None
    image = Image.load(agent)
    return None if image.function_of(address) is None else image.describe(address)
