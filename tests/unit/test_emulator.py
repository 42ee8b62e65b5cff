"""Where QEMU's program is, and what is said when it is not there."""

from dataclasses import replace
from pathlib import Path

import pytest

from pageferry import arch
from pageferry.emulator import find_program
from pageferry.errors import QemuMissing

X86 = arch.get("x86_64")
NOWHERE = replace(X86, qemu="qemu-system-pdp11", qemu_package="qemu-system-misc")


def test_a_missing_emulator_is_named_with_the_package_that_has_it() -> None:
    said = "no program qemu-system-pdp11; Debian's package qemu-system-misc has it"
    with pytest.raises(QemuMissing, match=said):
        find_program(NOWHERE)


def test_the_program_of_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.touch(0o700)
    assert find_program(NOWHERE, str(program)) == str(program)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("no-such-qemu", "there is no program no-such-qemu in PATH; name one like qemu-system-"),
        ("{}/none", "there is no program at {}/none; name one like qemu-system-"),
        ("{}/file", "{}/file is no program that can be run; name one like qemu-system-"),
        ("{}", "{} is no program that can be run; name one like qemu-system-"),
    ],
)
def test_what_was_named_and_cannot_be_run_is_told_without_a_package(
    tmp_path: Path, named: str, said: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QemuMissing) as caught:
        find_program(NOWHERE, named.format(tmp_path))
    assert str(caught.value).startswith(said.format(tmp_path))
    assert "Debian" not in str(caught.value)
