"""How a running machine is found by tools: build/run/<id>/machine.json, while it runs.

Nothing of a machine has a name of its own; what is written here are its process and the
numbers of the descriptors in it, which /proc makes paths of for this user.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import HarnessError

FOLDER = Path("build", "run")
"""Where manifests are, below the working directory."""

_NAME = "machine.json"
_ATTEMPTS = 10
"""To make a folder in one that may be removed meanwhile."""
_START_TIME = 22 - 3
"""Field 22 of /proc/PID/stat (proc(5)), counted after the name, which may hold anything."""


FIELDS = """\
id        its name, ARCH-PID
pid       QEMU's process id
started   when it started, in clock ticks since boot: its pid may be another's later
arch      its architecture
cpus      how many it has
kernel    absolute path of the ELF file
ram       number of QEMU's file descriptor of its RAM: /proc/PID/fd/RAM
ram_base  physical address where RAM begins
ram_size  bytes of RAM
debugger  number of QEMU's file descriptor of the socket on which its gdb stub
          listens: in gdb, target remote /proc/PID/fd/DEBUGGER"""
"""What is said of a machine, also by `pageferry machines --json`."""


@dataclass(frozen=True)
class Manifest:
    """One running machine: FIELDS."""

    pid: int
    started: int
    arch: str
    cpus: int
    kernel: str
    ram: int
    ram_base: int
    ram_size: int
    debugger: int

    @property
    def id(self) -> str:
        """Its name among the manifests."""
        return f"{self.arch}-{self.pid}"

    @property
    def alive(self) -> bool:
        """Whether its process is still the one that it is about."""
        return start_time(self.pid) == self.started

    def descriptor(self, number: int) -> Path:
        """The path by which another process opens a descriptor of QEMU's."""
        return Path(f"/proc/{self.pid}/fd/{number}")


def start_time(pid: int) -> int | None:
    """When a process started, None if there is none, or only what its parent has to reap."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[_START_TIME])


@contextmanager
def announced(manifest: Manifest, folder: Path) -> Iterator[Path]:
    """Keep a manifest in `folder`; its path. OSError if it cannot be written.

    Those that are there of machines that have ended are removed first. In the end it is
    removed too, and of the folders that had to be made those that are empty.
    """
    running(folder)
    home = folder / manifest.id
    made = [it for it in (folder, *folder.parents) if not it.exists()]
    path = home / _NAME
    half = home / f"{_NAME}.new"
    try:
        _make(home)
        half.write_text(json.dumps(asdict(manifest), indent=2) + "\n")
        half.rename(path)  # whoever looks finds all of it or nothing
        yield path
    finally:
        shutil.rmtree(home, ignore_errors=True)
        with suppress(OSError):  # another machine's manifest is there
            for it in made:
                it.rmdir()


def _make(home: Path) -> None:
    """With its parents, which another machine removes at its end if it has made them."""
    for _ in range(_ATTEMPTS):
        with suppress(FileNotFoundError, FileExistsError):  # between mkdir's look and its work
            home.mkdir(parents=True, exist_ok=True)
            return
    home.mkdir(parents=True, exist_ok=True)


def running(folder: Path = FOLDER) -> list[Manifest]:
    """Every machine that runs and has a manifest in `folder`, the oldest first.

    Manifests of those that ended without removing them are removed.
    """
    found = []
    for path in _manifests(folder):
        manifest = _read(path)
        if manifest is not None and manifest.alive:
            found.append(manifest)
        else:
            shutil.rmtree(path.parent, ignore_errors=True)
    return sorted(found, key=lambda it: it.started)


def _manifests(folder: Path) -> list[Path]:
    try:
        return list(folder.glob(f"*/{_NAME}"))
    except FileNotFoundError:  # the last machine has just removed it
        return []


def _read(path: Path) -> Manifest | None:
    try:
        return Manifest(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None  # gone meanwhile, or of another version of us


def find(name: str | None = None, folder: Path = FOLDER, arch: str | None = None) -> Manifest:
    """The only machine, or that of this id or architecture. HarnessError says which there are."""
    machines = running(folder)
    chosen = [it for it in machines if name in (None, it.id) and arch in (None, it.arch)]
    if len(chosen) == 1:
        return chosen[0]
    kind = f" of {arch}" if arch else ""
    if not machines:
        wanted = "no machine runs that tools can find; `make debug` starts one"
    elif chosen:
        wanted = f"several machines{kind} run: say which by --id"
    else:
        wanted = f"no machine{f' {name}' if name else ''}{kind} runs"
    known = ", ".join(it.id for it in machines) or "none"
    raise HarnessError(f"{wanted} (in {folder}: {known})")
