"""The walkers against the emulator, over random tables in a machine's RAM.

One program serves both questions: what the monitor says of an address, and what becomes
of an access that the program itself tries.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from tests.oracle import Regime, regimes
from tests.oracle.crowd import Crowd, Place
from tests.system import tiny

from pageferry import Machine
from pageferry import arch as architectures
from pageferry.address import GPA, GVA, HPA, PAGE_SIZE
from pageferry.errors import MemoryUnreadable
from pageferry.memory import read_u64
from pageferry.paging import Rights, walk, walk_guest

ADDRESSES = 300
"""Asked of the monitor in every regime."""

POLL = 0.01
WORD = 8

# As requests.inc has them.
REQUEST_SIZE = 4 * WORD
ACCESSES = {Rights.READ: 1, Rights.WRITE: 2, Rights.EXECUTE: 3}
SUCCESS, STAGE1_FAULT = "success", "a fault of stage 1"
OUTCOMES = ["nothing", SUCCESS, STAGE1_FAULT, "a fault of stage 2", "something else"]

# A page of data: instructions that return, then its own address again and again, then a
# word to write.
NAMES = 0x800
WRITABLE = PAGE_SIZE - WORD
OFFSETS = {Rights.READ: NAMES, Rights.WRITE: WRITABLE, Rights.EXECUTE: 0}


class Try(NamedTuple):
    """An access to a page, what it should come to, and where the page should lie."""

    page: int
    access: Rights
    outcome: str
    place: int | None


@dataclass
class Bench:
    """A machine and the tables it is going to use."""

    machine: Machine
    regime: Regime
    crowd: Crowd
    data: range

    def symbol(self, name: str) -> int:
        return self.machine.image.symbol(name)

    def put(self, address: int, *words: int) -> None:
        data = b"".join(word.to_bytes(WORD, "little") for word in words)
        self.machine.memory.write(HPA(address), data)

    def get(self, address: int) -> int:
        return read_u64(self.machine.memory, HPA(address))

    def run(self) -> None:
        """Let the program do its requests, and stop it where it stays."""
        flag = self.symbol("finished")
        self.machine.cont()
        self.machine.await_fact(lambda: self.get(flag) or None, "the end", every=POLL)
        self.machine.stop()

    def expect(self, address: int, access: Rights) -> Try:
        """What the walkers find."""
        memory, first, second = self.machine.memory, self.regime.stage1, self.regime.stage2
        root1, root2 = self.crowd.root1, HPA(self.crowd.root2)
        try:
            if second is None:
                one = walk(memory, first.fmt, HPA(root1), address)
                outcome = SUCCESS if access in one.rights else STAGE1_FAULT
                return Try(address, access, outcome, one.output)
            both = walk_guest(memory, first.fmt, GPA(root1), second.fmt, root2, GVA(address))
        except MemoryUnreadable:
            return Try(address, access, "a table outside of RAM", None)
        failure = both.fails(access)
        outcome = f"a fault of stage {failure.stage}" if failure else SUCCESS
        return Try(address, access, outcome, both.hpa)


@contextmanager
def bench(arch: str, program: Path, regime: Regime, seed: int, overlooked: bool) -> Iterator[Bench]:
    """A machine that has not run yet, and random tables in its RAM."""
    with Machine(architectures.get(arch), program) as machine:
        symbol = machine.image.symbol
        tables, data = ((symbol(it), symbol(f"{it}_end")) for it in ("tables", "data"))
        place = Place(machine.memory, machine.arch.ram_base, tables, data)
        crowd = Crowd(place, regime, Random(f"{regime.name} {seed}"), overlooked)
        made = Bench(machine, regime, crowd, range(*data))
        made.put(symbol("controls"), *regime.controls(crowd.root1, crowd.root2))
        yield made


@pytest.fixture
def program(arch: str, tmp_path: Path) -> Path:
    return tiny.build(arch, "walker", tmp_path)


# What the monitor says


def said(machine: Machine, addresses: list[int]) -> list[int | None]:
    """Where the monitor finds the bytes at these addresses; None for what it does not."""
    answers = machine.monitor.human_all([f"gva2gpa {address:#x}" for address in addresses])
    return [place(answer) for answer in answers]


def place(answer: str) -> int | None:
    if found := re.fullmatch(r"gpa: (0x[0-9a-f]+)\s*", answer):
        return int(found[1], 16)
    assert answer.strip() == "Unmapped"
    return None


@pytest.mark.parametrize("seed", range(3))
def test_a_walker_finds_what_the_monitor_says(arch: str, program: Path, seed: int) -> None:
    mapped, asked = 0, 0
    for regime in regimes(arch):
        different = {}
        with bench(arch, program, regime, seed, overlooked=False) as it:
            it.run()
            addresses = list(it.crowd.addresses(ADDRESSES))
            for address, theirs in zip(addresses, said(it.machine, addresses), strict=True):
                ours = it.expect(address, Rights.READ)
                if theirs != (ours.place if ours.outcome == SUCCESS else None):
                    different[hex(address)] = (theirs, ours)
                mapped += theirs is not None
                asked += 1
        assert different == {}, regime.name
    assert asked // 10 < mapped < asked * 9 // 10, "the tables are empty, or full"


# What becomes of an access


def fill_data(it: Bench) -> None:
    filler = it.machine.memory.read(HPA(it.symbol("filler")), WORD)
    for frame in it.data[::PAGE_SIZE]:
        names = frame.to_bytes(WORD, "little") * ((WRITABLE - NAMES) // WORD)
        it.machine.memory.write(HPA(frame), filler * (NAMES // WORD) + names + bytes(WORD))


def harmless(it: Bench) -> list[Try]:
    """Every access to every page that leads to our data or nowhere."""
    pages = dict.fromkeys(it.crowd.pages)
    tries = [it.expect(page, access) for page in pages for access in ACCESSES]
    known = {SUCCESS, *OUTCOMES}
    return [a for a in tries if a.outcome in known and (a.place is None or a.place in it.data)]


@pytest.mark.parametrize("seed", range(3))
def test_an_access_comes_to_what_a_walker_expects(arch: str, program: Path, seed: int) -> None:
    for regime in regimes(arch):
        different, written = {}, {}
        with bench(arch, program, regime, seed, overlooked=True) as it:
            fill_data(it)
            requests = it.symbol("requests")
            tries = {requests + REQUEST_SIZE * n: one for n, one in enumerate(harmless(it))}
            for at, one in tries.items():
                it.put(at, ACCESSES[one.access], one.page + OFFSETS[one.access])
            it.run()
            for at, one in tries.items():
                outcome, value = OUTCOMES[it.get(at + 2 * WORD)], it.get(at + 3 * WORD)
                read = outcome == SUCCESS and one.access is Rights.READ
                if outcome != one.outcome or (read and value != one.place):
                    different[one] = (outcome, hex(value))
                if outcome == SUCCESS and one.access is Rights.WRITE:
                    written[one.place] = at
            words = {frame: it.get(frame + WRITABLE) for frame in it.data[::PAGE_SIZE]}
        assert different == {}, regime.name
        assert {frame: word for frame, word in words.items() if word} == written
        assert {one.outcome for one in tries.values()} >= {SUCCESS, STAGE1_FAULT}
