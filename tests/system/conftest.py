"""What system tests ask for: the plugin's machines, under the names they use here."""

import pytest

from pageferry import Testbed
from pageferry.debugger import Debugger
from pageferry.pool import Pool
from pageferry.settings import Settings
from pageferry.testbed import Door


@pytest.fixture(scope="session")
def arch(pageferry_settings: Settings) -> str:
    """The architecture of this run."""
    return pageferry_settings.arch


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All on one CPU in turn, and each guest on a CPU of its own, if a test does not say."""
    if "cpus" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("pageferry")
        numbers = [mark.kwargs["cpus"]] if mark and "cpus" in mark.kwargs else [1, 3]
        metafunc.parametrize("cpus", numbers, ids=lambda number: f"{number}cpu", indirect=True)


@pytest.fixture
def cpus(request: pytest.FixtureRequest, pageferry_settings: Settings) -> int:
    """How many CPUs the machine has."""
    number: int = request.param
    if pageferry_settings.target != "qemu" and number != pageferry_settings.cpus:
        pytest.skip(f"target lacks: {number} CPUs")
    return number


@pytest.fixture
def bed(pageferry_pool: Pool, cpus: int) -> Testbed:
    """Two guests that just got ready, whatever the test before has done."""
    return pageferry_pool.check_out(cpus=cpus)


@pytest.fixture(params=list(Door), ids=lambda door: f"by-{door.value}")
def door(request: pytest.FixtureRequest) -> Door:
    """Each way in that an operation can take."""
    found: Door = request.param
    return found


@pytest.fixture
def gdb(bed: Testbed) -> Debugger:
    """gdb, connected to a machine that runs."""
    return bed.machine.debugger()


@pytest.fixture
def standing(gdb: Debugger) -> Debugger:
    """The same, and the machine stands."""
    gdb.interrupt()
    return gdb
