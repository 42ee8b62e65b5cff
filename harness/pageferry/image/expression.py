"""Expressions as C has them: a variable, then members, elements and pointers followed.

frames[12].owner        vms[1].vcpus[0].arch.vmcb->save.cr3        reports[0].stop
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ..errors import ImageError


@dataclass(frozen=True)
class Dot:
    """`.name`: a member of a structure."""

    name: str


@dataclass(frozen=True)
class Arrow:
    """`->name`: a member of the structure that a pointer points to."""

    name: str


@dataclass(frozen=True)
class Index:
    """`[number]`: an element of an array, or of what a pointer points to."""

    number: int


Step = Dot | Arrow | Index
Steps = tuple[tuple[Step, str], ...]
"""Steps from a variable, each with the text that leads up to it."""

_VARIABLE = re.compile(r"\s*([A-Za-z_]\w*)\s*")
_STEP = re.compile(
    r"""(?: \. \s* (?P<dot> [A-Za-z_]\w*)
          | -> \s* (?P<arrow> [A-Za-z_]\w*)
          | \[ \s* (?P<index> 0[xX][0-9a-fA-F]+ | \d+) \s* \] ) \s*""",
    re.VERBOSE,
)


@lru_cache(maxsize=4096)
def parse(expression: str) -> tuple[str, Steps]:
    """The variable's name and the steps from it.

    Raises ImageError with the place that could not be read.
    """
    start = _VARIABLE.match(expression)
    if start is None:
        raise ImageError(f"an expression begins with a variable: {expression!r}")
    steps: list[tuple[Step, str]] = []
    at = start.end()
    while at < len(expression):
        found = _STEP.match(expression, at)
        if found is None:
            raise ImageError(f"{expression!r}: cannot read {expression[at:]!r}")
        steps.append((_step(found), expression[:at].strip()))
        at = found.end()
    return start[1], tuple(steps)


def _step(found: re.Match[str]) -> Step:
    if found["dot"]:
        return Dot(found["dot"])
    if found["arrow"]:
        return Arrow(found["arrow"])
    digits = found["index"]
    return Index(int(digits, 16) if digits[:2] in ("0x", "0X") else int(digits))
