"""Physical memory, whoever gives it: a RAM file, a monitor, a dump, a test.

What cannot be read is never shown as zero or as "nothing there": every reader
raises `MemoryUnreadable` with the range asked for and the range that exists.
"""

from __future__ import annotations

import mmap
from typing import Protocol, Self

from .address import HPA, PAGE_SIZE, page_of
from .errors import MemoryUnreadable

BOTTOM = HPA(0)
"""Where RAM begins on a machine that has it at the bottom."""


class PhysicalMemory(Protocol):
    """Bytes by host-physical address. Both methods raise MemoryUnreadable."""

    def read(self, address: HPA, length: int) -> bytes:
        """The `length` bytes from `address` on."""

    def write(self, address: HPA, data: bytes) -> None:
        """Put `data` at `address`."""


def read_u64(memory: PhysicalMemory, address: HPA) -> int:
    """The little-endian 64-bit word at `address`."""
    return int.from_bytes(memory.read(address, 8), "little")


class RamFile:
    """The machine's RAM, mapped from the file QEMU shares (facts: coherent for data).

    fd    descriptor of the file; it may be closed afterwards
    size  bytes to map
    base  where the machine sees the file's first byte

    Raises MemoryUnreadable if the file cannot be mapped. A context manager.
    """

    def __init__(self, fd: int, size: int, base: HPA = BOTTOM) -> None:
        self.base = base
        self.size = size
        try:
            self._map = mmap.mmap(fd, size)
        except (OSError, ValueError) as error:
            raise MemoryUnreadable(base, size, f"the RAM file cannot be mapped: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap. Closing twice is harmless; reading afterwards is MemoryUnreadable."""
        self._map.close()

    def _offset(self, address: HPA, length: int) -> int:
        if self._map.closed:
            raise MemoryUnreadable(address, length, "the RAM file is closed")
        offset = address - self.base
        if length < 0 or offset < 0 or offset + length > self.size:
            last = self.base + self.size
            raise MemoryUnreadable(address, length, f"RAM is {self.base:#x} to {last:#x}")
        return offset

    def read(self, address: HPA, length: int) -> bytes:
        """The `length` bytes from `address` on."""
        offset = self._offset(address, length)
        return self._map[offset : offset + length]

    def write(self, address: HPA, data: bytes) -> None:
        """Put `data` at `address`; the running machine sees it as data, not as code."""
        offset = self._offset(address, len(data))
        self._map[offset : offset + len(data)] = data


class FakeMemory:
    """Sparse memory for tests: a frame exists once something was written to it.

    The rest of such a frame reads as zero; a frame never written is unreadable.
    """

    def __init__(self) -> None:
        self._frames: dict[HPA, bytearray] = {}

    def read(self, address: HPA, length: int) -> bytes:
        """The `length` bytes from `address` on."""
        if length < 0:
            raise MemoryUnreadable(address, length, "a negative length")
        found = bytearray()
        while len(found) < length:
            here = HPA(address + len(found))
            frame = self._frames.get(page_of(here))
            if frame is None:
                raise MemoryUnreadable(address, length, f"no frame at {page_of(here):#x}")
            start = here % PAGE_SIZE
            found += frame[start : start + length - len(found)]
        return bytes(found)

    def write(self, address: HPA, data: bytes) -> None:
        """Put `data` at `address`, making the frames it needs."""
        if address < 0:
            raise MemoryUnreadable(address, len(data), "a negative address")
        done = 0
        while done < len(data):
            here = HPA(address + done)
            frame = self._frames.setdefault(page_of(here), bytearray(PAGE_SIZE))
            start = here % PAGE_SIZE
            part = data[done : done + PAGE_SIZE - start]
            frame[start : start + len(part)] = part
            done += len(part)
