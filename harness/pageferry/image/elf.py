"""An ELF file: what it is for, where its symbols are, which source line an address is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import cached_property, lru_cache
from io import BytesIO
from pathlib import Path

from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.elf.elffile import ELFFile

from ..address import HPA
from ..errors import ImageError, MemoryUnreadable
from ..memory import PhysicalMemory
from .damage import parsing
from .dwarf import DebugInfo
from .reader import Reader
from .symbols import Function, Row, Symbol, read_functions, read_lines, read_symbols
from .types import Scalar, Type

IMAGES_KEPT = 8
"""Images that are kept parsed, so that a process parses each content once."""

FIRST_INSTRUCTIONS = 32
"""Bytes of the boot code: they tell architectures and hypervisors apart, not builds of one."""

WANTED = "an image is little-endian ELF, as the linker makes it"


class Image:
    """An ELF file of either class, little-endian, with or without debug information.

    `name` is the file's, without folders. Everything is parsed on first use, once for
    each content in a process. Get one by `Image.load`.
    """

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        try:
            with parsing(name):
                self._elf = ELFFile(BytesIO(content))
        except ImageError as error:
            raise ImageError(f"is not an ELF file ({error.__cause__}): {WANTED}") from error
        if not self._elf.little_endian:
            raise ImageError(f"is big-endian: {WANTED}")

    @staticmethod
    def load(path: Path | str) -> Image:
        """The image in a file. ImageError if it cannot be read or is not an ELF file."""
        path = Path(path).absolute()  # whoever reads the error may be elsewhere
        try:
            return _parsed(path.name, path.read_bytes())
        except OSError as error:
            raise ImageError(f"cannot read the image {path}: {error.strerror}") from error
        except ImageError as error:
            raise ImageError(f"{path} {error}") from error

    @property
    def machine(self) -> str:
        """The architecture it is for, as `pageferry.arch` names it: "x86_64"."""
        name = str(self._elf["e_machine"]).removeprefix("EM_").lower()
        return f"riscv{self._elf.elfclass}" if name == "riscv" else name

    @property
    def kind(self) -> str:
        """Its class, and what it is for: "ELF64 for x86_64"."""
        return f"ELF{self._elf.elfclass} for {self.machine}"

    def is_loaded(self, memory: PhysicalMemory) -> bool:
        """Whether its first instructions are in `memory`, where a boot loader puts them."""
        with parsing(self.name):
            entry = self._elf["e_entry"]
            for segment in self._elf.iter_segments("PT_LOAD"):
                start = entry - segment["p_vaddr"]
                if 0 <= start < segment["p_filesz"]:
                    expected = segment.data()[start : start + FIRST_INSTRUCTIONS]
                    place = HPA(segment["p_paddr"] + start)
                    break
            else:
                return False
        try:
            return memory.read(place, len(expected)) == expected
        except MemoryUnreadable:
            return False

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Every defined symbol's address; of several of a name, the global one's."""
        return {symbol.name: symbol.address for symbol in self._symbols}

    def symbol(self, name: str) -> int:
        """The address of a symbol; ImageError names those that look like it."""
        if name not in self.symbols:
            raise ImageError(f"{self.name} has no symbol {name!r}{_similar(name, self.symbols)}")
        return self.symbols[name]

    def enum(self, name: str) -> dict[str, int]:
        """The enumerators of `enum name`, or of the enumeration a typedef calls so."""
        found = self._debug.named(f"enum {name}") or self._debug.named(name)
        if not isinstance(found, Scalar) or not found.names:
            raise ImageError(f"{self.name} has no enumeration {name!r}")
        return dict(found.names)

    def variable(self, name: str) -> tuple[int, Type]:
        """Address and type of a global or file-local variable, for the typed reader."""
        places = self._debug.variables.get(name)
        if places is None:
            hint = _similar(name, self._debug.variables)
            if name in self.symbols:
                hint = f"; the symbol at {self.symbols[name]:#x} has no type"
            raise ImageError(f"{self.name} has no variable {name!r}{hint}")
        if len(places) > 1:
            where = ", ".join(f"{address:#x}" for address in sorted(places))
            raise ImageError(f"{self.name} has several variables {name!r}, at {where}")
        ((address, die),) = places.items()
        type_ = self._debug.type_of(die)
        if type_ is None:
            raise ImageError(f"{self.name}: {name!r} has no type")
        return address, type_

    def bind(self, memory: PhysicalMemory, translate: Callable[[int], HPA] = HPA) -> Reader:
        """Typed access to its variables in `memory`.

        translate   from an address of the image to the physical one, valid to the end
                    of its page; by default they are the same
        """
        return Reader(self, memory, translate)

    def line_of(self, address: int) -> str | None:
        """The source line, "file.c:12", or None if no source was compiled to there."""
        at = bisect_right(self._rows, address, key=lambda row: row.address)
        return self._rows[at - 1].line if at else None

    def function_of(self, address: int) -> str | None:
        """The function or assembly label that the address lies in, or None."""
        at = bisect_right(self._functions, address, key=lambda it: it.address)
        if at == 0:
            return None
        found = self._functions[at - 1]
        return found.name if address < found.end else None

    def describe(self, address: int) -> str:
        """The address for a person: "serve (agent.c:12)", or that it is not in here."""
        function, line = self.function_of(address), self.line_of(address)
        if function is None and line is None:
            return f"not in {self.name}"
        return f"{function or '?'} ({line or self.name})"

    # Parsed on first use.

    @cached_property
    def _dwarf(self) -> DWARFInfo:
        with parsing(self.name):
            if not self._elf.has_dwarf_info(strict=True):
                raise ImageError(f"{self.name} has no debug information")
            return self._elf.get_dwarf_info()

    @cached_property
    def _debug(self) -> DebugInfo:
        return DebugInfo(self._dwarf, self.name)

    @cached_property
    def _symbols(self) -> list[Symbol]:
        with parsing(self.name):
            return read_symbols(self._elf)

    @cached_property
    def _functions(self) -> list[Function]:
        with parsing(self.name):
            return read_functions(self._elf, self._symbols)

    @cached_property
    def _rows(self) -> list[Row]:
        with parsing(self.name):
            return read_lines(self._dwarf)


@lru_cache(maxsize=IMAGES_KEPT)
def _parsed(name: str, content: bytes) -> Image:
    return Image(name, content)


def _similar(name: str, known: Iterable[str]) -> str:
    """A hint at names that look like this one."""
    close = get_close_matches(name, known)
    return f"; there is {', '.join(close)}" if close else ""
