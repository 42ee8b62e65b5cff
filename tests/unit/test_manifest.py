"""Running machines are found by their manifests, and only those that run."""

import os
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pageferry.errors import HarnessError
from pageferry.manifest import Manifest, announced, find, running, start_time


def mine(**changed: Any) -> Manifest:
    """A manifest of this very process."""
    started = start_time(os.getpid())
    assert started is not None
    found = Manifest(
        pid=os.getpid(),
        started=started,
        arch="x86_64",
        cpus=1,
        kernel="kernel.elf",
        ram=7,
        ram_base=0,
        ram_size=4096,
        debugger=8,
    )
    return replace(found, **changed)


def test_a_machine_is_found_while_it_is_announced(tmp_path: Path) -> None:
    with announced(mine(), tmp_path):
        assert running(tmp_path) == [mine()]
    assert running(tmp_path) == []


def test_nothing_is_left_of_a_machine_that_ended(tmp_path: Path) -> None:
    with announced(mine(), tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_made_for_it_go_too(tmp_path: Path) -> None:
    with announced(mine(), tmp_path / "build" / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_has_come_to_use_stays(tmp_path: Path) -> None:
    folder = tmp_path / "build" / "run"
    other = mine(arch="another")
    with ExitStack() as owned:
        with announced(mine(), folder):
            owned.enter_context(announced(other, folder))
        assert running(folder) == [other]


@pytest.mark.parametrize("gone", [FileNotFoundError, FileExistsError])
def test_a_folder_that_another_removes_as_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: type[OSError]
) -> None:
    mkdir, failures = Path.mkdir, [gone()]

    def removed_meanwhile(path: Path, *mode: Any, **options: Any) -> None:
        if failures:
            raise failures.pop()
        mkdir(path, *mode, **options)

    monkeypatch.setattr(Path, "mkdir", removed_meanwhile)
    with announced(mine(), tmp_path / "run"):
        assert running(tmp_path / "run") == [mine()]


def test_who_announces_itself_sweeps_those_that_could_not(tmp_path: Path) -> None:
    stale = replace(mine(), pid=1 << 30)
    with ExitStack() as forgotten:
        left = forgotten.enter_context(announced(stale, tmp_path))
        with announced(mine(), tmp_path):
            assert not left.exists()


@pytest.mark.parametrize("changed", [{"started": 1}, {"pid": 1 << 30}])
def test_a_manifest_of_another_time_is_ignored_and_swept(
    tmp_path: Path, changed: dict[str, int]
) -> None:
    with announced(mine(**changed), tmp_path) as path:
        assert running(tmp_path) == []
        assert not path.exists()


def test_a_process_that_ended_and_is_not_reaped_does_not_run() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert start_time(child.pid) is None
    child.wait()


def test_a_manifest_that_cannot_be_read_is_swept(tmp_path: Path) -> None:
    home = tmp_path / "x86_64-1"
    home.mkdir()
    (home / "machine.json").write_text("{")
    assert running(tmp_path) == []
    assert not home.exists()


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "x86_64" / "result.json"
    other.parent.mkdir()
    other.touch()
    running(tmp_path)
    assert other.exists()


def test_the_only_machine_needs_no_name(tmp_path: Path) -> None:
    with announced(mine(), tmp_path):
        assert find(None, tmp_path) == mine()


def test_without_a_machine_it_is_said_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no machine runs that tools can find; `make debug`"):
        find(None, tmp_path)


def test_of_several_machines_one_has_to_be_named(tmp_path: Path) -> None:
    other = mine(cpus=3)
    with announced(mine(), tmp_path):
        (tmp_path / "another").mkdir()
        with announced(other, tmp_path / "another") as path:
            path.parent.rename(tmp_path / "second")
            with pytest.raises(HarnessError, match="several machines run: say which by --id"):
                find(None, tmp_path)


def test_of_several_machines_the_only_one_of_an_architecture_needs_no_name(tmp_path: Path) -> None:
    other = mine(arch="riscv64")
    with announced(mine(), tmp_path), announced(other, tmp_path):
        assert find(None, tmp_path, "riscv64") == other
        with pytest.raises(HarnessError, match=r"no machine of aarch64 runs \(.*x86_64-"):
            find(None, tmp_path, "aarch64")
        with pytest.raises(HarnessError, match=rf"no machine {mine().id} of riscv64 runs"):
            find(mine().id, tmp_path, "riscv64")


def test_a_name_that_none_has_is_told_with_those_there_are(tmp_path: Path) -> None:
    with (
        announced(mine(), tmp_path),
        pytest.raises(HarnessError, match=rf"no machine nobody runs .*: {mine().id}\)"),
    ):
        find("nobody", tmp_path)
