"""A machine for each test to start from: booted once, restored every time."""

from collections.abc import Iterator

import pytest

from pageferry import Testbed
from pageferry.errors import HarnessError
from pageferry.testbed import Door


@pytest.fixture(scope="session")
def arch(pytestconfig: pytest.Config) -> str:
    name: str = pytestconfig.getoption("arch")
    return name


class Pool:
    """A machine for each number of CPUs; replaced when a test has broken the bench."""

    def __init__(self, arch: str) -> None:
        self._arch = arch
        self._beds: dict[int, Testbed] = {}

    def check_out(self, cpus: int) -> Testbed:
        if cpus in self._beds:
            try:
                self._beds[cpus].restore()
            except HarnessError:
                self.discard(cpus)
        if cpus not in self._beds:
            self._beds[cpus] = Testbed.start(self._arch, cpus=cpus)
        return self._beds[cpus]

    def discard(self, cpus: int) -> None:
        self._beds.pop(cpus).close()

    def close(self) -> None:
        for cpus in list(self._beds):
            self.discard(cpus)


@pytest.fixture(scope="session")
def pool(arch: str) -> Iterator[Pool]:
    pool = Pool(arch)
    yield pool
    pool.close()


@pytest.fixture(params=[1, 3], ids=["1cpu", "3cpus"])
def cpus(request: pytest.FixtureRequest) -> int:
    """All on one CPU in turn, or each guest on a CPU of its own."""
    number: int = request.param
    return number


@pytest.fixture
def bed(pool: Pool, cpus: int) -> Testbed:
    """Two guests that just got ready, whatever the test before has done."""
    return pool.check_out(cpus)


@pytest.fixture(params=list(Door), ids=lambda door: f"by-{door.value}")
def door(request: pytest.FixtureRequest) -> Door:
    """Each way in that an operation can take."""
    found: Door = request.param
    return found
