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
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import HarnessError

if TYPE_CHECKING:
    from ..arch import Arch

OLDEST_PYTHON = (3, 11)
SECONDS_TO_TELL_A_VERSION = 10.0
_VERSION = re.compile(r"\d+(\.\d+)+")
_TRIPLE = re.compile(r"(?P<machine>\w+)(-\w+)+\n")
_LISTED_TARGET = re.compile(r"^ +(\S+) +- ", re.MULTILINE)
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

    @property
    def place(self) -> str | None:
        """Where it is, or what has it."""
        if self.missing:
            return f"Debian package {self.package}"
        if self.problem and self.problem.startswith("not for"):
            return f"{self.path}; Debian package {self.package} is"
        return self.path


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

    Without `versions` only the compiler is run, to be asked whether it knows the
    architecture: a program that is there but broken goes unnoticed, in a tenth of the time.
    """
    python = _examine_python()
    if python.problem:
        return [python]  # the descriptors below are written for a newer one
    from ..arch import get

    found = get(arch)
    return [
        _examine_program("emulator", found.qemu, found.qemu_package, versions),
        *([_examine_bios(found)] if found.bios else []),
        _examine_compiler(arch, tools.compiler, versions),
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


def _examine_bios(arch: Arch) -> Finding:
    """A file that QEMU looks for in the folder of its own installation, and in Debian's."""
    emulator = shutil.which(arch.qemu)
    folders = [Path("/usr/share/qemu")]
    if emulator is not None:
        folders.insert(0, Path(emulator).resolve().parent.parent / "share" / "qemu")
    name, package = arch.bios or "", arch.bios_package or ""
    path = next((str(it / name) for it in folders if (it / name).is_file()), None)
    return Finding("its firmware", name, package, path, problem=None if path else "not found")


def _examine_compiler(arch: str, program: str, versions: bool) -> Finding:
    found = _examine_program("compiler", program, package_of(program), versions)
    targets = _targets_of(found.path) if found.path and not found.problem else set()
    if not targets or arch in targets:
        return found
    cross = package_of(f"{arch}-linux-gnu-{program}") if "gcc" in program else found.package
    return replace(found, package=cross, problem=f"not for {arch}")


def _targets_of(compiler: str) -> set[str]:
    """Architectures that it makes code for: clang has a list, gcc is for one. Empty: not told."""
    listed = _LISTED_TARGET.findall(_said_by(compiler, "--print-targets") or "")
    if listed:
        return {name.replace("-", "_") for name in listed}
    triple = _TRIPLE.fullmatch(_said_by(compiler, "-dumpmachine") or "")
    return {triple["machine"]} if triple else set()


def _examine_program(what: str, program: str, package: str, versions: bool) -> Finding:
    path = shutil.which(program)
    if path is None:
        return Finding(what, program, package, problem="not found")
    version = _version_of(path) if versions else None
    problem = "does not run" if versions and version is None else None
    return Finding(what, program, package, path, version, problem)


def _version_of(path: str) -> str | None:
    """Ask a program for its version; None if it does not run or does not say."""
    number = _VERSION.search(_said_by(path, "--version") or "")
    return number.group() if number else None


def _said_by(path: str, option: str) -> str | None:
    """What a program prints when asked; None if it does not run or refuses."""
    try:
        said = subprocess.run(
            [path, option],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_TO_TELL_A_VERSION,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout


def packages(findings: Iterable[Finding]) -> list[str]:
    """Debian packages to install before everything can be built and tested."""
    return [finding.package for finding in findings if finding.missing]


def is_ready(findings: Iterable[Finding]) -> bool:
    """Tell whether everything needed is there and runs."""
    return not any(finding.problem for finding in findings)


def as_text(arch: str, findings: Sequence[Finding]) -> str:
    """Lay the findings out as a table for people, with what to do below it."""
    states = [finding.problem or finding.version or "found" for finding in findings]
    width = max(len(finding.program) for finding in findings)
    lines = [f"What Pageferry uses on this machine, for {arch}:"]
    for finding, state in zip(findings, states, strict=True):
        told = f"{state:{max(map(len, states))}}  {finding.place}"
        lines.append(f"  {finding.what:14}{finding.program:{width}}  {told}")
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
    try:
        findings = examine(options.arch, tools, versions=not options.packages)
    except HarnessError as error:
        parser.error(str(error))
    if options.packages:
        print(*packages(findings))
        return 0 if all(finding.missing or not finding.problem for finding in findings) else 1
    print((as_json if options.json else as_text)(options.arch, findings))
    return 0 if is_ready(findings) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `make doctor | head` is no error
    sys.exit(main())
