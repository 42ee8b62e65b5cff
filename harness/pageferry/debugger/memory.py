"""Physical memory as gdb reads it through a stub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..address import HPA
from ..errors import DebuggerError, MemoryUnreadable

PIECE = 1 << 16
"""Bytes moved by one command at most: a line of MI has twice as many characters."""

Execute = Callable[[str], dict[str, Any]]
"""Executes an MI command while the stub takes addresses for physical ones."""


def write_command(address: HPA, data: bytes) -> str:
    """The MI command that puts `data` at `address`."""
    return f"-data-write-memory-bytes {address:#x} {data.hex()}"


class GdbMemory:
    """`PhysicalMemory` of a stopped machine, through gdb and the machine's stub.

    execute      with the stub's view switched to physical memory
    is_running   whether the machine runs, when nothing can be read
    base, size   where there is memory, or size None if that is not known. QEMU's stub
                 gives zeros for what is none, so it has to be known there
    """

    def __init__(
        self,
        execute: Execute,
        is_running: Callable[[], bool],
        base: HPA,
        size: int | None,
    ) -> None:
        self._execute = execute
        self._is_running = is_running
        self._base = base
        self._size = size

    def read(self, address: HPA, length: int) -> bytes:
        """The `length` bytes from `address` on. Raises MemoryUnreadable, and as `execute`."""
        self._require(address, length)
        found = bytearray()
        while len(found) < length:
            here, count = address + len(found), min(PIECE, length - len(found))
            try:
                answer = self._execute(f"-data-read-memory-bytes {here:#x} {count}")
            except DebuggerError as error:
                raise MemoryUnreadable(address, length, str(error)) from error
            data = b"".join(bytes.fromhex(part["contents"]) for part in answer["memory"])
            if len(data) != count:
                raise MemoryUnreadable(address, length, f"gdb gave {len(data)} of {count} bytes")
            found += data
        return bytes(found)

    def write(self, address: HPA, data: bytes) -> None:
        """Put `data` at `address`; code as well. Raises as `read` does."""
        self._require(address, len(data))
        for start in range(0, len(data), PIECE):
            part = data[start : start + PIECE]
            try:
                self._execute(write_command(HPA(address + start), part))
            except DebuggerError as error:
                raise MemoryUnreadable(address, len(data), str(error)) from error

    def _require(self, address: HPA, length: int) -> None:
        if self._is_running():
            raise MemoryUnreadable(address, length, "gdb cannot reach it while the machine runs")
        last = None if self._size is None else self._base + self._size
        beyond = last is not None and (address < self._base or address + length > last)
        if length < 0 or beyond:
            known = "unknown" if last is None else f"{self._base:#x} to {last:#x}"
            raise MemoryUnreadable(address, length, f"memory is {known}")
