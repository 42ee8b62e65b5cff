"""What is said where our firmware is not built, whoever asks for it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from pageferry.cli import FAILED, main
from pageferry.errors import ImageError
from pageferry.testbed import require_firmware

MISSING = "there is no hypervisor.elf in {}: run `make firmware ARCH=x86_64` in the checkout"


def test_firmware_that_is_there_is_taken(tmp_path: Path) -> None:
    for name in ("hypervisor.elf", "agent.elf"):
        (tmp_path / name).touch()
    assert require_firmware(tmp_path, "x86_64") == tmp_path


def test_half_a_firmware_is_none(tmp_path: Path) -> None:
    (tmp_path / "hypervisor.elf").touch()
    with pytest.raises(ImageError, match=r"no agent\.elf in .* `make firmware ARCH=x86_64`"):
        require_firmware(tmp_path, "x86_64")


@pytest.mark.parametrize("command", ["run", "console", "debug", "inspect --ram no-file guests"])
def test_a_command_says_how_the_firmware_is_made(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(main, command.split())
    assert ran.exit_code == FAILED
    assert MISSING.format(tmp_path / "build/firmware/x86_64") in ran.output


def test_pytest_says_where_below_its_root_it_looked_and_how_to_say_otherwise(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("def test_it(testbed): pass")
    elsewhere = pytester.mkdir("elsewhere")
    root = f"--rootdir={pytester.path}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", root, "..")
    result.assert_outcomes(errors=1)
    folder = pytester.path / "build/firmware/x86_64"
    ways = "--pageferry-firmware=FOLDER or pageferry_firmware in its ini file"
    result.stdout.fnmatch_lines([f"E *ImageError: {MISSING.format(folder)}*below its root*{ways}*"])
