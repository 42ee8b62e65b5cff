"""Command lines about a system: the same in gdb (`hv owner 0x500000`) and in a shell."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..address import GVA, HPA
from ..errors import HarnessError
from . import render, views
from .system import System

USAGE = """\
guests               every guest: its vCPUs, where they are, its root tables
walk GUEST ADDRESS   a guest-virtual address through both stages
owner ADDRESS        who has the frame at a host-physical address
map GUEST            what stage 2 maps; --stage 1: the guest's own tables
diff GUEST FILE      what has changed since `map GUEST --json` was written to FILE
x GUEST:ADDRESS [N]  N 64-bit words at a guest-virtual address
"""

WORDS = 8
"""64-bit words that `x` shows unless told."""

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


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hv", add_help=False)
    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def add(name: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[common], add_help=False)

    add("guests")
    walk = add("walk")
    walk.add_argument("guest")
    walk.add_argument("address")
    add("owner").add_argument("address")
    for map_ in (add("map"), diff := add("diff")):
        map_.add_argument("guest")
        map_.add_argument("--stage", type=int, choices=(1, 2), default=2)
    diff.add_argument("file", type=Path)
    words = add("x")
    words.add_argument("place")
    words.add_argument("count", nargs="?", default=str(WORDS))
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
        raise HarnessError(f"{text!r} is no guest, as g1")
    return int(found[1])


def run(system: System, arguments: Sequence[str], number: Number = _plain) -> str:
    """Do what a command line says; what to print.

    number  makes an address of its text

    Raises HarnessError for a command that there is not, and what the views raise.
    """
    options = _parser().parse_args(list(arguments))
    answer, text = _COMMANDS[options.command](system, options, number)
    return json.dumps(answer, indent=2) if options.json else text


def _guests(system: System, _: argparse.Namespace, __: Number) -> tuple[Any, str]:
    found = views.guests(system)
    return render.guests_json(found), render.guests_text(found)


def _walk(system: System, options: argparse.Namespace, number: Number) -> tuple[Any, str]:
    vm = _guest(options.guest)
    way = views.walk(system, vm, GVA(number(options.address)))
    return render.walk_json(vm, way), render.walk_text(vm, way)


def _owner(system: System, options: argparse.Namespace, number: Number) -> tuple[Any, str]:
    found = views.owner(system, HPA(number(options.address)))
    return render.owner_json(found), render.owner_text(found)


def _map(system: System, options: argparse.Namespace, _: Number) -> tuple[Any, str]:
    found = views.map_of(system, _guest(options.guest), options.stage)
    return render.map_json(found), render.map_text(found)


def _diff(system: System, options: argparse.Namespace, _: Number) -> tuple[Any, str]:
    try:
        before = render.map_of_json(options.file.read_text())
    except (OSError, ValueError) as error:
        why = f"{options.file} has no map, as `map {options.guest} --json` writes it: {error}"
        raise HarnessError(why) from None
    found = views.diff(before, views.map_of(system, _guest(options.guest), options.stage))
    return render.diff_json(found), render.diff_text(found)


def _words(system: System, options: argparse.Namespace, number: Number) -> tuple[Any, str]:
    guest, colon, place = options.place.partition(":")
    if not colon:
        raise HarnessError(f"{options.place!r} is no place in a guest, as g1:0x60000000")
    vm, start, count = _guest(guest), number(place), number(options.count)
    if count < 1:
        raise HarnessError(f"{options.count} words are none to show: 1 or more")
    data = views.bytes_at(system, vm, GVA(start), 8 * count)
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    answer = {"vm": vm, "gva": f"{start:#x}", "words": [f"{word:#x}" for word in words]}
    return answer, render.words_text(start, words)


_COMMANDS: dict[str, Callable[[System, argparse.Namespace, Number], tuple[Any, str]]] = {
    "guests": _guests,
    "walk": _walk,
    "owner": _owner,
    "map": _map,
    "diff": _diff,
    "x": _words,
}
