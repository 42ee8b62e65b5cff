"""Machines that tests share: found by tools while they run, by nobody afterwards."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from tests.system import failing
from tests.system.once import Run

from pageferry.manifest import FOLDER, running

LONG = 60.0


@pytest.fixture
def bench(pytester: pytest.Pytester, arch: str) -> pytest.Pytester:
    return failing.bench(pytester, arch)


def test_a_test_s_machine_is_found_by_tools_until_the_run_ends(looked: Run) -> None:
    assert looked.outcomes("test_look") == ["passed", "passed"]
    assert described(looked) == []


def test_a_machine_of_one_worker_of_two_is_found_until_the_run_ends(divided: Run) -> None:
    assert divided.outcomes("test_look") == ["passed", "passed"]
    assert described(divided) == []


def described(run: Run) -> list[Path]:
    """What is left for tools to find machines by."""
    return [it for it in run.path.rglob("*") if it.name == "machine.json"]


def test_a_run_leaves_no_folder(looked: Run) -> None:
    assert not (looked.path / "build").exists()


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
