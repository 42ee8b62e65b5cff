"""Everything that a refused operation must leave as it was, taken from physical memory.

tables   every frame that a stage 2 lies in, found by walking, without A and D bits
records  the hypervisor's record of each frame of RAM, of `record_size` bytes: the one at
         `kind_at` is `kind_free` if the frame is free
posted   where each VM accepts pages
pages    every page that a VM maps, byte by byte
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import compress, count

from .address import GPA, HPA, PAGE_SIZE
from .errors import MemoryUnreadable
from .guest import Guest
from .image import Reader
from .machine import Machine
from .memory import PhysicalMemory
from .paging import table_frames

ENTRY = 8
"""Bytes of a table's entry."""

NO_RAM = b"not RAM"
"""In place of the bytes of a page whose entry leads to no RAM."""


@dataclass(frozen=True, eq=False)
class Census:
    """One moment's account. Two are compared with `changes`, not with ==."""

    tables: Mapping[tuple[int, HPA], bytes]
    records: bytes
    record_size: int
    kind_at: int
    kind_free: int
    posted: Mapping[int, bytes]
    pages: Mapping[tuple[int, GPA], bytes]

    @cached_property
    def free(self) -> frozenset[int]:
        """The frames whose record says that they are free."""
        kinds = self.records[self.kind_at :: self.record_size]
        return frozenset(compress(count(), map(self.kind_free.__eq__, kinds)))

    def changes(self, later: Census, scratch: Iterable[tuple[int, GPA]] = ()) -> list[str]:
        """What is different later, a line each; empty if nothing is.

        scratch  (vm, page) whose bytes may differ. A guest that is asked to do something
                 writes pages of its own: `Testbed.agents_pages`
        """
        ignored = set(scratch)
        found: list[str] = []
        for vm, frame in sorted(self.tables.keys() | later.tables.keys()):
            was, now = self.tables.get((vm, frame)), later.tables.get((vm, frame))
            if was is None or now is None:
                change = "lost" if now is None else "has a new"
                found.append(f"VM {vm} {change} table frame {frame:#x}")
            else:
                found += _different(f"VM {vm}: entry {{}} of table {frame:#x}", was, now, ENTRY)
        found += _different("the record of frame {}", self.records, later.records, self.record_size)
        if self.records != later.records and self.free != later.free:
            taken, given = sorted(self.free - later.free), sorted(later.free - self.free)
            found.append(f"free frames: taken {taken}, given back {given}")
        found += [
            f"VM {vm} posts other pages"
            for vm in self.posted
            if self.posted[vm] != later.posted[vm]
        ]
        differing = {
            page
            for page in self.pages.keys() | later.pages.keys()
            if self.pages.get(page) != later.pages.get(page)
        }
        found += [
            f"VM {vm}: the page at {gpa:#x} differs" for vm, gpa in sorted(differing - ignored)
        ]
        return found


def _different(what: str, was: bytes, now: bytes, size: int) -> Iterator[str]:
    """A line for each item of `size` bytes that is not what it was."""
    if was == now:
        return
    for start in range(0, len(was), size):
        old, new = (int.from_bytes(data[start : start + size], "little") for data in (was, now))
        if old != new:
            yield f"{what.format(start // size)} was {old:#x}, is {new:#x}"


def take(machine: Machine, firmware: Reader, guests: Iterable[Guest]) -> Census:
    """Count everything now. The machine should not be at work meanwhile."""
    memory, arch = machine.memory, machine.arch
    kept = _repeated(~arch.accessed_dirty)
    tables: dict[tuple[int, HPA], bytes] = {}
    posted: dict[int, bytes] = {}
    pages: dict[tuple[int, GPA], bytes] = {}
    for guest in guests:
        for frame in table_frames(memory, arch.stage2, guest.stage2_root):
            entries = int.from_bytes(memory.read(frame, PAGE_SIZE), "little") & kept
            tables[guest.vm, frame] = entries.to_bytes(PAGE_SIZE, "little")
        posted[guest.vm] = firmware.read_bytes(f"vms[{guest.vm}].posted")
        for gpa, (hpa, _) in guest.pages().items():
            pages[guest.vm, gpa] = _bytes_at(memory, hpa)
    return Census(
        tables,
        records=firmware.read_bytes("frames"),
        record_size=firmware.size("frames[0]"),
        kind_at=firmware.address("frames[0].kind") - firmware.address("frames"),
        kind_free=machine.image.enum("frame_kind")["FRAME_FREE"],
        posted=posted,
        pages=pages,
    )


def _repeated(entry: int) -> int:
    """A table's worth of one entry, as one number."""
    each = (entry % (1 << 8 * ENTRY)).to_bytes(ENTRY, "little")
    return int.from_bytes(each * (PAGE_SIZE // ENTRY), "little")


def _bytes_at(memory: PhysicalMemory, frame: HPA) -> bytes:
    try:
        return memory.read(frame, PAGE_SIZE)
    except MemoryUnreadable:
        return NO_RAM
