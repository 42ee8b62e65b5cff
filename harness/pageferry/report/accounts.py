"""What is written down about a machine that a test has left: text and values for JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby, islice
from typing import Any, NamedTuple

from .. import books, inspect, ledger
from ..address import GPA, HPA, PAGE_SIZE
from ..errors import MemoryUnreadable
from ..guest import Guest
from ..image import Image
from ..image.types import Array, decode
from ..journal import Entry
from ..memory import PhysicalMemory
from ..paging import Mapping, TableFormat, leaves
from ..tables import Rights
from ..testbed import Testbed

_ADDRESSES = re.compile(r"address|output|entry|stage[12]_root|\w+_gpa")
"""Keys whose numbers are written in hexadecimal."""

LONGEST_LIST = 20_000
"""Lines of one account; tables that a test has ruined may have a million."""

_COUNTER = re.compile(r"\b(?:[RE]IP|PC|pc) *[= ] *([0-9a-f]{4,16})\b")
"""A program counter as `info registers` shows it, on any architecture."""

_REQUEST = re.compile(r"\*?(?:> )?((\d+) .+?)(?: \*\w+)?")
_REPLY = re.compile(r"\*?(< (\d+) .+?)(?: \*\w+)?")
"""Either may stand between the stars of a checksum (`wire.console`)."""


def lines(entries: Iterable[Entry]) -> str:
    """A log: one line an entry."""
    return "".join(f"{entry}\n" for entry in entries)


def requests(entries: Iterable[Entry]) -> str:
    """Each request on the console with its answer, and how long that took.

    Before the answer what an agent was asked by it, behind it what the agent reported.
    """
    told: dict[str, dict[str, str]] = {}
    asked: dict[str, float] = {}
    for entry in entries:
        if entry.wire == "agent":
            number, _, said = entry.text.partition(" ")
            if number in told:
                part = "work" if entry.way == ">" else "report"
                told[number][part] = f"{'':12} {said}\n"
        elif entry.way == ">" and (found := _REQUEST.fullmatch(entry.text)):
            line, number = found.groups()
            asked.setdefault(number, entry.seconds)  # it may have been sent again
            first = f"{asked[number]:12.6f} {line}\n"
            parts = {"line": first, "work": "", "answer": f"{'':12} no answer\n", "report": ""}
            told.setdefault(number, parts)
        elif entry.way == "<" and (found := _REPLY.fullmatch(entry.text)) and found[2] in told:
            took = (entry.seconds - asked[found[2]]) * 1000
            told[found[2]]["answer"] = f"{'':12} {found[1]}   ({took:.1f} ms)\n"
    lines = (line for parts in told.values() for line in parts.values())
    return "".join(lines) or "no request was made\n"


def registers(human: str, images: Iterable[Image]) -> str:
    """What the monitor says about every CPU, after where each of them is by name."""
    known = list(images)
    counters = [int(found, 16) for found in _COUNTER.findall(human)]
    named = [f"CPU {cpu} is at {at:#x}, {describe(at, known)}\n" for cpu, at in enumerate(counters)]
    return "".join(named) + "\n" + human.replace("\r", "")


def describe(address: int, images: Iterable[Image]) -> str:
    """The function and line of an address, by the first image that has code there."""
    for image in images:
        if image.function_of(address) is not None:
            return image.describe(address)
    return "in no image that is known"


class _Seen(NamedTuple):
    """A guest's memory as it sees it: physical memory behind its stage 2."""

    guest: Guest

    def read(self, address: HPA, length: int) -> bytes:
        found = bytearray()
        while len(found) < length:
            here = GPA(address + len(found))
            output = self.guest.stage2(here).output
            if output is None:
                raise MemoryUnreadable(HPA(here), length, "stage 2 maps no page at this GPA")
            size = min(length - len(found), PAGE_SIZE - here % PAGE_SIZE)
            found += self.guest.machine.memory.read(output, size)
        return bytes(found)

    def write(self, address: HPA, data: bytes) -> None:
        raise MemoryUnreadable(address, len(data), "evidence is not written to")


def _table(memory: PhysicalMemory, fmt: TableFormat, root: int) -> list[dict[str, Any]]:
    """The leaves, those that follow each other as one."""
    found: list[dict[str, Any]] = []
    for leaf in leaves(memory, fmt, HPA(root)):
        last = found[-1] if found else None
        rights = _rights(leaf.rights)
        if last is not None and _follows(last, leaf) and last["rights"] == rights:
            last["size"] += leaf.size
        else:
            found.append(
                {
                    "address": leaf.address,
                    "output": int(leaf.output),
                    "size": leaf.size,
                    "leaf": leaf.size,
                    "rights": rights,
                    "entry": leaf.entry,
                }
            )
    return found


def _follows(last: dict[str, Any], leaf: Mapping) -> bool:
    size = last["size"]
    ends = last["address"] + size, last["output"] + size, last["leaf"]
    return ends == (leaf.address, leaf.output, leaf.size)


@cache
def _rights(rights: Rights) -> str:
    names = ("READ", "WRITE", "EXECUTE")
    held = {right.name for right in rights}
    return "".join(name[0].lower().replace("e", "x") if name in held else "-" for name in names)


def guest_tables(guest: Guest) -> dict[str, Any]:
    """Both stages of a guest. Raises MemoryUnreadable, and ValueError for a root that is none."""
    arch, memory = guest.machine.arch, guest.machine.memory
    return {
        "vm": guest.vm,
        "where": [f"guest {vcpu.name}: {vcpu.where()}" for vcpu in guest.vcpus],
        "stage1_root": int(guest.stage1_root),
        "stage2_root": int(guest.stage2_root),
        "stage1": _table(_Seen(guest), arch.stage1, guest.stage1_root),
        "stage2": _table(memory, arch.stage2, guest.stage2_root),
    }


def as_json(found: Any) -> str:
    """Tables or records for programs; addresses are hexadecimal strings, as in all our JSON."""
    return json.dumps(_in_hex(found), indent=1) + "\n"


def _in_hex(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        # An address may be a structure around its one number.
        inner = key if _ADDRESSES.fullmatch(key) else ""
        return {name: _in_hex(held, inner or name) for name, held in value.items()}
    if isinstance(value, list):
        return [_in_hex(held) for held in value]
    return f"{value:#x}" if isinstance(value, int) and _ADDRESSES.fullmatch(key) else value


def guest_text(tables: dict[str, Any]) -> str:
    """The same to be read; the entry is the first of its run."""
    told = [*tables["where"]]
    for stage, what in ((1, "GVA -> GPA"), (2, "GPA -> HPA")):
        root = tables[f"stage{stage}_root"]
        told += ["", f"stage {stage}, {what}, root {root:#x}"]
        for run in tables[f"stage{stage}"][:LONGEST_LIST]:
            last, leaf = run["address"] + run["size"] - 1, run["leaf"] // 1024
            told.append(
                f"  {run['address']:#014x}-{last:#014x} -> {run['output']:#014x} {run['rights']} "
                f"{run['size'] // run['leaf']:5} of {leaf} KiB   entry {run['entry']:#018x}"
            )
    return "".join(f"{line}\n" for line in told)


def frame_runs(bed: Testbed) -> list[dict[str, Any]]:
    """The hypervisor's record of every frame; equal ones that follow each other as one.

    What a record says about pages may count up from frame to frame within a run.
    """
    kinds = {number: name for name, number in bed.machine.image.enum("frame_kind").items()}
    _, frames = bed.machine.image.variable("frames")
    assert isinstance(frames, Array)
    content, size = bed.firmware.read_bytes("frames"), frames.element.size
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    # Of thousands most are equal: one of each is taken apart.
    records: dict[bytes, Any] = {it: decode(frames.element, it) for it in set(pieces)}
    of_pages = {it: tuple(_flat(record)) for it, record in records.items() if _has_page(record)}
    runs = []
    for _, group in groupby(enumerate(pieces), key=lambda it: _alike(it[0], it[1], of_pages)):
        (first, piece), *rest = group
        kind = records[piece]["kind"]
        record = {**records[piece], "kind": kinds.get(kind, kind)}
        runs.append({"first": first, "count": 1 + len(rest), **record})
    return runs


def doubts(bed: Testbed) -> str:
    """Where records and stage-2 tables do not say the same, a line each."""
    machine = bed.machine
    base, size = machine.arch.ram_base, bed.firmware.size("frames[0]")
    ends = base + bed.firmware.size("frames") // size * PAGE_SIZE
    known = books.records(bed.firmware, machine)
    records = {
        frame: _as_inspected(known.get(frame, ledger.NOBODY))
        for frame in map(HPA, range(base, ends, PAGE_SIZE))
    }
    system = inspect.System(machine.arch, machine.memory, bed.firmware)
    found = islice(inspect.doubts(system, records), LONGEST_LIST)
    return "".join(f"frame {frame:#x}: {doubt}\n" for frame, doubt in found) or "there is none\n"


def _as_inspected(record: ledger.Record) -> inspect.Record:
    kind = record.kind.name.lower()
    return inspect.Record(
        kind, record.owner, record.borrower, record.owner_gpa, record.borrower_gpa
    )


def handed_out(runs: list[dict[str, Any]]) -> int:
    """Bytes of RAM up to the last frame that is anybody's but the hypervisor's; 0 if none is."""
    ends = [it["first"] + it["count"] for it in runs if it["kind"] != "FRAME_HYPERVISOR"]
    return max(ends, default=0) * PAGE_SIZE


def _has_page(record: dict[str, Any]) -> bool:
    return any(name.endswith("_gpa") and value for name, value in _flat(record))


def _alike(number: int, piece: bytes, of_pages: dict[bytes, tuple[tuple[str, Any], ...]]) -> Any:
    """Equal for records that a run may hold: a page's address less the frame's."""
    if piece not in of_pages:
        return piece
    return tuple(
        value - number * PAGE_SIZE if name.endswith("_gpa") and value else value
        for name, value in of_pages[piece]
    )


def _flat(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The numbers of a record; `owner_gpa` may be a structure around its one number."""
    for name, value in record.items():
        if isinstance(value, dict):
            for _, inner in _flat(value):
                yield f"{prefix}{name}", inner
        else:
            yield f"{prefix}{name}", value


def frame_text(runs: list[dict[str, Any]], base: HPA) -> str:
    """The same to be read."""
    told = []
    for run in runs[:LONGEST_LIST]:
        start = base + run["first"] * PAGE_SIZE
        said = [
            f"{name}={value:#x}" if name.endswith("_gpa") else f"{name}={value}"
            for name, value in _flat(run)
            if name not in ("first", "count")
        ]
        told.append(
            f"{start:#012x} {run['count']:6} frames from {run['first']:6}  {' '.join(said)}"
        )
    return "".join(f"{line}\n" for line in told)
