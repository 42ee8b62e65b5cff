"""What system tests ask for: the plugin's machines, under the names they use here."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system import failing, tiny
from tests.system.once import Once, Run

from pageferry import Machine, Testbed
from pageferry import arch as architectures
from pageferry.debugger import Debugger
from pageferry.pool import Pool
from pageferry.pytest_plugin import ARCH, BENCH
from pageferry.settings import Settings
from pageferry.testbed import Door, firmware_directory


@pytest.fixture(scope="session")
def arch(pageferry_arch: str) -> str:
    """The architecture of the test."""
    return pageferry_arch


@pytest.fixture
def kernel(arch: str, pageferry_settings: Settings) -> Path:
    """The hypervisor that is tested."""
    return (pageferry_settings.firmware or firmware_directory(arch)) / "hypervisor.elf"


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On every architecture, its name in the id also where there is one only.

    All on one CPU in turn, and each guest on a CPU of its own, if a test does not say.
    """
    names = metafunc.config.stash[BENCH].settings.arch
    if ARCH in metafunc.fixturenames and len(names) == 1:
        metafunc.parametrize(ARCH, names, indirect=True, scope="session")
    if "cpus" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("pageferry")
        numbers = [mark.kwargs["cpus"]] if mark and "cpus" in mark.kwargs else [1, 3]
        metafunc.parametrize("cpus", numbers, ids=lambda number: f"{number}cpu", indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test of a bug or of anything else that not all architectures have is of these only."""
    items[:] = [item for item in items if _can_be(getattr(item, "callspec", None))]


def _can_be(callspec: Any) -> bool:
    said = callspec.params if callspec else {}
    special = [it for it in said.values() if hasattr(it, "applies_to")]
    return ARCH not in said or all(it.applies_to(said[ARCH]) for it in special)


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


@pytest.fixture(scope="session")
def parrot(arch: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Firmware that is not ours: it answers what it is asked, and fails when it is told to."""
    return tiny.build(arch, "parrot", tmp_path_factory.mktemp("firmware"))


@pytest.fixture
def machine(arch: str, parrot: Path) -> Iterator[Machine]:
    """A machine of its own, in which that firmware is ready: not the plugin's fixture."""
    with Machine(architectures.get(arch), parrot) as machine:
        machine.cont()
        machine.console.await_log(f"pageferry {arch} ready")
        yield machine


@pytest.fixture
def once(pytester: pytest.Pytester, arch: str, tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Runs of pytest that several tests look at."""
    base = tmp_path_factory.getbasetemp()
    # The folders of several workers lie in one.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return Once(pytester, arch, shared)


@pytest.fixture
def failed(pytester: pytest.Pytester, arch: str, once: Once) -> Run:
    """A run of tests that have failed, whose evidence is to be looked at."""
    bench = failing.bench(pytester, arch)

    def write() -> None:
        bench.makepyfile(**failing.TESTS)
        failing.folder_of_another_run(bench)

    run = once.run("failing", write, *(f"{name}.py" for name in failing.TESTS))
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.said
    return run


@pytest.fixture
def looked(pytester: pytest.Pytester, arch: str, once: Once) -> Run:
    """A run in which no test fails but as expected, and tools look for its machines."""
    bench = failing.bench(pytester, arch)
    tests = {"test_look": failing.LOOK, "test_expected": failing.EXPECTED}
    run = once.run("looking", lambda: bench.makepyfile(**tests), "-W", "error")
    assert run.status == pytest.ExitCode.OK, run.said
    return run


@pytest.fixture
def divided(pytester: pytest.Pytester, arch: str, once: Once) -> Run:
    """A run by two workers: tools look for its machines, and other tests fail."""
    bench = failing.bench(pytester, arch)
    tests = {"test_look": failing.LOOK, "test_alike": failing.ALIKE}
    words = ["-W", "error", "-n2", "--pageferry-evidence=ev"]
    run = once.run("divided", lambda: bench.makepyfile(**tests), *words)
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.said
    return run
