"""Random tables in the RAM of a machine, some of them strange, and addresses to ask about."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.oracle import Regime, Stage

from pageferry.address import HPA, PAGE_SIZE
from pageferry.memory import PhysicalMemory
from pageferry.tables import ENTRY_SIZE

ROOT_SIZE = 0x1_0000
"""Bytes kept for a root, and its alignment: 16 tables are the most there can be."""

LEVELS = (0, 0, 1, 2)
"""Of leaves: pages are as many as larger ones."""

IDENTITY_LEVEL = 2
"""All of RAM is mapped where it is by one leaf of this level."""

Slot = tuple[int, int, int]
"""A table, its level, an index."""


@dataclass(frozen=True)
class Place:
    """The memory a crowd is made in.

    ram          where RAM begins: both stages map it there, and the program in it
    tables, data first and end of the memory for tables, and of what leaves lead to
    """

    memory: PhysicalMemory
    ram: int
    tables: tuple[int, int]
    data: tuple[int, int]


class Tables:
    """One stage's tables. `overlooked` bits are left as they should be."""

    def __init__(
        self, memory: PhysicalMemory, stage: Stage, root: int, random: Random, overlooked: bool
    ) -> None:
        self.stage = stage
        self.root = root
        self._memory = memory
        self._random = random
        self._below: dict[Slot, int | None] = {}
        self._favourites = random.sample([0, 511, random.randrange(1, 511)], 3)
        kept = frozenset() if overlooked else stage.overlooked
        self._table_bits = [bit for bit in stage.table_bits if bit not in kept]
        self._leaf_bits = [bit for bit in stage.leaf_bits if bit not in kept]

    def somewhere(self, level: int = 0) -> int:
        """The address of a leaf, of those that share a few tables."""
        fmt, random = self.stage.fmt, self._random
        address = random.randrange(512) * fmt.span(level)
        for above in range(level + 1, fmt.levels):
            address += random.choice(self._favourites[: 3 if above < 3 else 2]) * fmt.span(above)
        return fmt.extend(address % self.stage.limit)

    def put(self, address: int, level: int, output: int, frames: "Frames", plain: bool) -> bool:
        """Map the output at a level, strangely unless `plain`. False if a leaf was in the way."""
        fmt, table = self.stage.fmt, self.root
        for above in range(fmt.levels - 1, level, -1):
            slot = (table, above, fmt.index(address, above))
            if slot not in self._below:
                self._below[slot], named = frames.table()
                bits = [] if plain else self._table_bits
                rare = 4 if above == 1 else 100  # it takes all that is below with it
                self._write(slot, self._strange(self.stage.table(named), bits, rare))
            below = self._below[slot]
            if below is None:
                return False
            table = below
        slot = (table, level, fmt.index(address, level))
        if slot in self._below:
            return False
        self._below[slot] = None
        bits = [] if plain else self._leaf_bits
        self._write(slot, self._strange(self.stage.leaf(level, output), bits, 3))
        return True

    def _strange(self, entry: int, bits: Sequence[int], one_in: int) -> int:
        """The entry, and once in a while with one or two of the bits changed."""
        if bits and not self._random.randrange(one_in):
            for bit in self._random.sample(bits, self._random.choice([1, 1, 2])):
                entry ^= 1 << bit
        return entry

    def _write(self, slot: Slot, entry: int) -> None:
        table, _, index = slot
        self._memory.write(HPA(table + ENTRY_SIZE * index), entry.to_bytes(ENTRY_SIZE, "little"))


class Frames:
    """Frames for tables: where they are, and how a table above names them."""

    def __init__(self, first: int, end: int) -> None:
        self._free = list(range(first, end, PAGE_SIZE))

    def table(self) -> tuple[int, int]:
        """Where the next one is, and the address that an entry gives it."""
        frame = self._free.pop()
        return frame, frame


class NestedFrames(Frames):
    """The same for the tables of a guest, which name one another by guest-physical address."""

    def __init__(self, frames: Frames, outer: Tables, random: Random) -> None:
        self._frames = frames
        self._outer = outer
        self._random = random

    def table(self) -> tuple[int, int]:
        """Either where it is, as stage 2 maps all of RAM, or at a page made for it."""
        frame, _ = self._frames.table()
        page = self._outer.somewhere()
        aliased = self._random.random() < 0.2
        if aliased and self._outer.put(page, 0, frame, self._frames, plain=False):
            return frame, page
        return frame, frame


class Crowd:
    """The tables of a regime, full of random leaves, and `pages` that they may lead from."""

    def __init__(self, place: Place, regime: Regime, random: Random, overlooked: bool) -> None:
        first, end = place.tables
        memory, ram = place.memory, place.ram
        self.root1, self.root2 = first, first + ROOT_SIZE
        self._random = random
        frames = named = Frames(first + 2 * ROOT_SIZE, end)
        targets = list(range(*place.data, PAGE_SIZE))
        if regime.stage2 is not None:
            stage2 = Tables(memory, regime.stage2, self.root2, random, overlooked)
            stage2.put(ram, IDENTITY_LEVEL, ram, frames, plain=True)
            targets += self._fill(stage2, targets, frames, 60) * 8
            named = NestedFrames(frames, stage2, random)
        self._stage1 = Tables(memory, regime.stage1, self.root1, random, overlooked)
        self._stage1.put(ram, IDENTITY_LEVEL, ram, frames, plain=True)
        self.pages = self._fill(self._stage1, targets, named, 150)

    def _fill(self, tables: Tables, targets: list[int], frames: Frames, tries: int) -> list[int]:
        """Put leaves that lead to the targets; the pages that lead there."""
        found = []
        fmt = tables.stage.fmt
        for _ in range(tries):
            level, target = self._random.choice(LEVELS), self._random.choice(targets)
            size = fmt.span(level)
            address = tables.somewhere(level)
            if tables.put(address, level, target & -size, frames, plain=False):
                found.append(fmt.extend(address) + target % size)
        return found

    def addresses(self, count: int) -> list[int]:
        """What to ask about: most are in or beside a page that leads somewhere, some anywhere."""
        return [self._address() for _ in range(count)]

    def _address(self) -> int:
        random, fmt = self._random, self._stage1.stage.fmt
        beside = random.choice([0, 0, 0, 0, fmt.span(0), fmt.span(1), fmt.span(2)])
        found = random.choice(self.pages) + beside + random.randrange(PAGE_SIZE)
        if not random.randrange(12):
            found = random.randrange(1 << 64)
        # Below the upper half, other tables translate.
        return found % (1 << 64) | (1 << 63 if fmt.upper_half else 0)
