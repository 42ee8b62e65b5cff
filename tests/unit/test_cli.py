"""The command line before anything of it starts."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from pageferry.cli import FAILED, main
from pageferry.manifest import FOLDER, Manifest, announced, start_time


@pytest.mark.parametrize("command", ["console", "debug", "bench"])
@pytest.mark.parametrize("cpus", ["0", "9"])
def test_cpus_that_our_firmware_does_not_take_are_told_as_pytest_does(
    command: str, cpus: str
) -> None:
    ran = CliRunner().invoke(main, [command, "--cpus", cpus])
    assert ran.exit_code == FAILED
    assert f"'--cpus': {cpus}: our firmware takes 1 to 5 CPUs" in ran.output


@pytest.mark.parametrize("where", ["--svg", "--output"])
def test_a_file_that_cannot_be_written_is_told_before_a_machine_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(main, ["run", "--qemu", "no-such-qemu", where, "/dev/null/file"])
    assert ran.exit_code == FAILED
    assert ran.output == "pageferry run: NotADirectoryError: " + (
        "[Errno 20] Not a directory: '/dev/null/file'\n"
    )


def test_an_option_of_gdb_s_in_front_of_its_place_is_told_with_that() -> None:
    ran = CliRunner().invoke(main, ["debug", "-ex", "hv help"])
    assert ran.exit_code == FAILED
    assert "What is gdb's comes after --, as in: debug -- -ex 'hv help'" in ran.output


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("debug --attach --qemu it", "--qemu is of a machine that is started"),
        ("debug --id it --cpus 1", "--cpus is of a machine that is started"),
        ("inspect --kernel it guests", "--kernel is what ran in --ram"),
        ("inspect --ram it --id it guests", "--id is of a machine that runs"),
    ],
)
def test_an_option_that_would_not_be_heard_is_refused(line: str, message: str) -> None:
    ran = CliRunner().invoke(main, line.split())
    assert ran.exit_code == FAILED
    assert f"Error: {message}" in ran.output


def test_what_is_no_question_is_refused_before_a_machine_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(main, ["inspect", "bogus"])
    assert ran.exit_code == FAILED
    assert "invalid choice: 'bogus'" in ran.output
    ran = CliRunner().invoke(main, ["inspect", "--ram", "no-such-file", "bogus"])
    assert "invalid choice: 'bogus'" in ran.output


def test_without_a_machine_the_list_of_them_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(main, ["machines"])
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert ran.stderr == "none runs that can be found in build/run\n"
    assert json.loads(CliRunner().invoke(main, ["machines", "--json"]).stdout) == []


def test_machines_are_listed_for_programs_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    started = start_time(os.getpid())
    assert started is not None
    mine = Manifest(os.getpid(), started, "riscv64", 3, "kernel.elf", 7, 0, 4096, 8)
    with announced(mine, FOLDER):
        ran = CliRunner().invoke(main, ["machines", "--json"])
    assert json.loads(ran.stdout) == [{"id": mine.id, **asdict(mine)}]


def test_the_help_says_what_everything_told_of_a_machine_is() -> None:
    told = CliRunner().invoke(main, ["machines", "--help"]).output
    explained = re.findall(r"^  (\w+)  +\S", told, re.MULTILINE)
    assert explained == ["id", *(field.name for field in fields(Manifest))]


@pytest.mark.parametrize("command", ["doctor", "machines"])
def test_what_cannot_be_printed_is_told_in_one_line(tmp_path: Path, command: str) -> None:
    line = [sys.executable, "-m", "pageferry.cli", command, "--json"]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}  # as usual: its rest is written at the end
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            line,
            cwd=tmp_path,
            env=buffered,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ran.returncode == FAILED
    assert ran.stderr.splitlines()[-1].startswith(f"pageferry {command}: OSError: [Errno 28]")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("module", ["cli", "report.doctor"])
def test_of_a_reader_that_is_gone_nothing_is_said(module: str) -> None:
    line = [sys.executable, "-m", f"pageferry.{module}"]
    line += ["doctor", "--json"] if module == "cli" else ["--arch", "x86_64"]
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert ran.returncode != 0
    assert ran.stderr == ""


def test_a_file_that_cannot_be_ram_is_named() -> None:
    ran = CliRunner().invoke(
        main, ["inspect", "--ram", "/dev/null", "--kernel", __file__, "guests"]
    )
    assert ran.exit_code == FAILED
    assert "HarnessError: /dev/null is no file with RAM in it: " in ran.output
