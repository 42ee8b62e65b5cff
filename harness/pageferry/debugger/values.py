"""What the registers of a CPU hold and which thread of gdb's is which CPU."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from ..channel import Timeout
from ..errors import DebuggerError
from ..wire.gdbmi import quoted, unescape
from .stops import Frame

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


class Values(ABC):
    """What a stopped machine holds, by C expressions and by names of registers.

    cpu  in every call: the CPU it is about; None: the one that stopped, which gdb has
         chosen by itself
    """

    _cpus: dict[int, int]
    _registers: dict[str, int]

    @abstractmethod
    def execute(self, command: str, timeout: Timeout = None) -> dict[str, Any]:
        """Execute an MI command and return its result."""

    @abstractmethod
    def command(self, line: str, timeout: Timeout = None) -> str:
        """Execute a command as a person types it, and return what it prints."""

    @property
    def cpus(self) -> dict[int, int]:
        """The logical number of each CPU, by gdb's number of its thread."""
        return dict(self._cpus)

    def _at(self, cpu: int | None) -> str:
        """The option that makes a command be about this CPU."""
        if cpu is None:
            return ""
        threads = [thread for thread, number in self._cpus.items() if number == cpu]
        if not threads:
            raise DebuggerError(f"there is no CPU {cpu}; there are {sorted(self._cpus.values())}")
        return f"--thread {threads[0]} --frame 0 "

    def frames(self, cpu: int | None = None) -> list[Frame]:
        """The calls that led to where the CPU is, innermost first."""
        stack = self.execute(f"-stack-list-frames {self._at(cpu)}")["stack"]
        return [Frame.of(frame) for frame in (stack if isinstance(stack, list) else [stack])]

    def registers(
        self, names: Iterable[str] | None = None, cpu: int | None = None
    ) -> dict[str, int]:
        """Integer registers by name, all if `names` is None. DebuggerError names unknown ones."""
        return read_registers(self.execute, self._registers, names, self._at(cpu))

    def register(self, name: str, cpu: int | None = None) -> int:
        """One integer register."""
        found = self.registers([name], cpu)
        if name not in found:
            raise DebuggerError(f"the register {name} holds no integer, or cannot be read")
        return found[name]

    def set_register(self, name: str, value: int, cpu: int | None = None) -> None:
        """Give a register of a stopped CPU a new value."""
        if name not in self._registers:
            raise DebuggerError(f"gdb has no register {name}")
        self.evaluate(f"${name} = {value:#x}", cpu)

    def evaluate(self, expression: str, cpu: int | None = None) -> str:
        """A C expression where the CPU is, as gdb writes its value."""
        command = f"-data-evaluate-expression {self._at(cpu)}{quoted(expression)}"
        return str(self.execute(command)["value"])

    def value(self, expression: str, cpu: int | None = None) -> int:
        """The same of an integer, enumeration or pointer, as a number without a sign."""
        return int(self.evaluate(f"(unsigned long long)({expression})", cpu))

    def text(self, expression: str, cpu: int | None = None) -> str:
        """The characters that a `const char *` points to, at most 200 of them."""
        found = _TEXT.search(self.evaluate(expression, cpu))
        if found is None:
            raise DebuggerError(f"{expression!r} points to no text")
        return unescape(found[1])

    def symbol(self, name: str) -> int:
        """The address of a function or variable. DebuggerError if there is none."""
        return self.value(f"&{name}")

    def line_of(self, address: int) -> str | None:
        """The source line, "file.c:12", or None."""
        found = _LINE.search(self.command(f"info line *{address:#x}"))
        return f"{found[2]}:{found[1]}" if found else None
