"""A system to be looked at: tables written by hand, a hypervisor that is foreign."""

import json

from tests.unit.handmade import OPEN, A, Handmade

from pageferry import arch, inspect
from pageferry.address import GPA, HPA

RAM = 0x6000_0000
OWN_TABLES = RAM + 0x1000
FRAMES = 0x40_0000


class System:
    """Two guests. The first has a stage 1 of its own, which maps GVA 0 + x to GPA RAM + x."""

    def __init__(self) -> None:
        tables = Handmade()
        self.memory = tables.memory
        self.roots = [tables.table(), tables.table()]
        self.tables = tables
        for page in range(16):
            self.give(0, RAM + 0x1000 * page, FRAMES + 0x1000 * page)
            self.memory.write(HPA(FRAMES + 0x1000 * page), bytes([page]) * 0x1000)
        self.give(1, RAM, FRAMES + 0x10_0000)
        self._make_stage1()
        self.system = inspect.System(
            arch.get("x86_64"),
            self.memory,
            roots={
                1: inspect.Roots(GPA(OWN_TABLES), self.roots[0]),
                2: inspect.Roots(None, self.roots[1]),
            },
        )

    def give(self, guest: int, gpa: int, frame: int, flags: int = OPEN | A) -> None:
        self.tables.map(self.roots[guest], gpa, frame, flags)

    def _make_stage1(self) -> None:
        """Root, and one table a level below it, on the guest's own pages 1 to 4."""

        def put(page: int, index: int, entry: int) -> None:
            place = FRAMES + 0x1000 * page + 8 * index
            self.memory.write(HPA(place), entry.to_bytes(8, "little"))

        for page in range(1, 5):
            self.memory.write(HPA(FRAMES + 0x1000 * page), bytes(0x1000))
        for page in range(1, 4):
            put(page, 0, RAM + 0x1000 * (page + 1) | OPEN)
        for page in range(16):
            put(4, page, RAM + 0x1000 * page | OPEN)
        put(4, 16, RAM + 0x50_0000 | OPEN)


def lines(made: System, command: str) -> list[str]:
    return inspect.run(made.system, command.split()).splitlines()


def answer(made: System, command: str) -> object:
    return json.loads(inspect.run(made.system, [*command.split(), "--json"]))
