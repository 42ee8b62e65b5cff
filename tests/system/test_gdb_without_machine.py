"""gdb that reaches no machine shows nothing, for it would be what the ELF file has."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pageferry.debugger.core import PROGRAM
from pageferry.report.debugging import arguments
from pageferry.report.reproduce import script
from pageferry.testbed import firmware_directory

QUESTION = ("-batch", "-ex", "print vms[1].id")


def asked(command: Sequence[str | Path]) -> "subprocess.CompletedProcess[str]":
    """gdb, once it has answered or ended."""
    return subprocess.run(
        [*command, *QUESTION],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def commands(arch: str, tmp_path: Path) -> dict[str, list[str | Path]]:
    """The two ways to gdb, with an emulator that ends at once."""
    kernel = tmp_path / "hypervisor.elf"
    shutil.copyfile(firmware_directory(arch) / kernel.name, kernel)
    reproduce = tmp_path / "reproduce.sh"
    reproduce.write_text(script("a test", arch, ["false"], kernel.name, 1 << 20, ours=True))
    reproduce.chmod(0o755)
    return {"debug": [*arguments(kernel, "| false", "", ())], "reproduce": [reproduce]}


@pytest.mark.parametrize("way", ["debug", "reproduce"])
def test_without_a_connection_gdb_ends_with_status_2(
    commands: dict[str, list[str | Path]], way: str
) -> None:
    ended = asked(commands[way])
    assert ended.returncode == 2
    assert "gdb has no machine to show" in ended.stderr
    assert "$1 =" not in ended.stdout


@pytest.mark.parametrize("way", ["debug", "reproduce"])
def test_gdb_is_told_to_be_patient_before_it_connects(
    commands: dict[str, list[str | Path]], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDB", "echo")
    command = ["echo" if word == PROGRAM else word for word in commands[way]]
    said = asked(command).stdout
    assert 0 < said.index("set remotetimeout 30") < said.index("target remote")
