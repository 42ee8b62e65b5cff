"""Machines that tests share: found by tools while they run, by nobody afterwards."""

import os
import select
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.system import failing
from tests.system.once import Once, Run

from pageferry.manifest import FOLDER, running

LONG = 60.0
LOOK = """
    import pytest
    from click.testing import CliRunner
    from pageferry.cli import main

    @pytest.mark.parametrize("cpus", [1, 3])
    def test_it_is_found(pageferry_pool, cpus):
        machine = pageferry_pool.check_out(cpus=cpus).machine
        name = f"{machine.arch.name}-{machine.pid}"
        assert name in CliRunner().invoke(main, ["machines"]).output
        asked = CliRunner().invoke(main, ["inspect", "--id", name, "guests"])
        assert asked.output.count(" waiting ") == 2, asked.output
"""


@pytest.fixture
def bench(pytester: pytest.Pytester, arch: str) -> pytest.Pytester:
    return failing.bench(pytester, arch)


@pytest.fixture
def look(bench: pytest.Pytester, once: Once) -> Callable[..., Run]:
    """A run that looks for its own machines, with more words of the command line."""

    def run(*words: str) -> Run:
        name = "".join(("look", *words))
        found = once.run(name, lambda: bench.makepyfile(test_look=LOOK), "-W", "error", *words)
        assert found.status == pytest.ExitCode.OK, found.said
        assert found.outcomes("test_look") == ["passed", "passed"]
        return found

    return run


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "two-workers"])
def test_a_test_s_machine_is_found_by_tools_until_the_run_ends(
    look: Callable[..., Run], workers: tuple[str, ...]
) -> None:
    assert [it for it in look(*workers).path.rglob("*") if it.name == "machine.json"] == []


def test_a_run_leaves_no_folder(look: Callable[..., Run]) -> None:
    assert not (look().path / "build").exists()


def test_where_nothing_can_be_written_tests_run_all_the_same(bench: pytest.Pytester) -> None:
    (bench.path / "build").write_text("in the way")
    bench.makepyfile("def test_it(guests): guests[0].ping()")
    bench.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


def test_nothing_is_found_of_a_run_that_was_killed(bench: pytest.Pytester) -> None:
    bench.makepyfile(
        """
        import signal

        def test_hangs(testbed):
            print("here", flush=True)
            signal.pause()
        """
    )
    folder = bench.path / FOLDER
    command = [sys.executable, "-m", "pytest", "-s"]
    with subprocess.Popen(command, cwd=bench.path, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert any("here" in line for line in run.stdout)
        (left,) = running(folder)
        end = os.pidfd_open(left.pid)
        run.kill()
    try:
        assert select.select([end], [], [], LONG)[0] == [end]
    finally:
        os.close(end)
    assert (folder / left.id).exists()
    assert running(folder) == []
    assert not (folder / left.id).exists()
