"""What is left behind: files that are whole or not there, and the JSON of a command."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


class WholeOrNothing:
    """A path to write to; what was written gets its name only if nothing went wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")

    def __enter__(self) -> Path:
        return self._part

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)


class Documents:
    """The JSON about each of `names`: a file each, or one file that was named.

    usual     path of a file, with {} for the name
    output    the one file to take instead, if any
    together  the whole is an object of all names, even of one

    No document of an earlier run is left to be taken for this one's. OSError.
    """

    def __init__(
        self, names: Sequence[str], usual: str, output: Path | None, *, together: bool
    ) -> None:
        self._output = output
        self._together = together
        self._paths = {name: Path(usual.format(name)) for name in names}
        for path in [output] if output else self._paths.values():
            make_way(path)

    def write(self, found: Mapping[str, object]) -> tuple[str, list[Path]]:
        """Write what was found, by name; give the text of the whole, and the files. OSError."""
        whole = _text({"architectures": found} if self._together else next(iter(found.values())))
        if self._output:
            files = {self._output: whole}
        else:
            files = {self._paths[name]: _text(document) for name, document in found.items()}
        for path, text in files.items():
            write(path, f"{text}\n")
        return whole, list(files)


def _text(document: object) -> str:
    return json.dumps(document, indent=2)


def _is_ordinary(path: Path) -> bool:
    """Whether it can be replaced: a device, a pipe or a link is there to be written to."""
    return not path.is_symlink() and (path.is_file() or not path.exists())


def make_way(path: Path) -> None:
    """Make sure, before anything is found that `write` is to put there, that it can.

    What an earlier run has left is removed. Raises OSError.
    """
    try:
        with suppress(FileExistsError):  # if that is no folder, it is told below
            path.parent.mkdir(parents=True)
        if _is_ordinary(path):
            path.unlink(missing_ok=True)
            with WholeOrNothing(path) as part:
                part.touch()
            path.unlink()
        elif not path.exists():  # a link to what is not there yet
            path.touch()
            path.resolve().unlink()
        elif not os.access(path, os.W_OK):  # to open a pipe is more than to look
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # not a part's name


def write(path: Path, text: str) -> None:
    """All of it or nothing, where that can be. Raises OSError."""
    if not _is_ordinary(path):
        path.write_text(text)
        return
    with WholeOrNothing(path) as part:
        part.write_text(text)
