"""`pageferry console`: a machine whose console a person types on."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from .. import arch as architectures
from ..errors import ChannelClosed, HarnessError
from ..machine import Machine
from ..manifest import FOLDER

FOREVER = 1e9
"""Seconds: a person may take their time."""

LAST = 1 << 62
"""The number of the request behind all that was typed: none that a person would choose."""

HINT = "Type a request, 1 help for example. Ctrl-D ends it. Other shells: pageferry inspect guests"


def run(arch: str, kernel: Path, **machine: Any) -> None:
    """Boot, show what the machine writes, send it the lines of standard input.

    Ends with the input, once everything typed was answered, and at once with Ctrl-C, or
    with the OSError if its output cannot be written. Meanwhile tools find the machine.
    Arguments as `Machine`.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # it is a line that is refused
    with Machine(architectures.get(arch), kernel, manifests=FOLDER, **machine) as booted:
        lost: list[OSError] = []
        printer = threading.Thread(target=_show, args=(booted, lost), daemon=True)
        with suppress(KeyboardInterrupt):
            printer.start()
            booted.cont()
            booted.console.await_log(f"pageferry {arch} ready")
            print(HINT, file=sys.stderr)
            for line in sys.stdin or ():  # closed: the input has ended
                _send(booted, line.rstrip("\n"))
            _await_answers(booted)
            printer.join()
        if lost:
            raise lost[0]


def _send(machine: Machine, line: str) -> None:
    """A line, or to the error stream why it is none."""
    try:
        machine.console.send_line(line)
    except UnicodeEncodeError:
        data = line.encode(errors="surrogateescape")
        print(f"not sent, for it is no UTF-8: {data!r}", file=sys.stderr)
    except ValueError as error:
        print(f"not sent: {error}", file=sys.stderr)


def _await_answers(machine: Machine) -> None:
    """Requests are answered in turn: with one more, all before it were."""
    machine.console.send_line(f"{LAST} end")

    def answered() -> bool | None:
        return any(map(_is_last, machine.console.lines)) or None

    machine.channel.await_fact(answered, "the answer to the last line")


def _is_last(line: str) -> bool:
    return line.startswith(f"< {LAST} ")


def _show(machine: Machine, lost: list[OSError]) -> None:
    """Print line by line until all is answered or the machine is gone.

    What prevents it is put into `lost`, and is Ctrl-C to whoever waits for more input.
    """
    try:
        while not _is_last(line := machine.console.expect(r"[^\r\n]*\r?\n", FOREVER).group()):
            print(line.rstrip(), flush=True)
    except ChannelClosed:
        return
    except HarnessError as end:
        print(end, file=sys.stderr)
    except OSError as error:
        lost.append(error)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
