"""The firmware's console: bytes to messages.

One line is one message, ended by LF or CR LF:

    < SEQ STATUS text...    a reply; words of the form name=value are its fields
    # text                  the log
    ! panic text            the hypervisor gave up
    anything else           noise (platform firmware, line rubbish)

On a line that may lose, double or flip bytes, a request and its reply have a checksum,
which a person may leave out:

    *17 remap 1 0x60100000 2 0x30000000 *hjkmabcd      the CRC-32 of what stands between
    *< 17 ok frame=0x500000 *cbalphgp                  the stars; a to p are 0 to 15

The parser may be fed in pieces cut anywhere; it gives every message once, when
its line has ended, and never holds more than one line.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field

from ..abi import Status

LONGEST_LINE = 4096
"""Bytes of a line. What is longer is no message and comes out as noise, in parts."""


LONGEST_REQUEST = 199
"""Bytes of a request's line, its checksum included and its end not. The firmware has
LINE_LIMIT (firmware/core/console.c) for it and for a zero; it refuses a longer one
without saying whose it was."""


@dataclass(frozen=True)
class Reply:
    """The answer to request `seq`: `text` is all that follows the status."""

    seq: int
    status: Status
    text: str = ""
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Malformed:
    """Looks like a reply and is none. `seq` is None if even that could not be read."""

    seq: int | None
    line: str


@dataclass(frozen=True)
class Log:
    """A line of the firmware's log, without its '# '."""

    text: str


@dataclass(frozen=True)
class Panic:
    """The hypervisor's last word, without its '! panic '."""

    text: str


@dataclass(frozen=True)
class Garbled:
    """A line with a checksum that it does not have: bytes were lost, doubled or flipped."""

    line: str


@dataclass(frozen=True)
class Noise:
    """A line, or a part of an overlong one, that is none of ours."""

    text: str


Message = Reply | Malformed | Log | Panic | Garbled | Noise

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SUM_MARK = "*"
_SUM_LETTERS = 8


def protect(line: str) -> str:
    """The line with its checksum."""
    sum_ = zlib.crc32(line.encode())
    letters = (chr(ord("a") + (sum_ >> shift & 15)) for shift in range(28, -4, -4))
    return f"{_SUM_MARK}{line} {_SUM_MARK}{''.join(letters)}"


def require_request(line: str) -> None:
    """Raise ValueError if the firmware would not take `line`, as it is sent, as one line."""
    if found := _CONTROL.search(line):
        raise ValueError(f"the request {line!r} has the control character {found[0]!r}")
    size = len(line.encode())
    if size > LONGEST_REQUEST:
        most = f"at most {LONGEST_REQUEST} bytes, its number and checksum included"
        raise ValueError(f"a request has {most}, this one {size}: {line[:40]!r}...")


def is_protected(line: str) -> bool:
    """Whether it has a checksum, right or wrong."""
    return line.startswith(_SUM_MARK)


def parse_line(line: str) -> Message:
    """What one line says; `line` comes without its end."""
    if is_protected(line):
        inner = line[1 : -_SUM_LETTERS - 2]
        return parse_line(inner) if line == protect(inner) else Garbled(line)
    if line.startswith("< "):
        return _parse_reply(line)
    if line == "#" or line.startswith("# "):
        return Log(line[2:])
    if line == "! panic" or line.startswith("! panic "):
        return Panic(line[8:])
    return Noise(line)


def _parse_reply(line: str) -> Reply | Malformed:
    words = line.split(" ", 3)
    if len(words) < 3 or not (words[1].isascii() and words[1].isdecimal()):
        return Malformed(None, line)
    seq = int(words[1])
    try:
        status = Status.from_console(words[2])
    except ValueError:
        return Malformed(seq, line)
    text = words[3] if len(words) > 3 else ""
    pairs = (word.split("=", 1) for word in text.split() if "=" in word)
    return Reply(seq, status, text, {name: value for name, value in pairs if name})


class ConsoleParser:
    """Splits a stream into lines and lines into messages. `feed` may be cut anywhere."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._overlong = False

    @property
    def rest(self) -> str:
        """The unfinished line, as far as it has come."""
        return self._line.decode("utf-8", "replace")

    def feed(self, data: bytes) -> list[tuple[str, Message]]:
        """Take the next bytes; give each line that has ended, with what it says."""
        found: list[tuple[str, Message]] = []
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._extend(part, found)
            text = self._take()
            found.append((text, Noise(text) if self._overlong else parse_line(text)))
            self._overlong = False
        self._extend(rest, found)
        return found

    def _extend(self, part: bytes, found: list[tuple[str, Message]]) -> None:
        self._line += part
        while len(self._line) > LONGEST_LINE:
            rest = self._line[LONGEST_LINE:]
            del self._line[LONGEST_LINE:]
            text = self._take()
            found.append((text, Noise(text)))
            self._overlong = True
            self._line += rest

    def _take(self) -> str:
        text = self._line.decode("utf-8", "replace").removesuffix("\r")
        self._line.clear()
        return text
