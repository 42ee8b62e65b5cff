"""Figures of a bench: what was measured, how it is spread, and the goal beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from time import perf_counter
from typing import Any

NOTE = (
    "Times are wall clock on this host, QEMU's TCG included. Instructions are counted under "
    "-icount shift=0: exact and repeatable, and no hardware times, for a TLB miss, an exit or "
    "an invalidation costs nothing extra there."
)

MILLISECOND, MICROSECOND = 1e-3, 1e-6


@dataclass(frozen=True)
class Spread:
    """The median of `n` samples, and the quartiles around it."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Of one sample or more."""
        if len(samples) == 1:
            return cls(samples[0], samples[0], samples[0], 1)
        low, _, high = quantiles(samples, n=4, method="inclusive")
        return cls(median(samples), low, high, len(samples))


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    name    what was measured, in words
    unit    "ms", "us", "times" or "instr" (instructions)
    spread  None where it could not be measured; `why` says what is missing
    goal    the bound to keep; None where there is none
    at_least  the goal is a lower bound, not an upper one
    """

    name: str
    unit: str
    spread: Spread | None
    goal: float | None = None
    at_least: bool = False
    why: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the goal; None without one, or without a measurement."""
        if self.goal is None or self.spread is None:
            return None
        value = self.spread.median
        return value >= self.goal if self.at_least else value <= self.goal


@dataclass(frozen=True)
class Bench:
    """All figures of one run, and what they were measured on."""

    arch: str
    qemu_version: str
    cpus: int
    host_cpus: int
    host_load: float
    figures: tuple[Figure, ...]

    @property
    def met(self) -> bool:
        """Whether no goal was missed."""
        return all(figure.met is not False for figure in self.figures)


def as_json(bench: Bench) -> dict[str, Any]:
    """The content of build/bench/ARCH.json."""
    found = asdict(bench)
    for shown, figure in zip(found["figures"], bench.figures, strict=True):
        shown["met"] = figure.met
    return {**found, "note": NOTE}


def timed(call: Callable[[], object], unit: float, rounds: int, batch: int = 1) -> list[float]:
    """How long `call` takes, in `unit` seconds: the mean of `batch` calls, `rounds` times."""
    call()  # what is found out only once is no part of it
    return [_once(call, batch) / unit for _ in range(rounds)]


def interleaved(
    calls: Sequence[Callable[[], object]], unit: float, rounds: int, batch: int = 1
) -> list[list[float]]:
    """The same of several calls, in turn: what disturbs the host disturbs them all."""
    for call in calls:
        call()
    turns = [[_once(call, batch) / unit for call in calls] for _ in range(rounds)]
    return [list(samples) for samples in zip(*turns, strict=True)]


def _once(call: Callable[[], object], batch: int) -> float:
    started = perf_counter()
    for _ in range(batch):
        call()
    return (perf_counter() - started) / batch


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Of each pair that was measured in one turn."""
    return Spread.of([a / b for a, b in zip(over, under, strict=True)])


def difference(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Of each pair that was measured in one turn."""
    return Spread.of([a - b for a, b in zip(over, under, strict=True)])
