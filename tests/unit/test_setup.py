"""scripts/setup on pretended machines: stand-ins on their PATH write down how they were called."""

import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REAL = ["awk", "cat", "cksum", "dirname", "env", "flock", "mkdir", "readlink", "rm", "sh", "tail"]
REAL += ["chmod", "ln", "true"]
FOUND = ["qemu-system-x86_64", "clang", "ld.lld", "gdb-multiarch"]

# Installs like apt-get: a package's programs appear. With $index missing it
# knows no package, as on a machine whose index was never fetched.
APT_GET = """
case "$*" in
*update) : > "$machine/index" ;;
*install*) [ -e "$machine/index" ] || exit 100
    for package; do case $package in
        clang | gcc) program=$package ;;
        lld) program=ld.lld ;;
        binutils) program=ld ;;
        *) continue ;;
    esac; : > "$machine/bin/$program"; chmod +x "$machine/bin/$program"; done ;;
esac
"""

# Makes a venv with a Python that pip can be asked of; everything else is for
# the real one.
PYTHON = """
case "$*" in
*venv*) mkdir -p .venv/bin
    ln -sf "$machine/bin/pip-python" .venv/bin/python ;;
*) exec "$real_python" "$@" ;;
esac
"""


@dataclass
class PretendedMachine:
    """A checkout, and the only folder of its PATH."""

    root: Path
    uid: int = 0
    sudo: bool = False
    bin: Path = field(init=False)
    checkout: Path = field(init=False)

    def __post_init__(self) -> None:
        self.bin = self.root / "bin"
        self.bin.mkdir()
        self.checkout = self.root / "checkout"
        (self.checkout / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts/setup", self.checkout / "scripts/setup")
        shutil.copy(ROOT / "pyproject.toml", self.checkout)
        (self.checkout / "harness").symlink_to(ROOT / "harness")
        (self.root / "index").touch()
        for name in REAL:
            real = shutil.which(name)
            assert real
            (self.bin / name).symlink_to(real)
        for name in FOUND:
            self.stand_in(name, "")
        self.stand_in("apt-get", APT_GET)
        self.stand_in("python3", PYTHON)
        self.stand_in("pip-python", "")
        self.stand_in("sudo", '[ "$sudo" = yes ] || exit 1; shift; exec "$@"')
        self.stand_in("id", 'echo "$uid"')

    def stand_in(self, name: str, script: str) -> None:
        """Put a program on the PATH that notes its call, then runs the script."""
        program = self.bin / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "$machine/calls"\n{script}\n')
        program.chmod(0o755)

    def set_up(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the script to its end."""
        return subprocess.run(
            [self.checkout / "scripts/setup", "x86_64", *options],
            env={
                "PATH": str(self.bin),
                "machine": str(self.root),
                "uid": str(self.uid),
                "sudo": "yes" if self.sudo else "no",
                "real_python": sys.executable,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, program: str) -> list[str]:
        """How a program was called, in order."""
        noted = self.root / "calls"
        lines = noted.read_text().splitlines() if noted.exists() else []
        return [line for line in lines if line.startswith(f"{program} ")]

    def lose(self, *programs: str) -> None:
        """Take programs off the machine."""
        for name in programs:
            (self.bin / name).unlink()


@pytest.fixture
def machine(tmp_path: Path) -> PretendedMachine:
    return PretendedMachine(tmp_path)


def test_where_every_program_is_found_nothing_is_installed(machine: PretendedMachine) -> None:
    assert machine.set_up().returncode == 0
    assert machine.calls("apt-get") == []


def test_what_is_missing_is_installed_in_one_go_without_recommends(
    machine: PretendedMachine,
) -> None:
    machine.lose("clang", "ld.lld")
    assert machine.set_up().returncode == 0
    (call,) = machine.calls("apt-get")
    assert call.endswith("install --no-install-recommends clang lld")


def test_the_compiler_that_was_chosen_is_the_one_that_is_installed(
    machine: PretendedMachine,
) -> None:
    machine.lose("clang", "ld.lld")
    machine.set_up("--compiler", "gcc", "--linker", "ld")
    (call,) = machine.calls("apt-get")
    assert call.endswith("install --no-install-recommends gcc binutils")


def test_the_index_is_updated_only_where_installing_needs_it(machine: PretendedMachine) -> None:
    machine.lose("clang")
    (machine.root / "index").unlink()
    assert machine.set_up().returncode == 0
    assert [call.split()[4] for call in machine.calls("apt-get")] == [
        "install",
        "update",
        "install",
    ]


def test_who_is_not_root_installs_through_sudo_that_asks_nothing(
    machine: PretendedMachine,
) -> None:
    machine.lose("clang")
    machine.uid, machine.sudo = 1000, True
    assert machine.set_up().returncode == 0
    asked, installed = machine.calls("sudo")
    assert asked == "sudo -n true"
    assert re.fullmatch(r"sudo -n env \S+ apt-get .* install .* clang", installed)


def test_who_may_not_install_is_told_the_exact_command(machine: PretendedMachine) -> None:
    machine.lose("clang", "ld.lld")
    machine.uid = 1000
    ended = machine.set_up()
    assert ended.returncode == 1
    assert "sudo apt-get install --no-install-recommends clang lld" in ended.stderr.replace(
        "apt-get update && sudo ", ""
    )


def test_who_may_not_install_gets_no_venv_either(machine: PretendedMachine) -> None:
    machine.lose("clang")
    machine.uid = 1000
    machine.set_up()
    assert not (machine.checkout / ".venv").exists()


def test_a_machine_without_apt_get_is_told_the_names_of_the_packages(
    machine: PretendedMachine,
) -> None:
    machine.lose("clang", "apt-get")
    ended = machine.set_up()
    assert ended.returncode == 1
    assert ended.stderr.endswith("packages for them: clang\n")


def test_a_failure_of_apt_get_is_shown(machine: PretendedMachine) -> None:
    machine.lose("clang")
    machine.stand_in("apt-get", "echo E: disk full; exit 100")
    ended = machine.set_up()
    assert ended.returncode == 1
    assert "E: disk full" in ended.stderr


def test_a_program_that_its_package_did_not_bring_is_reported(machine: PretendedMachine) -> None:
    machine.lose("clang")
    machine.stand_in("apt-get", "")
    ended = machine.set_up()
    assert ended.returncode == 1
    assert ended.stderr.endswith("not found: clang\n")


def test_the_second_run_does_nothing_and_says_nothing(machine: PretendedMachine) -> None:
    machine.set_up()
    before = machine.calls("pip-python"), machine.calls("apt-get")
    assert machine.set_up().stdout == ""
    assert (machine.calls("pip-python"), machine.calls("apt-get")) == before


def test_a_failure_of_pip_is_shown(machine: PretendedMachine) -> None:
    machine.stand_in("pip-python", "echo no such distribution; exit 1")
    ended = machine.set_up()
    assert ended.returncode == 1
    assert "no such distribution" in ended.stderr


def test_a_set_up_that_failed_is_done_again(machine: PretendedMachine) -> None:
    machine.stand_in("pip-python", "exit 1")
    machine.set_up()
    machine.stand_in("pip-python", "")
    assert machine.set_up().returncode == 0
    assert len(machine.calls("pip-python")) == 2


def test_a_set_up_that_was_killed_is_done_again(machine: PretendedMachine) -> None:
    machine.stand_in("pip-python", f"kill -{signal.SIGKILL} $PPID")
    assert machine.set_up().returncode == -signal.SIGKILL
    machine.stand_in("pip-python", "")
    assert machine.set_up().returncode == 0
    assert len(machine.calls("pip-python")) == 2


def test_other_dependencies_make_a_new_venv(machine: PretendedMachine) -> None:
    machine.set_up()
    with (machine.checkout / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    machine.set_up()
    assert len(machine.calls("pip-python")) == 2


def test_a_moved_checkout_makes_a_new_venv(machine: PretendedMachine) -> None:
    machine.set_up()
    machine.checkout = machine.checkout.rename(machine.root / "moved")
    machine.set_up()
    assert len(machine.calls("pip-python")) == 2


def test_another_python_makes_a_new_venv(machine: PretendedMachine) -> None:
    machine.set_up()
    machine.stand_in("another-python", "")
    (machine.checkout / ".venv/bin/python").unlink()
    (machine.checkout / ".venv/bin/python").symlink_to(machine.bin / "another-python")
    machine.set_up()
    assert len(machine.calls("pip-python")) == 2


def test_a_venv_whose_python_is_gone_is_made_again(machine: PretendedMachine) -> None:
    machine.set_up()
    machine.lose("pip-python")
    assert "making .venv" in machine.set_up().stdout


def test_a_second_set_up_waits_for_the_first(machine: PretendedMachine) -> None:
    machine.stand_in("pip-python", 'flock --nonblock "$PWD/scripts/setup" pip-meanwhile')
    machine.stand_in("pip-meanwhile", "")
    machine.set_up()
    assert machine.calls("pip-python") != []
    assert machine.calls("pip-meanwhile") == []


def test_where_the_doctor_knows_no_remedy_nothing_is_tried(machine: PretendedMachine) -> None:
    machine.stand_in("python3", "exit 1")
    ended = machine.set_up()
    assert ended.returncode == 1
    assert ended.stderr.endswith("no package is a remedy for that\n")
    assert machine.calls("apt-get") == []
