"""The tables of an ELF file that turn addresses into names and source lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from struct import Struct

from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.dwarf.lineprogram import LineProgram
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

_NAME = Struct("<I")
"""What a symbol begins with in files of either class: where its name is, or 0."""


@dataclass(frozen=True)
class Symbol:
    """A defined symbol. `is_global` also means weak."""

    name: str
    address: int
    size: int
    kind: str
    is_global: bool
    section: int | str


@dataclass(frozen=True)
class Function:
    """A function or a label in assembly, from `address` up to `end`."""

    name: str
    address: int
    end: int


@dataclass(frozen=True)
class Row:
    """From `address` up to the next row, code comes from `line`, or from no source.

    statement  whether a debugger that stops there is to show this line (DWARF 5, section 6.2.2)
    """

    address: int
    line: str | None
    statement: bool


def read_symbols(elf: ELFFile) -> list[Symbol]:
    """Every symbol that has a name and is defined, local ones first."""
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return []
    # On RISC-V the linker leaves thousands whose names it has discarded.
    content, size = table.data(), table["sh_entsize"]
    named = (it for it in range(table.num_symbols()) if _NAME.unpack_from(content, it * size)[0])
    found = (
        Symbol(
            symbol.name,
            symbol["st_value"],
            symbol["st_size"],
            symbol["st_info"]["type"],
            symbol["st_info"]["bind"] != "STB_LOCAL",
            symbol["st_shndx"],
        )
        for symbol in map(table.get_symbol, named)
        if symbol.name and symbol["st_shndx"] != "SHN_UNDEF"
    )
    return sorted((it for it in found if it.kind != "STT_FILE"), key=lambda it: it.is_global)


def read_functions(elf: ELFFile, symbols: list[Symbol]) -> list[Function]:
    """By address. A label without a size reaches to the next one."""
    found = []
    for number, section in enumerate(elf.iter_sections()):
        if not section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR:
            continue
        inside = [it for it in symbols if it.section == number]
        labels = sorted(
            (it for it in inside if it.kind in ("STT_FUNC", "STT_NOTYPE")),
            key=lambda it: (it.address, it.kind == "STT_FUNC"),
        )
        ends = [it.address for it in labels[1:]] + [section["sh_addr"] + section["sh_size"]]
        for label, next_one in zip(labels, ends, strict=True):
            end = label.address + label.size if label.size else next_one
            found.append(Function(label.name, label.address, end))
    return sorted(found, key=lambda it: it.address)


def read_lines(dwarf: DWARFInfo) -> list[Row]:
    """By address, the one that counts last: no sequence's end, a statement, the later one."""
    rows: list[Row] = []
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is not None:
            rows += _rows(program)
    return sorted(rows, key=lambda row: (row.address, row.line is not None, row.statement))


def _rows(program: LineProgram) -> Iterator[Row]:
    """The rows of a unit, without sequences that the linker dropped (they begin at 0)."""
    first = 0 if program["version"] >= 5 else 1  # DWARF 5, section 6.2.4: files count from 0
    files = [_text(entry.name) for entry in program["file_entry"]]
    dropped: bool | None = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if dropped is None:
            dropped = state.address == 0
        if not dropped:
            line = None if state.end_sequence else f"{files[state.file - first]}:{state.line}"
            yield Row(state.address, line, bool(state.is_stmt))
        if state.end_sequence:
            dropped = None


def _text(name: bytes | str) -> str:
    return PurePath(name.decode() if isinstance(name, bytes) else name).name
