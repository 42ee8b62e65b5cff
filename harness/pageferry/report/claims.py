"""Whose a folder of evidence is: two runs in one checkout do not write into each other's."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from ..manifest import start_time

MARK = ".run"
"""In a folder, the process that it is of: its pid, and when that started."""


def claim(wanted: Path) -> Path:
    """An empty folder: `wanted`, or where a run that goes on has that, `wanted`-2, -3, ...

    Whatever a run that is over has left there is removed. Raises OSError.
    """
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with _alone(wanted.parent):
        others = (wanted.with_name(f"{wanted.name}-{number}") for number in count(2))
        folder = wanted
        while _is_another_s(folder):
            folder = next(others)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        with suppress(OSError):  # a full disk: whatever still has room is worth more
            (folder / MARK).write_text(_process(os.getpid()))
    return folder


def _process(pid: int) -> str:
    return f"{pid} {start_time(pid)}"


def _is_another_s(folder: Path) -> bool:
    """Whether a process that lives, and is not this one, has it."""
    try:
        mark = (folder / MARK).read_text()
        pid = int(mark.split()[0])
    except (OSError, ValueError, IndexError):
        return False  # there is none, or it is of no process
    return pid != os.getpid() and mark == _process(pid)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Until the end of the block no other process is in here with the same folder."""
    directory = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
