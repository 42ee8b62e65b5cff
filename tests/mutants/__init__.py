"""Seeded bugs: one small patch of the firmware each, whose first line says what it breaks.

A patch applies to the architectures whose files it changes, one of core to all. It is
applied to a copy and built there; nothing of it is ever in the real code.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

_CHANGED = re.compile(r"^\+\+\+ b/(\S+)", re.MULTILINE)
_OF_ARCH = re.compile(r"firmware/arch/(\w+)/")


class NotBuilt(Exception):
    """A patch does not apply, or what it makes does not compile: no bug was seeded."""


@dataclass(frozen=True)
class Mutant:
    """One seeded bug."""

    name: str
    breaks: str
    patch: Path
    files: tuple[str, ...]

    def applies_to(self, arch: str) -> bool:
        """Whether the architecture's firmware has the lines it changes."""
        of = {found[1] for file in self.files if (found := _OF_ARCH.match(file))}
        return of <= {arch}

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
    return Mutant(patch.stem, text.splitlines()[0], patch, tuple(_CHANGED.findall(text)))


MUTANTS = {patch.stem: _read(patch) for patch in sorted(HERE.glob("*.patch"))}
"""All of them, by name."""
