"""`pageferry run`: the main job as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pageferry.abi import Operation
from pageferry.cli import FAILED, UNEXPECTED, main
from pageferry.report import mechanisms
from pageferry.verdict import Verdict

LONG = 60.0


@pytest.fixture(scope="module", params=["guest", "console"])
def result(
    request: pytest.FixtureRequest, arch: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("run") / "result.json"
    arguments = ["run", "--arch", arch, "--door", request.param, "--output", str(output)]
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 0, ran.output
    found: dict[str, Any] = json.loads(output.read_text())
    assert all(each["door"] == request.param for each in found["mechanisms"].values())
    return found


def test_each_verdict_is_the_mechanism_that_was_asked_for(result: dict[str, Any]) -> None:
    verdicts = {name: each["verdict"] for name, each in result["mechanisms"].items()}
    assert verdicts == {"remap": "remap", "share": "share", "copy": "copy"}


def test_the_accesses_are_those_of_the_prior_art(result: dict[str, Any]) -> None:
    after = {
        name: (each["source"]["access_after"], each["target"]["access_after"])
        for name, each in result["mechanisms"].items()
    }
    assert after == {
        "remap": ("fault", "read-write"),
        "share": ("read-only", "read-only"),
        "copy": ("read-write", "read-write"),
    }


def test_only_a_copy_takes_another_frame(result: dict[str, Any]) -> None:
    same = {
        name: each["target"]["frame_after"] == each["source"]["frame_before"]
        for name, each in result["mechanisms"].items()
    }
    assert same == {"remap": True, "share": True, "copy": False}


def test_the_bytes_arrive_every_time(result: dict[str, Any]) -> None:
    assert all(each["bytes_equal"] for each in result["mechanisms"].values())


def test_a_copy_costs_more_instructions_than_a_remap(result: dict[str, Any]) -> None:
    cost = {name: each["instructions"] for name, each in result["mechanisms"].items()}
    assert 0 < cost["remap"] < cost["copy"]


def test_the_counted_run_counts_the_same_every_time(arch: str) -> None:
    assert mechanisms.count(arch) == mechanisms.count(arch)


def test_an_unexpected_verdict_is_said_and_gives_status_1(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mechanisms.EXPECTED, Operation.SHARE, Verdict.REMAP)
    output = tmp_path / "result.json"
    ran = CliRunner().invoke(main, ["run", "--arch", arch, "--output", str(output)])
    assert ran.exit_code == UNEXPECTED
    assert "share was judged share" in ran.output


def test_an_emulator_that_is_not_there_is_named_and_gives_status_2(arch: str) -> None:
    ran = CliRunner().invoke(main, ["run", "--arch", arch, "--qemu", "qemu-system-none"])
    assert ran.exit_code == FAILED
    assert "qemu-system-none" in ran.output


def test_a_run_that_failed_leaves_no_result_of_an_earlier_one(arch: str, tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    output.write_text("of yesterday")
    arguments = ["run", "--arch", arch, "--qemu", "qemu-system-none", "--output", str(output)]
    assert CliRunner().invoke(main, arguments).exit_code == FAILED
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_cannot_be_written_gives_status_2(arch: str) -> None:
    ran = CliRunner().invoke(main, ["run", "--arch", arch, "--output", "/dev/null/result.json"])
    assert ran.exit_code == FAILED
    assert "/dev/null" in ran.output


def test_closed_standard_streams_keep_nothing_from_being_found(arch: str, tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "pageferry.cli"]
    line = [*closed, "run", "--arch", arch, "--output", str(output)]
    assert subprocess.run(line, timeout=LONG, check=False).returncode == 0
    assert json.loads(output.read_text())["arch"] == arch


def test_gdb_of_whom_every_standard_stream_is_closed_has_no_more_input(arch: str) -> None:
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "pageferry.cli"]
    line = [*closed, "debug", "--arch", arch]
    assert subprocess.run(line, timeout=LONG, check=False).returncode == 0
