"""What the registers of a CPU hold and which thread of gdb's is which CPU."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from ..errors import DebuggerError
from ..wire.gdbmi import unescape

Execute = Callable[[str], dict[str, Any]]
"""Executes an MI command and gives its result."""

_CPU = re.compile(r"CPU#(\d+)")
"""How QEMU's stub names a thread; one that does not counts them from 1."""

_INTEGER = re.compile(r"0x[0-9a-f]+")
_LINE = re.compile(r'Line (\d+) of "(?:.*/)?([^"/]+)"')
_TEXT = re.compile(r'"(.*)"', re.DOTALL)


def find_cpus(execute: Execute) -> dict[int, int]:
    """The logical number of each CPU, by gdb's number of its thread."""
    found = {}
    for thread in execute("-thread-info")["threads"]:
        number = _CPU.search(thread.get("details", "") + thread["target-id"])
        found[int(thread["id"])] = int(number[1]) if number else int(thread["id"]) - 1
    return found


def register_numbers(execute: Execute) -> dict[str, int]:
    """gdb's number of each register, by its name."""
    names = execute("-data-list-register-names")["register-names"]
    return {name: number for number, name in enumerate(names) if name}


def read_registers(
    execute: Execute, known: Mapping[str, int], names: Iterable[str] | None, at: str
) -> dict[str, int]:
    """Those of the names, or all, that are integers.

    known  gdb's number of each
    at     the options that say of which CPU

    DebuggerError if there is no register of a name, or it cannot be read. Of all, those are
    left out that the stub lists and then refuses, as QEMU's does on RISC-V.
    """
    if names is None:
        return _readable(execute, known, at)
    wanted = list(names)
    if unknown := [name for name in wanted if name not in known]:
        raise DebuggerError(f"gdb has no register {', '.join(unknown)}; it has {', '.join(known)}")
    numbers = " ".join(str(known[name]) for name in wanted)
    answer = execute(f"-data-list-register-values {at}--skip-unavailable x {numbers}")
    by_number = {int(it["number"]): it["value"] for it in answer["register-values"]}
    values = {name: by_number.get(known[name], "") for name in wanted}
    return {name: int(it, 16) for name, it in values.items() if _INTEGER.fullmatch(it)}


def _readable(execute: Execute, known: Mapping[str, int], at: str) -> dict[str, int]:
    try:
        return read_registers(execute, known, known, at)
    except DebuggerError:
        found: dict[str, int] = {}
        for name in known:
            with suppress(DebuggerError):
                found |= read_registers(execute, known, [name], at)
        if not found:
            raise
        return found


def line_in(said: str) -> str | None:
    """The source line, "file.c:12", of what `info line` says; None if there is none."""
    found = _LINE.search(said)
    return f"{found[2]}:{found[1]}" if found else None


def text_in(value: str) -> str:
    """The characters of a `const char *` as gdb writes it. DebuggerError if it points to none."""
    found = _TEXT.search(value)
    if found is None:
        raise DebuggerError(f"{value} points to no text")
    return unescape(found[1])
