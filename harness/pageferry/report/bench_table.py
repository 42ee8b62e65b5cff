"""The figures of a bench as a table for people."""

from __future__ import annotations

from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .figures import NOTE, Bench, Figure

REMARK = (
    "Goals are for a quiet machine with two CPUs, and it is the median that meets or misses one; "
    "where the goal lies between the quartiles another run may differ (?). A count whose "
    "quartiles differ is of work that differs: a copy looks for a free frame, and the next one "
    "has to look further."
)


def print_bench(bench: Bench, console: Console) -> None:
    """Table and note; every goal stands beside its figure."""
    show = partial(console.print, highlight=False, soft_wrap=True)
    host = f"{bench.host_cpus} CPUs, load {bench.host_load:.1f} at the start"
    show(f"Pageferry on {bench.arch}, {bench.cpus} CPU, QEMU {bench.qemu_version}; host: {host}\n")
    console.print(as_table(bench))
    for missing in (figure for figure in bench.figures if figure.spread is None):
        show(f"{missing.name}: not measured, {missing.why}", style="yellow")
    console.print(f"\n{REMARK} {NOTE}", highlight=False, style="dim")


def as_table(bench: Bench) -> Table:
    """One row a figure."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("", "median", "", "quartiles", "n", "goal", ""):
        table.add_column(name, justify="left" if name in ("", "goal") else "right", no_wrap=True)
    for figure in bench.figures:
        table.add_row(*_row(figure))
    return table


def _row(figure: Figure) -> tuple[str | Text, ...]:
    bound = ">=" if figure.at_least else "<="
    goal = "" if figure.goal is None else f"{bound} {figure.goal:g}"
    spread = figure.spread
    if spread is None:
        return figure.name, "-", figure.unit, "", "", goal, ""
    quartiles = f"{_number(spread.low)} - {_number(spread.high)}"
    median, n = _number(spread.median), str(spread.n)
    return figure.name, median, figure.unit, quartiles, n, goal, _verdict(figure)


def _number(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _verdict(figure: Figure) -> Text:
    spread = figure.spread
    if figure.goal is None or spread is None:
        return Text("")
    told = Text("met", style="green") if figure.met else Text("missed", style="bold red")
    is_close = spread.low < spread.high and spread.low <= figure.goal <= spread.high
    return told.append("?", style="yellow") if is_close else told
