"""How long a test waits for what must come, and how soon that must be."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

LONG = 60.0
AT_ONCE = 20.0
"""Seconds: below what any wait lasts that is not shortened, and enough for a busy machine."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block must not take longer."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds
