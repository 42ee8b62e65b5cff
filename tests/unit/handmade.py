"""Tables written by hand, bit by bit, from the figures of AMD64 APM volume 2, 5.3.

Nothing here comes from the descriptor that is tested with it. `Shaped` makes tables of
any other shape; its entries are whole words of the test.
"""

from collections.abc import Callable

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


class Shaped(Handmade):
    """Tables with `levels` of 9 index bits under a root of `root_bits`.

    name  the entry that names a table and withholds nothing
    """

    def __init__(
        self, levels: int, root_bits: int, name: Callable[[int], int], first: int = 1 << 32
    ) -> None:
        super().__init__(first)
        self.levels = levels
        self.name = name
        self.root = HPA(first)
        frames = -(-(8 << root_bits) // 0x1000)
        for _ in range(frames):
            self.table()
        self.below: dict[int, int] = {}
        self.root_bits = root_bits

    def way(self, address: int, level: int = 0) -> int:
        """Where the entry of `level` for an address lies, with tables made on the way."""
        table, bits = int(self.root), self.root_bits
        for above in range(self.levels - 1, level, -1):
            at = table + 8 * (address >> (12 + 9 * above) & (1 << bits) - 1)
            if at not in self.below:
                self.below[at] = self.table()
                self.write(at, self.name(self.below[at]))
            table, bits = self.below[at], 9
        return table + 8 * (address >> (12 + 9 * level) & (1 << bits) - 1)

    def write(self, at: int, entry: int) -> None:
        """Write the entry that lies there."""
        self.memory.write(HPA(at), entry.to_bytes(8, "little"))

    def leaf(self, address: int, entry: int, level: int = 0) -> None:
        """Write the entry of `level` for an address."""
        self.write(self.way(address, level), entry)
