"""Large things on disk: only what is not zero takes room, and never more than allowed."""

from __future__ import annotations

import os
from pathlib import Path

from ..address import HPA, PAGE_SIZE
from ..channel import Deadline
from ..memory import PhysicalMemory
from .documents import WholeOrNothing

CHUNK = 16 * PAGE_SIZE
"""Bytes looked at at once."""

_ZERO = bytes(CHUNK)


class Allowance:
    """How many bytes may still be written. All of one run's dumps share one."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> None:
        """Use `size` bytes of it. OSError when there is not as much left."""
        if size > self.left:
            raise OSError(f"all dumps together would be larger than allowed: {self.left} left")
        self.left -= size


def dump_memory(
    memory: PhysicalMemory,
    base: HPA,
    size: int,
    path: Path,
    allowance: Allowance,
    deadline: Deadline | None = None,
) -> int:
    """Write `size` bytes of memory from `base` on to a sparse file; how many were written.

    deadline  when to end though there are more: the file is then as long as what it has

    Raises MemoryUnreadable and OSError; then there is no file.
    """
    with WholeOrNothing(path) as part, part.open("wb") as file:
        done = 0
        while done < size and (deadline is None or deadline.left):
            data = memory.read(HPA(base + done), min(CHUNK, size - done))
            _put(file.fileno(), done, data, allowance)
            done += len(data)
        file.truncate(done)
    return done


def copy_sparse(source: Path, path: Path, allowance: Allowance) -> None:
    """Copy a file of any size, as `dump_memory` writes. Raises OSError."""
    with WholeOrNothing(path) as part, source.open("rb") as data, part.open("wb") as file:
        size = os.fstat(data.fileno()).st_size
        for offset in range(0, size, CHUNK):
            _put(file.fileno(), offset, os.pread(data.fileno(), CHUNK, offset), allowance)
        file.truncate(size)


def _put(file: int, offset: int, data: bytes, allowance: Allowance) -> None:
    if data == _ZERO[: len(data)]:
        return
    allowance.take(len(data))
    while data:  # a file that has reached its limit takes a part first
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
