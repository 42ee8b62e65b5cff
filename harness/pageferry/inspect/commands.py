"""Command lines about a system: the same in gdb (`hv owner 0x500000`) and in a shell."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ..address import GVA, HPA
from ..errors import HarnessError
from . import render, views
from .system import System

USAGE = """\
guests               every guest: its root tables, and its vCPUs with the program counter
                     where each last left its CPU, which --json calls "counter"
walk GUEST ADDRESS   a guest-virtual address through both stages; level 0 is the leaf
owner ADDRESS        who has the frame at a host-physical address
map GUEST            what stage 2 maps; --stage 1: the guest's own tables
diff GUEST FILE      what has changed since `map GUEST --json` was written to FILE
x GUEST:ADDRESS [N]  N 64-bit words at a guest-virtual address
"""

WORDS = 8
"""64-bit words that `x` shows unless told."""

_WORDS_LIMIT = (1 << 64) // 8
"""So many fill the address space. In gdb -1 is a larger number."""

_GUEST = re.compile(r"g?(\d+)")
Number = Callable[[str], int]


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the process, which is gdb's."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and what there is."""
        raise HarnessError(f"{message}\n\n{USAGE}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Reached by --help only, which there is none of."""
        raise HarnessError(message or USAGE)


def _parser(number: Number) -> argparse.ArgumentParser:
    parser = _Parser(prog="hv", add_help=False)
    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def add(name: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[common], add_help=False)

    add("guests")
    walk = add("walk")
    walk.add_argument("guest", type=_guest)
    walk.add_argument("address", type=number)
    add("owner").add_argument("address", type=number)
    for map_ in (add("map"), diff := add("diff")):
        map_.add_argument("guest", type=_guest)
        map_.add_argument("--stage", type=int, choices=(1, 2), default=2)
    diff.add_argument("file", type=Path)
    words = add("x")
    words.add_argument("place", type=partial(_place, number))
    words.add_argument("count", nargs="?", type=partial(_count, number), default=WORDS)
    return parser


def _plain(text: str) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        raise HarnessError(f"{text!r} is no number, as 4096 or 0x1000") from None
    if not 0 <= number < 1 << 64:
        raise HarnessError(f"{text} is no number of 64 bits without a sign")
    return number


def _guest(text: str) -> int:
    found = _GUEST.fullmatch(text)
    if found is None:
        raise HarnessError(f"{text!r} is no guest: say g1, or 1")
    return int(found[1])


def _place(number: Number, text: str) -> tuple[int, GVA]:
    guest, colon, place = text.partition(":")
    if not colon:
        raise HarnessError(f"{text!r} is no place in a guest, as g1:0x60000000")
    return _guest(guest), GVA(number(place))


def _count(number: Number, text: str) -> int:
    if (found := number(text)) not in range(1, _WORDS_LIMIT):
        raise HarnessError(f"{text} words are none to show: 1 or more")
    return found


def parse(arguments: Sequence[str], number: Number = _plain) -> argparse.Namespace:
    """What a command line asks, for `answer`.

    number  makes an address of its text

    Raises HarnessError for a command that there is not.
    """
    return _parser(number).parse_args(list(arguments))


def answer(system: System, question: argparse.Namespace) -> str:
    """What to print. Raises what the views raise."""
    found, text = _COMMANDS[question.command](system, question)
    return json.dumps(found, indent=2) if question.json else text


def run(system: System, arguments: Sequence[str], number: Number = _plain) -> str:
    """Do what a command line says; what to print. Raises what `parse` and `answer` do."""
    return answer(system, parse(arguments, number))


def _guests(system: System, _: argparse.Namespace) -> tuple[Any, str]:
    found = views.guests(system)
    return render.guests_json(found), render.guests_text(found)


def _walk(system: System, asked: argparse.Namespace) -> tuple[Any, str]:
    way = views.walk(system, asked.guest, GVA(asked.address))
    return render.walk_json(asked.guest, way), render.walk_text(asked.guest, way)


def _owner(system: System, asked: argparse.Namespace) -> tuple[Any, str]:
    found = views.owner(system, HPA(asked.address))
    return render.owner_json(found), render.owner_text(found)


def _map(system: System, asked: argparse.Namespace) -> tuple[Any, str]:
    found = views.map_of(system, asked.guest, asked.stage)
    return render.map_json(asked.guest, asked.stage, found), render.map_text(found)


def _diff(system: System, asked: argparse.Namespace) -> tuple[Any, str]:
    try:
        vm, stage, before = render.map_of_json(asked.file.read_text())
    except (OSError, ValueError) as error:
        why = f"{asked.file} has no map, as `map g{asked.guest} --json` writes it: {error}"
        raise HarnessError(why) from None
    if (vm, stage) != (asked.guest, asked.stage):
        why = f"stage {stage} of g{vm}, not of stage {asked.stage} of g{asked.guest}"
        raise HarnessError(f"{asked.file} has the map of {why}")
    found = views.diff(before, views.map_of(system, vm, stage))
    return render.diff_json(found), render.diff_text(found)


def _words(system: System, asked: argparse.Namespace) -> tuple[Any, str]:
    vm, start = asked.place
    data = views.bytes_at(system, vm, start, 8 * asked.count)
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    found = {"vm": vm, "gva": f"{start:#x}", "words": [f"{word:#x}" for word in words]}
    return found, render.words_text(start, words)


_COMMANDS: dict[str, Callable[[System, argparse.Namespace], tuple[Any, str]]] = {
    "guests": _guests,
    "walk": _walk,
    "owner": _owner,
    "map": _map,
    "diff": _diff,
    "x": _words,
}
