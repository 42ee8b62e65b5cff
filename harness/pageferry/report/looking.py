"""`pageferry inspect`: the questions of `hv`, asked from outside of gdb."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from .. import arch as architectures
from .. import inspect
from ..address import HPA
from ..errors import HarnessError
from ..image import Image
from ..manifest import FOLDER, find
from ..memory import RamFile


def running(words: Sequence[str], name: str | None, folder: Path = FOLDER) -> str:
    """What a command line of `hv` answers about the running machine of this id.

    Nothing is stopped for it: what changes meanwhile is seen half before, half after.
    Raises HarnessError.
    """
    machine = find(name, folder)
    place = machine.descriptor(machine.ram)
    return _answer(words, machine.arch, machine.kernel, place, HPA(machine.ram_base))


def dump(words: Sequence[str], arch: str, kernel: Path, ram: Path) -> str:
    """The same about a file with the machine's RAM."""
    base = architectures.get(arch).ram_base
    return _answer(words, arch, kernel, ram, base)


def _answer(words: Sequence[str], arch: str, kernel: Path | str, ram: Path, base: HPA) -> str:
    with ExitStack() as opened:
        try:
            file = opened.enter_context(ram.open("r+b"))
        except OSError as error:
            raise HarnessError(f"cannot open the RAM in {ram}: {error.strerror}") from error
        size = ram.stat().st_size
        memory = opened.enter_context(RamFile(file.fileno(), size, base))
        variables = Image.load(kernel).bind(memory)
        system = inspect.System(architectures.get(arch), memory, variables)
        return inspect.run(system, words)
