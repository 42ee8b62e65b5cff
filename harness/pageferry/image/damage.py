"""A damaged file trips its parser in any way; all of them mean that it is damaged."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError

from ..errors import ImageError

_TRIPPED = (
    *(ELFError, DWARFError, ConstructError, struct.error),
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError),
    *(NotImplementedError, OSError, RuntimeError, StopIteration, TypeError, ValueError),
)
"""What pyelftools, and those who use what it gives, raise on numbers that make no sense.
It checks few of them: a wrong offset is found by what is read there."""


@contextmanager
def parsing(name: str) -> Iterator[None]:
    """ImageError for the file called `name`, if parsing it trips over something."""
    try:
        yield
    except _TRIPPED as error:
        why = f"{type(error).__name__}: {error}"
        raise ImageError(f"{name} is damaged, or no file of ours: {why}") from error
