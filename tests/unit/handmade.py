"""x86-64 tables written by hand, bit by bit, from the figures of AMD64 APM volume 2, 5.3.

Nothing here comes from the descriptor that is tested with it.
"""

from pageferry.address import HPA
from pageferry.memory import FakeMemory

P = 1 << 0
W = 1 << 1
U = 1 << 2
A = 1 << 5
D = 1 << 6
PS = 1 << 7
NX = 1 << 63

OPEN = P | W | U
"""An entry that withholds nothing."""


class Handmade:
    """Tables in a fake memory, allocated upwards from one frame."""

    def __init__(self, first: int = 0x10_0000) -> None:
        self.memory = FakeMemory()
        self.next = first

    def table(self) -> HPA:
        """A new table of 512 absent entries."""
        table = HPA(self.next)
        self.next += 0x1000
        self.memory.write(table, bytes(0x1000))
        return table

    def put(self, table: int, index: int, entry: int) -> None:
        """Write one entry."""
        self.memory.write(HPA(table + 8 * index), entry.to_bytes(8, "little"))

    def get(self, table: int, index: int) -> int:
        """Read one entry."""
        return int.from_bytes(self.memory.read(HPA(table + 8 * index), 8), "little")

    def map(self, root: int, address: int, output: int, flags: int = OPEN, level: int = 0) -> int:
        """Map one page, with open tables on the way; returns the table its leaf lies in.

        level  0 for 4 KiB, 1 for 2 MiB, 2 for 1 GiB
        """
        table = root
        for above in range(3, level, -1):
            index = address >> (12 + 9 * above) & 0x1FF
            if not self.get(table, index):
                self.put(table, index, self.table() | OPEN)
            table = self.get(table, index) & 0x000F_FFFF_FFFF_F000
        large = PS if level else 0
        self.put(table, address >> (12 + 9 * level) & 0x1FF, output | flags | large)
        return table
