"""The result of `pageferry run`: a table for people, JSON for programs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..address import HPA, PAGE_SIZE
from ..verdict import Access, End, Scene
from .documents import write
from .mechanisms import ROUNDS, Result, Shown

RUNS = {
    "observed": "1 CPU, each mechanism from the same snapshot",
    "counted": "1 CPU, -icount shift=0: by the guest's door and its own counter around the "
    f"hypercall, the median of {ROUNDS} pages whose tables exist",
}
"""Every figure names one of these runs."""

EXPLANATION = f"""
access        by the guest itself, at both of its virtual addresses of the page
frame, entry  stage 2, walked in physical memory from outside
bytes         of the source's frame before and the target's after, read from RAM
instructions  by the guest's own counter around a hypercall, in a second run under
              icount: the median of {ROUNDS} more pages, whose tables exist by then.
              A count of instructions is no time on hardware."""

_WEB_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""What a picture has no need to fetch."""

_SHORT = {Access.READ_WRITE: "rw", Access.READ_ONLY: "ro", Access.FAULT: "fault"}

_WIDTH = 76
"""Columns that three mechanisms side by side need."""


def _hex(value: int | None) -> str | None:
    return None if value is None else f"{value:#x}"


def as_json(result: Result) -> dict[str, Any]:
    """The content of result.json. Frames and entries are hexadecimal strings or null."""
    return {
        "arch": result.arch,
        "qemu_version": result.qemu_version,
        "cpus": result.cpus,
        "ok": result.ok,
        "runs": RUNS,
        "mechanisms": {each.name: _mechanism(each) for each in result.shown},
    }


def _mechanism(shown: Shown) -> dict[str, Any]:
    return {
        "verdict": shown.judgement.verdict.value,
        "expected": shown.expected,
        "frames_used": len(frames(shown.scene)),
        "reasons": list(shown.judgement.reasons),
        "asked": shown.asked,
        "door": shown.door.value,
        "answer": {"status": shown.answer.status.console_name, "text": shown.answer.text},
        "source": _end(shown, shown.scene.source, 0),
        "target": _end(shown, shown.scene.target, 1),
        "source_got_it_back": shown.scene.returned,
        "bytes_equal": shown.bytes_equal == PAGE_SIZE,
        "bytes_compared": PAGE_SIZE,
        "instructions": shown.instructions,
        "instructions_from": "counted",
    }


def _end(shown: Shown, end: End, index: int) -> dict[str, Any]:
    return {
        "vm": end.vm,
        "gpa": _hex(end.gpa),
        "frame_before": _hex(end.before.frame),
        "frame_after": _hex(end.after.frame),
        "entry_before": _hex(shown.before[index].entry),
        "entry_after": _hex(shown.after[index].entry),
        "access_before": end.before.access.value,
        "access_after": end.after.access.value,
    }


def as_table(shown: Sequence[Shown]) -> Table:
    """Mechanisms side by side; every row names one observer or one run."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("", style="dim", no_wrap=True)
    for each in shown:
        table.add_column(each.name, no_wrap=True)
    for rows in zip(*(_rows(each) for each in shown), strict=True):
        table.add_row(rows[0][0], *(cell for _, cell in rows))
    return table


def _rows(shown: Shown) -> Iterator[tuple[str, str | Text]]:
    """What one mechanism's column shows, with the names of the rows."""
    yield "verdict", verdict(shown)
    yield "asked through", f"{shown.door.value}'s door"
    ends = ((shown.scene.source, "source"), (shown.scene.target, "target"))
    for (end, name), before, after in zip(ends, shown.before, shown.after, strict=True):
        yield "", ""
        yield name, f"VM {end.vm} {end.gpa:#x}"
        yield "  its access", change(end.before.access, end.after.access)
        yield "  frame before", _hex(end.before.frame) or "-"
        yield "  frame after", _hex(end.after.frame) or "-"
        yield "  entry before", _hex(before.entry) or "-"
        yield "  entry after", _hex(after.entry) or "-"
    yield "", ""
    yield "frames used", str(len(frames(shown.scene)))
    yield "bytes equal", f"{shown.bytes_equal} of {PAGE_SIZE}"
    yield "instructions", "-" if shown.instructions is None else f"{shown.instructions:,}"


def verdict(shown: Shown) -> Text:
    """The verdict in the colour of what it should be."""
    style = "bold green" if shown.expected else "bold red"
    return Text(shown.judgement.verdict.value, style=style)


def change(before: Access, after: Access) -> str:
    """What became of an access, in short."""
    return _SHORT[before] if before is after else f"{_SHORT[before]} -> {_SHORT[after]}"


def frames(scene: Scene) -> set[HPA]:
    """All that either end ever had there."""
    sights = (scene.source.before, scene.source.after, scene.target.after)
    return {sight.frame for sight in sights if sight.frame is not None}


def print_result(result: Result, console: Console) -> None:
    """Table, what the figures are, and for each unexpected verdict its reasons."""
    show = partial(console.print, highlight=False, soft_wrap=True)
    show(f"Pageferry on {result.arch}, QEMU {result.qemu_version}\n")
    together = [result.shown] if console.width >= _WIDTH else [[each] for each in result.shown]
    for shown in together:
        console.print(as_table(shown), width=max(console.width, _WIDTH // 2))
        show("")
    met = sum(each.expected for each in result.shown)
    show(f"{met} of {len(result.shown)} are what was asked for.", style="bold")
    show(EXPLANATION, style="dim")
    print_reasons(result, console)


def print_reasons(result: Result, console: Console, where: str = "") -> None:
    """For each unexpected verdict, why it is what it is; `where` as " on this machine"."""
    show = partial(console.print, highlight=False, soft_wrap=True)
    for each in result.shown:
        if not each.expected:
            judged = each.judgement.verdict.value
            show(f"\n{each.name}{where} was judged {judged}:", style="bold red")
            for reason in each.judgement.reasons:
                show(f"  {reason}", markup=False)


def draw(show: Callable[[Console], None], title: str, path: Path) -> None:
    """What is printed in a terminal of 80 columns, as an SVG picture. OSError."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=84, file=nowhere, force_terminal=True)
        show(console)
    picture = console.export_svg(title=title)
    write(path, _WEB_FONT.sub("", picture))
