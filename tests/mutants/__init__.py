"""Seeded bugs: one small patch of the firmware each, whose first line says what it breaks.

    The borrower of a page can write it.

    Caught by: test_mechanisms.py::test_nobody_writes_a_shared_page[{arch}-1cpu-...]
    Nothing to catch on x86_64: why

    --- a/firmware/core/transfer.c
    ...

A patch applies to the architectures whose files it changes, one of core to all but those
where there is nothing to catch. It is applied to a copy and built there; nothing of it is
ever in the real code. `make mutants` builds and tests them all: see __main__.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

ALL_TESTS = "tests/system"

_CHANGED = re.compile(r"^\+\+\+ b/(\S+)", re.MULTILINE)
_OF_ARCH = re.compile(r"firmware/arch/(\w+)/")
_CAUGHT_BY = re.compile(r"^Caught by: (.+)$", re.MULTILINE)
_NOTHING = re.compile(r"^Nothing to catch on (\w+): (.+)$", re.MULTILINE)


class NotBuilt(Exception):
    """A patch does not apply, or what it makes does not compile: no bug was seeded."""


@dataclass(frozen=True)
class Mutant:
    """One seeded bug.

    caught_by  tests below tests/system, with {arch}, the first of which is to fail; none
               named: nobody knows yet, and all are tried
    nothing    by architecture, why there it changes nothing that anybody could see
    """

    name: str
    breaks: str
    patch: Path
    files: tuple[str, ...]
    caught_by: tuple[str, ...] = ()
    nothing: Mapping[str, str] = field(default_factory=dict)

    def applies_to(self, arch: str) -> bool:
        """Whether it is a bug of the architecture's firmware."""
        of = {found[1] for file in self.files if (found := _OF_ARCH.match(file))}
        return of <= {arch} and arch not in self.nothing

    def tests(self, arch: str) -> list[str]:
        """What pytest calls the tests that are to catch it."""
        return [f"{ALL_TESTS}/{it.format(arch=arch)}" for it in self.caught_by] or [ALL_TESTS]

    def build(self, arch: str, folder: Path) -> Path:
        """Build the firmware with this bug in an empty `folder`; where its products are.

        What `make firmware` has built is taken over, so that only what differs is compiled.
        """
        products = Path("build", "firmware", arch)
        shutil.copy2(ROOT / "Makefile", folder)
        for part in (Path("firmware"), products):
            shutil.copytree(ROOT / part, folder / part)
        outside = {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
        _run(["git", "apply", str(self.patch)], folder, outside)
        _run(["make", "firmware", f"ARCH={arch}"], folder, {"MAKEFLAGS": ""})
        return folder / products


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise NotBuilt(f"{' '.join(command)}: {result.stderr or result.stdout}")


def _read(patch: Path) -> Mutant:
    text = patch.read_text()
    return Mutant(
        name=patch.stem,
        breaks=text.splitlines()[0],
        patch=patch,
        files=tuple(_CHANGED.findall(text)),
        caught_by=tuple(_CAUGHT_BY.findall(text)),
        nothing=dict(_NOTHING.findall(text)),
    )


MUTANTS = {patch.stem: _read(patch) for patch in sorted(HERE.glob("*.patch"))}
"""All of them, by name."""
