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
    """The one machine that tests share; replaced when a test has broken the bench."""

    def __init__(self, arch: str) -> None:
        self._arch = arch
        self._bed: Testbed | None = None

    def check_out(self) -> Testbed:
        if self._bed is not None:
            try:
                self._bed.restore()
            except HarnessError:
                self.discard()
        if self._bed is None:
            self._bed = Testbed.start(self._arch)
        return self._bed

    def discard(self) -> None:
        if self._bed is not None:
            self._bed.close()
            self._bed = None


@pytest.fixture(scope="session")
def pool(arch: str) -> Iterator[Pool]:
    pool = Pool(arch)
    yield pool
    pool.discard()


@pytest.fixture
def bed(pool: Pool) -> Testbed:
    """Two guests that just got ready, whatever the test before has done."""
    return pool.check_out()


@pytest.fixture(params=list(Door), ids=lambda door: f"by-{door.value}")
def door(request: pytest.FixtureRequest) -> Door:
    """Each way in that an operation can take."""
    found: Door = request.param
    return found
