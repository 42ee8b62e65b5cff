"""gdb's machine interface: bytes to records, and the commands' own quoting.

One line is one record (GDB manual, "GDB/MI Output Syntax"); what it says is parsed by
pygdbmi:

    17^done,value="5"           the result of command 17
    *stopped,reason="..."       a notice, which no command has to be waiting for
    ~"text"                     what a person would see
    (gdb)                       nothing

The parser may be fed in pieces cut anywhere and gives every record once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pygdbmi.gdbescapes import unescape
from pygdbmi.gdbmiparser import parse_response

from ..errors import ProtocolError

__all__ = ["MiParser", "Notice", "Record", "Result", "Text", "parse", "quoted", "unescape"]


PROMPT = "(gdb) "
_STREAMS = {"~": "console", "&": "log", "@": "target"}
_ASYNC = re.compile(r"\d*[*=]([\w-]+)")
_RESULT = re.compile(r"(\d*)\^([\w-]+)")
_MEMORY = re.compile(
    r'\d+\^done,memory=\[\{begin="(0x[0-9a-f]+)",offset="0x[0-9a-f]+",end="0x[0-9a-f]+",'
    r'contents="([0-9a-f]*)"\}\]'
)
"""Memory in one piece: by far the longest lines, and not worth a parser that looks at each
character."""

_VALUE = re.compile(r'\d+\^done,value="([^"\\]*)"')
"""A value without an escape: the most frequent answer, while somebody waits for it."""


@dataclass(frozen=True)
class _Line:
    """A record whose payload is parsed when somebody asks: most of them interest nobody."""

    kind: str
    line: str

    @cached_property
    def payload(self) -> dict[str, Any]:
        """What it says. ProtocolError if it is cut off, or no record at all."""
        if memory := _MEMORY.fullmatch(self.line):
            return {"memory": [{"begin": memory[1], "contents": memory[2]}]}
        if value := _VALUE.fullmatch(self.line):
            return {"value": value[1]}
        try:
            return parse_response(self.line)["payload"] or {}
        except Exception as error:  # the parser has many for what it did not expect
            raise ProtocolError(f"gdb's line {self.line!r} is no record: {error}") from error


@dataclass(frozen=True)
class Result(_Line):
    """How a command ended: `kind` is done, running, connected, error, exit."""

    token: int | None


@dataclass(frozen=True)
class Notice(_Line):
    """Something happened: `kind` is stopped, running, breakpoint-modified, ..."""


@dataclass(frozen=True)
class Text:
    """What gdb says to people: `stream` is console, log, target, or output if it is no MI."""

    stream: str
    line: str

    @cached_property
    def text(self) -> str:
        """What a person would see."""
        return parse_response(self.line)["payload"] or ""


Record = Result | Notice | Text


def parse(line: str) -> Record | None:
    """The record that one line is; None for the prompt."""
    if result := _RESULT.match(line):
        return Result(result[2], line, int(result[1]) if result[1] else None)
    if notice := _ASYNC.match(line):
        return Notice(notice[1], line)
    return None if line == PROMPT else Text(_STREAMS.get(line[:1], "output"), line)


class MiParser:
    """Takes what gdb writes, gives (line, record) for every line that is one."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[str, Record]]:
        """The records that these bytes complete."""
        self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip("\r")
            record = parse(line) if line else None
            if record is not None:
                yield line, record


def quoted(text: str) -> str:
    """`text` as one argument of an MI command: a C string.

    ValueError for a line break, which would end the command.
    """
    if "\n" in text or "\r" in text:
        raise ValueError(f"a command is one line: {text!r}")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
