"""Answers as text for people, and as what `json` takes: addresses hexadecimal strings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any

from ..paging import GuestTranslation, Rights
from .views import Change, GuestSeen, Owner, Range

_LETTERS = ((Rights.READ, "r"), (Rights.WRITE, "w"), (Rights.EXECUTE, "x"))


def rights(value: Rights) -> str:
    """As `ls` has them: "rw-"."""
    return "".join(letter if right in value else "-" for right, letter in _LETTERS)


def address(value: int | None) -> str | None:
    """Hexadecimal, or None."""
    return None if value is None else f"{value:#x}"


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with a line of headings; None becomes "-"."""
    cells = [[*head], *([("-" if it is None else str(it)) for it in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def guests_json(found: Sequence[GuestSeen]) -> Any:
    """A list of objects."""
    return [
        {
            "vm": it.vm,
            "vcpus": [
                {
                    "vcpu": vcpu.index,
                    "cpu": vcpu.cpu,
                    "state": vcpu.state,
                    "reason": vcpu.reason,
                    "counter": address(vcpu.counter),
                    "code": vcpu.code,
                }
                for vcpu in it.vcpus
            ],
            "stage1_root": address(it.stage1_root),
            "stage2_root": address(it.stage2_root),
            "pages": it.pages,
            "posted": it.posted,
        }
        for it in found
    ]


def guests_text(found: Sequence[GuestSeen]) -> str:
    """A row a guest, and a row each of its vCPUs, as requests name them."""
    head = ("guest", "stage 1", "stage 2", "pages", "window pages posted")
    guests = [
        (f"g{it.vm}", address(it.stage1_root), address(it.stage2_root), it.pages, it.posted)
        for it in found
    ]
    vcpus = [
        (
            f"g{it.vm}.{vcpu.index}",
            vcpu.cpu,
            f"{vcpu.state}: {vcpu.reason}" if vcpu.reason else vcpu.state,
            f"{vcpu.counter:#x}" + (f", {vcpu.code}" if vcpu.code else ""),
        )
        for it in found
        for vcpu in it.vcpus
    ]
    tables = [columns(head, guests)]
    if vcpus:
        tables.append(columns(("vCPU", "CPU", "state", "last left its CPU at"), vcpus))
    return "\n\n".join(tables)


def _entries(way: GuestTranslation) -> list[dict[str, Any]]:
    """The entries of both stages in the order in which the CPU reads them."""
    found = []
    for passed in way.steps:
        for step in passed.nested.steps:
            found.append(_entry(2, step.level, step.address, step.raw, step.kind.value))
            found[-1] |= {"rights": rights(step.rights), "for": f"table {passed.level}"}
        if (step_1 := passed.step) is not None:
            found.append(_entry(1, step_1.level, step_1.address, step_1.raw, step_1.kind.value))
            found[-1] |= {"rights": rights(step_1.rights), "for": "page"}
    for step in way.stage2.steps if way.stage2 else ():
        found.append(_entry(2, step.level, step.address, step.raw, step.kind.value))
        found[-1] |= {"rights": rights(step.rights), "for": "page"}
    return found


def _entry(stage: int, level: int, at: int, raw: int, kind: str) -> dict[str, Any]:
    return {"stage": stage, "level": level, "at": f"{at:#x}", "entry": f"{raw:#x}", "kind": kind}


def walk_json(vm: int, way: GuestTranslation) -> Any:
    """An object; "entries" has them all, "fails" is null if a read succeeds."""
    failure = way.fails()
    return {
        "vm": vm,
        "gva": address(way.gva),
        "gpa": address(way.gpa),
        "hpa": address(way.hpa),
        "rights": rights(way.rights),
        "fails": None if failure is None else str(failure),
        "stage": None if failure is None else failure.stage,
        "level": None if failure is None else failure.level,
        "entries": _entries(way),
    }


_WALK_KEY = """\
(level 0 is the leaf, and they count up to the root; "table 2" is stage 1's of level 2.
Stage-1 entries are at guest-physical addresses, stage-2 entries at host-physical ones.)"""


def walk_text(vm: int, way: GuestTranslation) -> str:
    """The result in one line, then the entries: of stage 1, and of stage 2 for the page."""
    failure = way.fails()
    if failure is None:
        lead = f"GVA {way.gva:#x} -> GPA {way.gpa:#x} -> HPA {way.hpa:#x}  {rights(way.rights)}"
    else:
        lead = str(failure)
    shown = [it for it in _entries(way) if it["for"] == "page" or failure is not None]
    head = ("stage", "level", "for", "at", "entry", "kind", "rights")
    rows = [[it[key] for key in head] for it in shown]
    return f"g{vm}: {lead}\n\n{columns(head, rows)}\n\n{_WALK_KEY}"


def owner_json(found: Owner) -> Any:
    """An object; "doubts" is empty if tables and record agree."""
    record = found.record
    return {
        "frame": address(found.frame),
        "record": record
        and {
            "kind": record.kind,
            "owner": record.owner,
            "owner_gpa": address(record.owner_gpa),
            "borrower": record.borrower,
            "borrower_gpa": address(record.borrower_gpa),
        },
        "mapped": [
            {"vm": it.vm, "gpa": address(it.gpa), "rights": rights(it.rights)}
            for it in found.mapped
        ],
        "table_of": found.table,
        "doubts": list(found.doubts),
    }


def owner_text(found: Owner) -> str:
    """Record, tables, and where they differ, a line each."""
    lines = [f"frame {found.frame:#x}"]
    if (record := found.record) is None:
        lines.append("  record    none")
    else:
        lines.append(f"  record    {record.kind}" + _owned(record.owner, record.owner_gpa))
        if record.borrower:
            lines.append(f"            lent to{_owned(record.borrower, record.borrower_gpa)}")
    for it in found.mapped:
        lines.append(f"  mapped    g{it.vm} at {it.gpa:#x} {rights(it.rights)}")
    if not found.mapped:
        lines.append("  mapped    by no guest")
    if found.table is not None:
        lines.append(f"  table     of stage 2 of g{found.table}")
    lines += (f"  DOUBT     {doubt}" for doubt in found.doubts)
    return "\n".join(lines)


def _owned(vm: int, gpa: int) -> str:
    if not vm:
        return ""
    return f" g{vm} at {gpa:#x}" if gpa else f" g{vm}"


def map_json(vm: int, stage: int, found: Sequence[Range]) -> Any:
    """An object; sizes are bytes."""
    ranges = [
        {
            "address": address(it.address),
            "output": address(it.output),
            "size": it.size,
            "rights": rights(it.rights),
        }
        for it in found
    ]
    return {"vm": vm, "stage": stage, "ranges": ranges}


def map_text(found: Sequence[Range]) -> str:
    """A row a range."""
    rows = (
        (address(it.address), address(it.output), f"{it.size:#x}", rights(it.rights))
        for it in found
    )
    return columns(("address", "leads to", "bytes", "rights"), rows)


def map_of_json(text: str) -> tuple[int, int, list[Range]]:
    """What `map_json` was made of: VM, stage, ranges. ValueError for any other text."""
    try:
        found = json.loads(text)
        ranges = [
            Range(
                int(it["address"], 16), int(it["output"], 16), int(it["size"]), _said(it["rights"])
            )
            for it in found["ranges"]
        ]
        return int(found["vm"]), int(found["stage"]), ranges
    except (KeyError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _said(letters: str) -> Rights:
    found = [right for right, letter in _LETTERS if letter in letters]
    return reduce(or_, found, Rights(0))


def diff_json(found: Sequence[Change]) -> Any:
    """A list of objects, one a page; before or after is null if the page leads nowhere."""
    return [
        {"address": address(it.address), "before": _side(it.before), "after": _side(it.after)}
        for it in found
    ]


def _side(side: tuple[int, Rights] | None) -> Any:
    return None if side is None else {"output": address(side[0]), "rights": rights(side[1])}


def diff_text(found: Sequence[Change]) -> str:
    """A row a page."""
    if not found:
        return "no page differs"
    rows = ((address(it.address), _led(it.before), _led(it.after)) for it in found)
    return columns(("address", "led to", "leads to"), rows)


def _led(side: tuple[int, Rights] | None) -> str | None:
    return None if side is None else f"{side[0]:#x} {rights(side[1])}"


def words_text(start: int, words: Sequence[int]) -> str:
    """Two 64-bit words a line, as gdb's x/gx."""
    lines = []
    for place in range(0, len(words), 2):
        pair = " ".join(f"0x{word:016x}" for word in words[place : place + 2])
        lines.append(f"{start + 8 * place:#x}: {pair}")
    return "\n".join(lines)
