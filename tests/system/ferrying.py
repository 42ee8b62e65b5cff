"""Pages that change hands at random, while the guests run or just after."""

import random
from collections.abc import Callable, Iterable
from contextlib import suppress

from pageferry import GuestFault, Testbed
from pageferry.address import GPA
from pageferry.guest import Guest
from pageferry.testbed import Door

PAGES = 8
"""Of each guest, that are handed around."""

SLOTS = 64
"""Pages of each window that they may come to."""

KEPT = 100
"""A page that its owner keeps and reads meanwhile."""


def each_operation(bed: Testbed, doors: Iterable[Door] = (Door.CONSOLE, Door.GUEST)) -> None:
    """Each that changes tables, by each of the doors; then every vCPU is entered again, and
    one looks for the page that was taken."""
    a, b = bed.guests
    for number, door in enumerate(doors):
        page, place = a.page(number), b.window(3 * number)
        bed.share(a, page, b, place, door)
        bed.relinquish(b, place, door)
        bed.share(a, page, b, place, door)
        bed.reclaim(a, page, door)
        bed.copy(a, page, b, b.window(3 * number + 1), door)
        bed.remap(a, page, b, place, door)
        for vcpu in (*a.vcpus, *b.vcpus):
            vcpu.ping()
        with suppress(GuestFault):
            a.load(page)


class Ferry:
    """Who has which page, and a choice of what happens to one next."""

    def __init__(self, bed: Testbed, seed: int) -> None:
        self._bed = bed
        self._pick = random.Random(seed)
        self._places = [(guest, guest.page(it)) for guest in bed.guests for it in range(PAGES)]
        self.remaps = 0

    def run(self, remaps: int) -> None:
        """Remap at least so often, in every way there is."""
        alone = self._bed.machine.cpus == 1
        ways: list[Callable[[], None]] = [self._by_guest, self._share]
        ways += [self._by_console] if alone else [self._from_a_reader, self._beside_readers]
        if any(len(guest.vcpus) > 1 for guest in self._bed.guests):
            ways.append(self._from_another_vcpu)
        while self.remaps < remaps:
            self._pick.choice(ways)()

    def _other(self, guest: Guest) -> Guest:
        a, b = self._bed.guests
        return b if guest is a else a

    def _choose(self) -> tuple[int, Guest, GPA, Guest, GPA]:
        """One of the pages, and a free place with the other guest."""
        number = self._pick.randrange(len(self._places))
        source, gpa = self._places[number]
        target = self._other(source)
        slots = [target.window(it) for it in range(SLOTS)]
        free = [it for it in slots if (target, it) not in self._places]
        return number, source, gpa, target, self._pick.choice(free)

    def _remap(self, door: Door = Door.CONSOLE) -> None:
        number, source, gpa, target, to = self._choose()
        self._bed.remap(source, gpa, target, to, door=door)
        self._places[number] = target, to
        self.remaps += 1

    def _by_console(self) -> None:
        self._remap()
        guest, gpa = self._pick.choice(self._places)
        guest.load(gpa)

    def _by_guest(self) -> None:
        self._remap(Door.GUEST)

    def _share(self) -> None:
        _, source, gpa, target, to = self._choose()
        self._bed.share(source, gpa, target, to)
        target.load(to)
        if self._pick.random() < 0.5:
            self._bed.reclaim(source, gpa)
        else:
            self._bed.relinquish(target, to)
        source.store(gpa, self._pick.getrandbits(64))

    def _from_a_reader(self) -> None:
        number, source, gpa, target, to = self._choose()
        with source.watching(gpa, alias=number % 2):
            self._bed.remap(source, gpa, target, to)
            target.store(to, self._pick.getrandbits(64))
        self._places[number] = target, to
        self.remaps += 1

    def _from_another_vcpu(self) -> None:
        """A vCPU gives away what another one of its guest reads, if it has another."""
        number, source, gpa, target, to = self._choose()
        if len(source.vcpus) == 1:
            return
        giver, reader = self._pick.sample(source.vcpus, 2)
        door = self._pick.choice([Door.CONSOLE, Door.GUEST])
        with reader.watching(gpa, alias=number % 2):
            self._bed.remap(giver, gpa, target, to, door=door)
            target.store(to, self._pick.getrandbits(64))
        self._places[number] = target, to
        self.remaps += 1

    def _beside_readers(self) -> None:
        a, b = self._bed.guests
        with a.watching(a.page(KEPT)), b.watching(b.page(KEPT)):
            for _ in range(10):
                self._remap()
