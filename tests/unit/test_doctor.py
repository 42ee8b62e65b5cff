"""The doctor on machines made of a PATH with stand-ins for programs on it."""

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pageferry import arch
from pageferry.cli import main as command_line
from pageferry.report import doctor

HARNESS = Path(doctor.__file__).parents[2]
PROGRAMS = {
    "qemu-system-x86_64": "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)",
    "clang": "Debian clang version 14.0.6",
    "ld.lld": "Debian LLD 14.0.6 (compatible with GNU linkers)",
    "gdb-multiarch": "GNU gdb (Debian 13.1-3) 13.1",
}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with everything: the only folder of its PATH."""
    for name, says in PROGRAMS.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho '{says}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def finding(program: str) -> doctor.Finding:
    return {it.program: it for it in doctor.examine("x86_64")}[program]


def test_a_program_that_is_found_shows_its_path_and_version(programs: Path) -> None:
    found = finding("qemu-system-x86_64")
    assert (found.path, found.version) == (str(programs / "qemu-system-x86_64"), "7.2.22")


def test_a_machine_with_everything_is_ready(programs: Path) -> None:
    assert doctor.is_ready(doctor.examine("x86_64"))


def test_a_missing_program_is_not_found_and_its_package_is_named(programs: Path) -> None:
    (programs / "ld.lld").unlink()
    found = finding("ld.lld")
    assert (found.problem, found.package) == ("not found", "lld")


def test_a_machine_without_a_needed_program_is_not_ready(programs: Path) -> None:
    (programs / "clang").unlink()
    assert not doctor.is_ready(doctor.examine("x86_64"))


def test_who_builds_with_gcc_needs_no_clang(programs: Path) -> None:
    for name in ("clang", "ld.lld"):
        (programs / name).rename(programs / {"clang": "gcc", "ld.lld": "ld"}[name])
    assert doctor.is_ready(doctor.examine("x86_64", doctor.Toolchain("gcc", "ld")))


@pytest.mark.parametrize(
    ("tool", "package"),
    [
        ("clang", "clang"),
        ("ld.lld", "lld"),
        ("clang-15", "clang-15"),
        ("ld.lld-15", "lld-15"),
        ("gcc", "gcc"),
        ("ld", "binutils"),
        ("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu"),
        ("riscv64-linux-gnu-ld", "binutils-riscv64-linux-gnu"),
        ("x86_64-linux-gnu-gcc-12", "gcc-12-x86-64-linux-gnu"),
        ("s390x-linux-gnu-gcc", "gcc"),
        ("s390x-linux-gnu-ld", "binutils"),
    ],
)
def test_a_tool_is_in_the_package_that_debian_has_it_in(
    tool: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    assert doctor.package_of(tool) == package


def test_the_set_up_is_told_what_the_chosen_compiler_needs(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor.main(["--arch", "x86_64", "--packages", "--compiler", "gcc", "--linker", "ld"])
    assert capsys.readouterr().out == "gcc binutils\n"


def test_the_debugger_is_among_the_packages_to_install(programs: Path) -> None:
    (programs / "gdb-multiarch").unlink()
    (programs / "ld.lld").unlink()
    assert doctor.packages(doctor.examine("x86_64")) == ["lld", "gdb-multiarch"]


def test_a_program_that_fails_is_broken_and_no_package_is_its_remedy(programs: Path) -> None:
    (programs / "clang").write_text("#!/bin/sh\necho clang version 14.0.6; exit 1\n")
    found = finding("clang")
    assert (found.problem, found.missing) == ("does not run", False)


def test_without_versions_no_program_but_the_compiler_is_run(programs: Path) -> None:
    for name in set(PROGRAMS) - {"clang"}:
        (programs / name).write_text(f"#!/bin/sh\n: > '{programs}/was-run'\n")
    doctor.examine("x86_64", versions=False)
    assert not (programs / "was-run").exists()


def stand_in(program: Path, **answers: str) -> None:
    """A program that knows these options, with "-" for "_", and refuses others."""
    cases = "".join(f"{it.replace('_', '-')}) echo '{said}' ;;\n" for it, said in answers.items())
    program.write_text(f"#!/bin/sh\ncase $1 in\n{cases}*) exit 1 ;;\nesac\n")
    program.chmod(0o755)


TARGETS = """
  Registered Targets:
    arm64  - ARM64 (little endian)
    {} - 64-bit"""


@pytest.mark.parametrize(("target", "problem"), [("x86-64", None), ("xcore", "not for x86_64")])
def test_a_clang_lists_what_it_makes_code_for(
    programs: Path, target: str, problem: str | None
) -> None:
    said = TARGETS.format(target)
    stand_in(programs / "clang", **{"__print_targets": said, "__version": "14.0.6"})
    found = finding("clang")
    assert (found.problem, found.package) == (problem, "clang")


@pytest.mark.parametrize(
    ("machine", "problem", "package"),
    [
        ("x86_64-linux-gnu", None, "gcc"),
        ("s390x-linux-gnu", "not for x86_64", "gcc-x86-64-linux-gnu"),
    ],
)
def test_a_gcc_is_for_one_machine_and_another_package_has_the_right_one(
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    problem: str | None,
    package: str,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    stand_in(programs / "gcc", _dumpmachine=machine, __version="12.2.0")
    found = doctor.examine("x86_64", doctor.Toolchain("gcc", "ld"))
    (gcc,) = [it for it in found if it.program == "gcc"]
    assert (gcc.problem, gcc.package) == (problem, package)


def test_a_compiler_for_another_machine_is_shown_with_the_package_and_stops_the_set_up(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(programs / "clang", __print_targets=TARGETS.format("xcore"), __version="14.0.6")
    assert doctor.main(["--arch", "x86_64"]) == 1
    line = f"not for x86_64  {programs}/clang; Debian package clang is\n"
    assert line in capsys.readouterr().out
    assert doctor.main(["--arch", "x86_64", "--packages"]) == 1
    assert capsys.readouterr().out == "\n"


@pytest.fixture
def with_bios(monkeypatch: pytest.MonkeyPatch) -> None:
    """An architecture whose machine begins with a firmware of QEMU's."""
    described = arch.get("x86_64")
    booted = replace(described, bios="opensbi-for-a-test.bin", bios_package="opensbi-package")
    monkeypatch.setattr(arch, "get", lambda _: booted)


@pytest.mark.usefixtures("with_bios")
def test_a_missing_firmware_of_qemu_is_named_with_its_package(programs: Path) -> None:
    found = finding("opensbi-for-a-test.bin")
    assert (found.problem, found.package) == ("not found", "opensbi-package")
    assert doctor.packages(doctor.examine("x86_64")) == ["opensbi-package"]


@pytest.mark.usefixtures("with_bios")
def test_a_firmware_of_qemu_is_found_where_its_program_was_installed(programs: Path) -> None:
    program = programs / "prefix" / "bin" / "qemu-system-x86_64"
    program.parent.mkdir(parents=True)
    (programs / "qemu-system-x86_64").replace(program)
    (programs / "qemu-system-x86_64").symlink_to(program)
    bios = programs / "prefix" / "share" / "qemu" / "opensbi-for-a-test.bin"
    bios.parent.mkdir(parents=True)
    bios.touch()
    assert finding("opensbi-for-a-test.bin").path == str(bios)


def test_an_unknown_architecture_is_told_with_those_that_exist(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        doctor.main(["--arch", "vax"])
    assert f"there are: {', '.join(arch.names())}" in capsys.readouterr().err


def test_a_python_that_is_too_old_is_said_to_be(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (99, 1))
    (found,) = doctor.examine("x86_64")
    assert found.problem is not None
    assert found.problem.endswith("is too old, 99.1 is needed")


@pytest.mark.parametrize(
    "module", ["__init__.py", "errors.py", "report/__init__.py", "report/doctor.py"]
)
def test_a_python_too_old_for_pageferry_can_still_read_the_doctor(module: str) -> None:
    source = (HARNESS / "pageferry" / module).read_text()
    ast.parse(source, feature_version=(3, 8))


def test_the_text_ends_with_the_command_that_installs_what_is_missing(programs: Path) -> None:
    (programs / "clang").unlink()
    (programs / "ld.lld").unlink()
    text = doctor.as_text("x86_64", doctor.examine("x86_64"))
    assert text.endswith("apt-get install --no-install-recommends clang lld")


def test_the_exit_status_of_a_machine_that_is_not_ready_is_1(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (programs / "clang").unlink()
    assert doctor.main(["--arch", "x86_64"]) == 1


def test_the_exit_status_of_a_machine_that_is_ready_is_0(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.main(["--arch", "x86_64"]) == 0


def test_packages_cannot_be_the_remedy_for_an_old_python(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (99, 1))
    assert doctor.main(["--arch", "x86_64", "--packages"]) == 1


def test_the_list_of_packages_is_one_line_of_names(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (programs / "clang").unlink()
    (programs / "qemu-system-x86_64").unlink()
    doctor.main(["--arch", "x86_64", "--packages"])
    assert capsys.readouterr().out == "qemu-system-x86 clang\n"


def test_packages_are_the_remedy_for_missing_programs(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (programs / "clang").unlink()
    assert doctor.main(["--arch", "x86_64", "--packages"]) == 0


def test_the_json_has_the_verdict_and_every_finding(
    programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor.main(["--arch", "x86_64", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is True
    assert set(PROGRAMS) < {tool["program"] for tool in told["tools"]}


def test_the_command_line_gives_the_same_answer(programs: Path) -> None:
    (programs / "clang").unlink()
    result = CliRunner().invoke(command_line, ["doctor", "--json"])
    assert result.exit_code == 1
    assert result.output.strip() == doctor.as_json("x86_64", doctor.examine("x86_64"))


def test_the_command_line_tells_of_every_architecture_one_after_the_other(programs: Path) -> None:
    result = CliRunner().invoke(command_line, ["doctor", "--arch", "all"])
    named = [line for line in result.output.splitlines() if line.startswith("What Pageferry uses")]
    assert [line.split()[-1] for line in named] == [f"{name}:" for name in arch.names()]


def test_the_doctor_runs_where_no_dependency_is_installed(programs: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-S", "-m", "pageferry.report.doctor", "--arch", "x86_64"],
        env={"PATH": str(programs), "PYTHONPATH": str(HARNESS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Ready" in result.stdout, result.stderr
