"""What a test must know of an architecture to ask its emulator the same as a walker.

A module in this folder with `REGIMES` is an architecture. Its bits come from the manual,
not from the descriptor that is tested with them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from pageferry.tables import TableFormat


@dataclass(frozen=True)
class Stage:
    """How one stage's tables are written.

    fmt         what is tested
    table       an entry that names a table and withholds nothing
    leaf        (level, output) -> one that maps the output and withholds nothing
    table_bits, leaf_bits
                bits that random tables change in such an entry
    overlooked  those of them that the CPU looks at, but the monitor does not
    limit       addresses below it are translated by the emulator as the manual says
    """

    fmt: TableFormat
    table: Callable[[int], int]
    leaf: Callable[[int, int], int]
    table_bits: tuple[int, ...]
    leaf_bits: tuple[int, ...]
    overlooked: frozenset[int]
    limit: int


@dataclass(frozen=True)
class Regime:
    """One way to use the tables.

    controls  (root of stage 1, root of stage 2) -> the words that walker.S puts into registers
    """

    name: str
    stage1: Stage
    stage2: Stage | None
    controls: Callable[[int, int], tuple[int, ...]]


def regimes(arch: str) -> tuple[Regime, ...]:
    """Every regime of the architecture that is compared."""
    found: tuple[Regime, ...] = import_module(f"{__name__}.{arch}").REGIMES
    return found
