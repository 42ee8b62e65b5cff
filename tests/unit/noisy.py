"""A serial line that loses, doubles and flips bytes, and the firmware's own console behind it."""

import ctypes
import random
import shutil
import subprocess
from itertools import count
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ["firmware/core/console.c", "firmware/core/print.c", "tests/unit/line/line.c"]
ROOM = 65536


def compile_console(arch: str, folder: Path) -> Path:
    """The firmware's console as a library of this machine; `arch` is this machine's."""
    library = folder / "line.so"
    compiler = "clang" if shutil.which("clang") else "gcc"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Ifirmware/include"]
    command = [compiler, *flags, f"-Ifirmware/arch/{arch}", "-o", str(library), *SOURCES]
    subprocess.run(command, cwd=ROOT, check=True)
    return library


class Firmware:
    """The firmware's console with everything forgotten."""

    _copies = count()

    def __init__(self, library: Path) -> None:
        # A copy of its own, for a library that is loaded already keeps its variables.
        own = library.with_name(f"line-{next(self._copies)}.so")
        shutil.copy(library, own)
        self._line = ctypes.CDLL(str(own))
        own.unlink()
        self._line.line_output.restype = ctypes.c_size_t

    def hears(self, data: bytes) -> bytes:
        """What it answers to these bytes."""
        self._line.line_feed(data, ctypes.c_size_t(len(data)))
        return self._said()

    def _said(self) -> bytes:
        room = ctypes.create_string_buffer(ROOM)
        length = self._line.line_output(room)
        return room.raw[:length]

    def done(self, sequence: int) -> int:
        """How often it did the request of that number."""
        times: int = self._line.line_done(sequence)
        return times

    def postpones(self, sequence: int) -> None:
        """From now on the request of that number is not answered."""
        self._line.line_postpone(sequence)

    def answers_now(self) -> bytes:
        """What it says to all that it had postponed."""
        self._line.line_postpone(0)
        return self._said()


class Line:
    """One direction. `rate` is how likely a byte is to be lost, doubled or changed."""

    def __init__(self, seed: int, rate: float) -> None:
        self._random = random.Random(seed)
        self.rate = rate

    def carries(self, data: bytes) -> bytes:
        """What arrives of it."""
        return b"".join(self._byte(bytes([byte])) for byte in data)

    def _byte(self, byte: bytes) -> bytes:
        if self._random.random() >= self.rate:
            return byte
        bit = 1 << self._random.randrange(8)
        return self._random.choice(
            [b"", byte * 2, bytes([byte[0] ^ bit]), self._random.randbytes(1)]
        )
