"""What make would do for one architecture, for several, and for one that there is not."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ["pdp11", "vax", "x86_64"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile, with two architectures more and nothing to build."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in NAMES:
        folder = tmp_path / "firmware" / "arch" / name
        folder.mkdir(parents=True)
        (folder / "arch.mk").touch()
        (folder / "hypervisor.ld").touch()
    (tmp_path / "firmware" / "guest").mkdir()
    (tmp_path / "firmware" / "guest" / "agent.ld").touch()
    return tmp_path


def would_do(checkout: Path, *words: str) -> str:
    """The commands that make would run, those of the makes that it calls among them."""
    environ = {"PATH": "/usr/bin:/bin"}
    command = ["make", "-n", *words]
    run = subprocess.run(
        command, cwd=checkout, env=environ, capture_output=True, text=True, check=False
    )
    return run.stdout + run.stderr


def set_up(commands: str) -> list[str]:
    return re.findall(r"^scripts/setup (\w+)", commands, re.MULTILINE)


def built(commands: str) -> list[str]:
    return re.findall(r"-o build/firmware/(\w+)/hypervisor.elf", commands)


@pytest.mark.parametrize("target", ["run", "bench", "console", "debug"])
def test_without_arch_a_command_takes_the_first_and_needs_no_other(
    checkout: Path, target: str
) -> None:
    commands = would_do(checkout, target)
    assert f".venv/bin/pageferry {target} --arch x86_64\n" in commands
    assert (set_up(commands), built(commands)) == (["x86_64"], ["x86_64"])


@pytest.mark.parametrize("target", ["run", "bench"])
def test_a_command_for_all_builds_and_needs_all(checkout: Path, target: str) -> None:
    commands = would_do(checkout, target, "ARCH=all")
    assert f".venv/bin/pageferry {target} --arch all\n" in commands
    assert (set_up(commands), built(commands)) == (NAMES, NAMES)


@pytest.mark.parametrize(("words", "named"), [([], "all"), (["ARCH=vax"], "vax")])
def test_tests_run_on_all_unless_one_is_named(checkout: Path, words: list[str], named: str) -> None:
    commands = would_do(checkout, "test", *words)
    assert f".venv/bin/pytest --pageferry-arch {named} " in commands
    assert built(commands) == (NAMES if named == "all" else [named])
    assert set(set_up(commands)) == set(built(commands))


def test_gcc_for_another_machine_has_its_name_in_front(checkout: Path) -> None:
    tools = "--compiler vax-linux-gnu-gcc --linker vax-linux-gnu-ld"
    assert f"scripts/setup vax {tools}" in would_do(checkout, "setup", "LLVM=0", "ARCH=vax")


@pytest.mark.parametrize("named", ["univac", "pdp11 vax", "vax univac", "all vax", "", "%"])
def test_what_is_no_architecture_is_told_with_those_that_exist(checkout: Path, named: str) -> None:
    said = would_do(checkout, "run", f"ARCH={named}")
    assert f"ARCH={named} is unknown. There are: pdp11 vax x86_64, and all" in said
    assert said.count("\n") == 1
