"""`pageferry console`: what a person types, or a pipe brings, is answered to its end."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from select import PIPE_BUF

import pytest
from click.testing import CliRunner

from pageferry.cli import UNEXPECTED, main
from pageferry.manifest import FOLDER, running
from pageferry.report import console
from pageferry.testbed import firmware_directory

LONG = 60.0

DEAF = ["sh", "-c", """trap "" INT; exec "$@" """, "sh"]
"""Starts a program as a shell does in the background: it ignores Ctrl-C."""

LINES = "".join(f"{number} remap 7 0 0 0\n" for number in range(1, 5))


def answers(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("<")]


@pytest.fixture
def kernel(arch: str) -> Path:
    return (firmware_directory(arch) / "hypervisor.elf").absolute()


def test_what_is_typed_is_answered_until_the_input_ends(arch: str) -> None:
    typed = "5 help\n6 remap 1 4096 2 4096\nnonsense\n"
    ran = CliRunner().invoke(main, ["console", "--arch", arch], input=typed)
    assert ran.exit_code == 0, ran.output
    lines = ran.output.splitlines()
    assert f"# pageferry {arch} ready" in lines
    assert [answer.split()[1:3] for answer in answers(ran.output)] == [
        ["5", "ok"],
        ["6", "out-of-range"],
        ["0", "bad-request"],
    ]


def test_every_line_of_a_pipe_is_answered_and_nothing_else(
    arch: str,
    kernel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO(LINES))
    console.run(arch, kernel)
    captured = capsys.readouterr()
    assert [line.split()[:3] for line in answers(captured.out)] == [
        ["<", str(number), "unknown-vm"] for number in range(1, 5)
    ]
    assert "Ctrl-D ends it" in captured.err


def test_a_line_that_is_no_text_is_refused_and_the_others_are_answered(
    arch: str,
) -> None:
    typed = [b"1 remap 7 0 0 0", b"\x01\xff\xfe", b"2 " + b"x" * PIPE_BUF, b"3 remap 7 0 0 0"]
    ran = CliRunner().invoke(main, ["console", "--arch", arch], input=b"\n".join(typed))
    assert ran.exit_code == 0, ran.output
    assert [line.split()[1] for line in answers(ran.stdout)] == ["1", "3"]
    assert r"not sent, for it is no UTF-8: b'\x01\xff\xfe'" in ran.stderr
    assert f"not sent: {PIPE_BUF + 3} bytes are more than a pipe takes whole" in ran.stderr


def test_an_input_that_is_closed_has_ended(
    arch: str, kernel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    console.run(arch, kernel)
    assert f"# pageferry {arch} ready" in capsys.readouterr().out


class Typist:
    """Somebody who looks from another shell before each line, and ends with Ctrl-C."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in ("1 help\n", "2 help\n"):
            self.seen += [machine.kernel for machine in running(FOLDER)]
            yield line
        raise KeyboardInterrupt


def test_tools_find_the_machine_and_ctrl_c_ends_it(
    arch: str, kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typist = Typist()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", typist)
    console.run(arch, kernel)
    assert typist.seen == [str(kernel)] * 2
    assert running(FOLDER) == []


@pytest.mark.parametrize("starter", [[], DEAF], ids=["foreground", "background"])
def test_output_that_nobody_reads_ends_it(arch: str, starter: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    line = [*starter, sys.executable, "-m", "pageferry.cli", "console", "--arch", arch]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdin=pipe, stdout=writer, stderr=pipe, text=True) as ran:
        os.close(writer)
        try:
            assert ran.wait(LONG) == UNEXPECTED  # its input goes on
            assert ran.stderr is not None
            said = ran.stderr.read()
        finally:
            ran.kill()
    assert "Traceback" not in said
