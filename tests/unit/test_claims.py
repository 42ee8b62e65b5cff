"""Whose a folder of evidence is."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pageferry.manifest import start_time
from pageferry.report.claims import MARK, claim


def leave(folder: Path, mark: str) -> None:
    folder.mkdir(parents=True)
    (folder / MARK).write_text(mark)
    (folder / "failure.txt").write_text("of another")


@pytest.fixture
def other() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that goes on until its input ends."""
    program = [sys.executable, "-c", "input()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def mark_of(process: "subprocess.Popen[bytes]") -> str:
    return f"{process.pid} {start_time(process.pid)}"


@pytest.fixture
def wanted(tmp_path: Path) -> Path:
    return tmp_path / "evidence" / "test_it"


def test_a_folder_that_nobody_has_is_given_empty_and_by_its_name(wanted: Path) -> None:
    assert claim(wanted) == wanted
    assert [it.name for it in wanted.iterdir()] == [MARK]


def test_what_this_process_has_it_gets_again(wanted: Path) -> None:
    claim(wanted)
    (wanted / "failure.txt").touch()
    assert claim(wanted) == wanted
    assert [it.name for it in wanted.iterdir()] == [MARK]


def test_what_a_run_that_goes_on_has_is_left_alone(
    wanted: Path, other: "subprocess.Popen[bytes]"
) -> None:
    second, third = (wanted.with_name(f"test_it-{number}") for number in (2, 3))
    leave(wanted, mark_of(other))
    assert claim(wanted) == second
    (second / MARK).write_text(mark_of(other))
    assert claim(wanted) == third
    assert (wanted / "failure.txt").read_text() == "of another"


def test_what_a_run_that_is_over_has_left_is_replaced(
    wanted: Path, other: "subprocess.Popen[bytes]"
) -> None:
    leave(wanted, mark_of(other))
    other.kill()
    other.wait()
    assert claim(wanted) == wanted
    assert not (wanted / "failure.txt").exists()


@pytest.mark.parametrize("mark", ["", "nonsense", "1 -7"], ids=repr)
def test_a_mark_of_no_process_that_runs_holds_nobody_up(wanted: Path, mark: str) -> None:
    leave(wanted, mark)
    assert claim(wanted) == wanted
    assert not (wanted / "failure.txt").exists()
