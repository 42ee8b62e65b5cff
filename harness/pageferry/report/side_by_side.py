"""The results of `pageferry run` on several architectures, as one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..address import PAGE_SIZE
from .mechanisms import Result, Shown
from .show import EXPLANATION, change, frames, print_reasons, verdict


def as_table(results: Sequence[Result]) -> Table:
    """A column for each architecture; for each mechanism what does not depend on addresses."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for _ in ("mechanism", "row"):
        table.add_column("", style="dim", no_wrap=True)
    for result in results:
        table.add_column(result.arch, no_wrap=True)
    for same in zip(*(result.shown for result in results), strict=True):
        name = same[0].name
        for rows in zip(*(_rows(shown) for shown in same), strict=True):
            table.add_row(name, rows[0][0], *(cell for _, cell in rows))
            name = ""
        table.add_row()
    return table


def _rows(shown: Shown) -> Iterator[tuple[str, str | Text]]:
    scene = shown.scene
    yield "verdict", verdict(shown)
    yield "source's access", change(scene.source.before.access, scene.source.after.access)
    yield "target's access", change(scene.target.before.access, scene.target.after.access)
    yield "frames used", str(len(frames(scene)))
    yield "bytes equal", f"{shown.bytes_equal} of {PAGE_SIZE}"
    yield "instructions", f"{shown.instructions:,}" if shown.instructions is not None else "-"


def print_results(results: Sequence[Result], console: Console) -> None:
    """Table, whether the verdicts are the same, and the reasons of each unexpected one."""
    show = partial(console.print, highlight=False, soft_wrap=True)
    versions = sorted({result.qemu_version for result in results})
    show(f"Pageferry on {len(results)} architectures, QEMU {', '.join(versions)}\n")
    console.print(as_table(results), width=max(console.width, 80))
    every = [shown for result in results for shown in result.shown]
    met = sum(shown.expected for shown in every)
    show(f"{met} of {len(every)} are what was asked for.", style="bold")
    show(EXPLANATION, style="dim")
    for result in results:
        print_reasons(result, console, f" on {result.arch}")
