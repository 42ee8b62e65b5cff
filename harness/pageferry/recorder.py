"""The TCG plugin as a machine has it: its arguments, what it watches, what it has recorded.

    machine = Machine(arch, kernel, plugin=PLUGIN)
    ...
    machine.recorder.watch(address, length, Watch.STORES)
    machine.recorder.start()     while the machine stands
    machine.recorder.stop()      again while it stands: the records

The record is a file in memory of a fixed size. More records than it has room for are an
error, and nothing is ever overwritten.
"""

from __future__ import annotations

import mmap
import os
from functools import cache
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from .address import HPA, PAGE_SIZE, page_of
from .errors import HarnessError
from .wire.record import (
    CPU_LIMIT,
    HEADER,
    HEADER_START,
    RECORD,
    UNIT,
    WATCH,
    Header,
    Record,
    Watch,
    parse,
    parse_header,
)

if TYPE_CHECKING:
    from .arch import Arch

PLUGIN = Path("build", "plugin", "recorder.so")
"""Where `make plugin` puts it, below the working directory."""

ROOM = 1 << 20
"""How many records there is room for."""


@cache
def _adding(bits: int) -> bytes:
    """For `bytes.translate`: every byte with these bits set too."""
    return bytes(byte | bits for byte in range(256))


class Recorder:
    """The plugin of one machine. To be closed by its owner.

    plugin      the shared object
    arch        whose instructions and devices are to be recorded; HarnessError if none are
                known of it
    cpus, ram   of the machine; ram in bytes
    image_end   behind the hypervisor's image; code from the next frame on is a guest's
    """

    def __init__(self, plugin: Path, arch: Arch, cpus: int, ram: int, image_end: int) -> None:
        if arch.traces is None:
            raise HarnessError(f"nobody has said what there is to record on {arch.name}")
        if cpus > CPU_LIMIT:
            raise HarnessError(f"the recorder has room for {CPU_LIMIT} CPUs, not for {cpus}")
        if not plugin.is_file():
            raise HarnessError(f"there is no plugin {plugin.absolute()}: run `make plugin`")
        self._plugin = plugin
        self._arch = arch
        self._ram = ram
        self._guests = page_of(HPA(image_end + PAGE_SIZE - 1))
        self._first = WATCH + ram // UNIT
        self._size = self._first + ROOM * RECORD.size
        with FileIO(os.memfd_create("record"), "r+") as file:
            file.truncate(self._size)
            self._fd = os.dup(file.fileno())
            self._map = mmap.mmap(self._fd, self._size)

    @property
    def fd(self) -> int:
        """What QEMU must inherit."""
        return self._fd

    def arguments(self, ram_fd: int) -> list[str]:
        """For QEMU's command line. The plugin reads every number as hexadecimal."""
        traces = self._arch.traces
        assert traces is not None  # looked at when this was made
        base, fd = self._arch.ram_base, self._fd
        said = [
            f"ram={ram_fd:x}:{base:x}:{self._ram:x}",
            f"record={fd:x}:{ROOM:x}",
            f"guests={self._guests:x}",
            *(
                f"{'enter' if it.enters else 'insn'}={it.mask:x}:{it.value:x}"
                for it in traces.instructions
            ),
            *(f"device={it.address:x}" for it in traces.devices),
        ]
        file = str(self._plugin).replace(",", ",,")
        return ["-plugin", ",".join([f"file={file}", *said])]

    def watch(self, address: int, length: int, what: Watch) -> None:
        """Record this too of RAM; the range is widened to whole units of 8 bytes."""
        base = self._arch.ram_base
        first, end = (address - base) // UNIT, -((base - address - length) // UNIT)
        there = slice(WATCH + first, WATCH + end)
        self._map[there] = self._map[there].translate(_adding(int(what)))

    def start(self) -> None:
        """From now on: forget the old records, and record. The machine stands.

        The plugin leaves out what is as it was at the last change, which counts as one.
        """
        header = self.header()
        fresh = HEADER_START.pack(1, 0, 0, header.changes + 1, header.happenings + 1)
        self._map[: HEADER_START.size] = fresh

    def stop(self) -> list[Record]:
        """What was recorded since `start`, in order. The machine stands.

        Raises HarnessError if any record was lost.
        """
        self._map[0:4] = bytes(4)
        header = self.header()
        if header.records > ROOM:
            raise HarnessError(f"{header.records} records, and there is room for {ROOM}")
        if header.lost:
            raise HarnessError(f"of {header.lost} accesses the plugin could not tell the address")
        return list(parse(self._map[self._first : self._first + header.records * RECORD.size]))

    def header(self) -> Header:
        """The state of the recording."""
        return parse_header(self._map[: HEADER.size])

    def close(self) -> None:
        """Give the memory back. Closing twice is harmless."""
        if not self._map.closed:
            self._map.close()
            os.close(self._fd)
