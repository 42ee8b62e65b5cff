"""`pageferry console`: a machine whose console a person types on."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from .. import arch as architectures
from ..errors import ChannelClosed, HarnessError
from ..machine import Machine

FOREVER = 1e9
"""Seconds: a person may take their time."""


def run(arch: str, kernel: Path, **machine: Any) -> None:
    """Boot, show what the machine writes, send it the lines of standard input.

    Ends with the input, once everything typed was answered. Arguments as `Machine`.
    """
    with Machine(architectures.get(arch), kernel, **machine) as booted:
        printer = threading.Thread(target=_show, args=(booted,), daemon=True)
        printer.start()
        booted.cont()
        booted.console.await_log(f"pageferry {arch} ready")
        for line in sys.stdin:
            booted.console.send_line(line.rstrip("\n"))
        booted.console.request("help")
    printer.join()


def _show(machine: Machine) -> None:
    """Print line by line until the machine is gone."""
    try:
        while True:
            line = machine.console.expect(r"[^\r\n]*\r?\n", FOREVER).group()
            print(line.rstrip(), flush=True)
    except ChannelClosed:
        return
    except HarnessError as end:
        print(end, file=sys.stderr)
