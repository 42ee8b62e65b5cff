"""What this machine has and lacks: `make doctor`, `pageferry doctor`, and the set-up's list.

It runs where nothing is installed yet, so it takes the standard library alone,
and a Python that is too old must still be able to read it and say so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

OLDEST_PYTHON = (3, 11)
SECONDS_TO_TELL_A_VERSION = 10.0
_VERSION = re.compile(r"\d+(\.\d+)+")
_PACKAGES = {"ld.lld": "lld", "ld": "binutils"}
"""Debian's packages that are not called like their program."""


class Toolchain(NamedTuple):
    """The programs that the firmware is built with, as the Makefile names them."""

    compiler: str = "clang"
    linker: str = "ld.lld"


@dataclass(frozen=True)
class Finding:
    """One thing it takes to build and test, and how this machine does on it.

    `package` is the Debian package that has it, `path` and `version` are None
    where it has none or was not asked, `problem` is None if all is well.
    """

    what: str
    program: str
    package: str
    path: str | None = None
    version: str | None = None
    problem: str | None = None

    @property
    def missing(self) -> bool:
        """True if installing `package` is the remedy."""
        return self.problem == "not found"


LLVM = Toolchain()


def package_of(tool: str) -> str:
    """Debian's package of a compiler or linker: ld.lld-15 is in lld-15.

    A cross tool's is named after its target: aarch64-linux-gnu-ld is in
    binutils-aarch64-linux-gnu. This machine's own is in the package without one.
    """
    found = re.fullmatch(r"(?:(?P<target>\w+-linux-\w+)-)?(?P<name>[a-z.]+)(?P<of>-[\d.]+)?", tool)
    if found is None:
        return tool
    name = _PACKAGES.get(found["name"], found["name"])
    cross = found["target"] and found["target"].split("-")[0] != platform.machine()
    target = f"-{found['target'].replace('_', '-')}" if cross else ""
    return f"{name}{found['of'] or ''}{target}"


def examine(arch: str, tools: Toolchain = LLVM, *, versions: bool = True) -> list[Finding]:
    """Look for everything that the architecture needs.

    Without `versions` no program is run: that takes 1 ms instead of 100, and
    a program that is there but broken goes unnoticed.
    """
    python = _examine_python()
    if python.problem:
        return [python]  # the descriptors below are written for a newer one
    from pageferry.arch import get

    qemu = get(arch).qemu
    return [
        # Debian's package of an emulator also provides the program's own name.
        _examine_program("emulator", qemu, qemu.replace("_", "-"), versions),
        _examine_program("compiler", tools.compiler, package_of(tools.compiler), versions),
        _examine_program("linker", tools.linker, package_of(tools.linker), versions),
        python,
        _examine_ensurepip(),
        _examine_program("debugger", "gdb-multiarch", "gdb-multiarch", versions),
    ]


def _examine_python() -> Finding:
    version = platform.python_version()
    oldest = ".".join(map(str, OLDEST_PYTHON))
    # A slice, so that type checkers do not decide it by the version they check for.
    old = tuple(sys.version_info[:2]) < OLDEST_PYTHON
    problem = f"{version} is too old, {oldest} is needed" if old else None
    return Finding("Python", "python3", "python3", sys.executable, version, problem)


def _examine_ensurepip() -> Finding:
    """Debian's python3 has the module venv, but what venv needs is a package of its own."""
    found = importlib.util.find_spec("ensurepip")
    problem = None if found else "not found"
    path = found.origin if found else None
    return Finding("Python's venv", "ensurepip", "python3-venv", path, None, problem)


def _examine_program(what: str, program: str, package: str, versions: bool) -> Finding:
    path = shutil.which(program)
    if path is None:
        return Finding(what, program, package, problem="not found")
    version = _version_of(path) if versions else None
    problem = "does not run" if versions and version is None else None
    return Finding(what, program, package, path, version, problem)


def _version_of(path: str) -> str | None:
    """Ask a program for its version; None if it does not run or does not say."""
    try:
        said = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_TO_TELL_A_VERSION,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    number = _VERSION.search(said.stdout)
    return number.group() if number else None


def packages(findings: Iterable[Finding]) -> list[str]:
    """Debian packages to install before everything can be built and tested."""
    return [finding.package for finding in findings if finding.missing]


def is_ready(findings: Iterable[Finding]) -> bool:
    """Tell whether everything needed is there and runs."""
    return not any(finding.problem for finding in findings)


def as_text(arch: str, findings: Sequence[Finding]) -> str:
    """Lay the findings out as a table for people, with what to do below it."""
    width = max(len(finding.program) for finding in findings)
    lines = [f"What Pageferry uses on this machine, for {arch}:"]
    for finding in findings:
        state = finding.problem or finding.version or "found"
        where = f"Debian package {finding.package}" if finding.missing else finding.path
        lines.append(f"  {finding.what:14}{finding.program:{width}}  {state:11}  {where}")
    if is_ready(findings):
        lines.append("Ready: make run, make test")
    elif missing := packages(findings):
        lines.append("make run installs what is missing; by hand it is")
        lines.append(f"  sudo apt-get install --no-install-recommends {' '.join(missing)}")
    return "\n".join(lines)


def as_json(arch: str, findings: Sequence[Finding]) -> str:
    """Give the findings to programs, as one JSON object."""
    tools = [asdict(finding) for finding in findings]
    return json.dumps({"arch": arch, "ready": is_ready(findings), "tools": tools}, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as `python3 -m pageferry.report.doctor`; give the exit status.

    1 means not ready or, with --packages, that packages are no remedy.
    """
    parser = argparse.ArgumentParser(prog="doctor", description="What is there, what is missing.")
    parser.add_argument("--arch", required=True)
    parser.add_argument("--compiler", default=LLVM.compiler, help="that builds the firmware")
    parser.add_argument("--linker", default=LLVM.linker)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs")
    form.add_argument("--packages", action="store_true", help="only the packages to install")
    options = parser.parse_args(arguments)

    tools = Toolchain(options.compiler, options.linker)
    findings = examine(options.arch, tools, versions=not options.packages)
    if options.packages:
        print(*packages(findings))
        return 0 if all(finding.missing or not finding.problem for finding in findings) else 1
    print((as_json if options.json else as_text)(options.arch, findings))
    return 0 if is_ready(findings) else 1


if __name__ == "__main__":
    sys.exit(main())
