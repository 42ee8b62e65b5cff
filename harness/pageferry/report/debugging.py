"""`pageferry debug`: a machine, and a person in gdb in front of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from .. import arch as architectures
from ..child import die_with
from ..debugger.core import PROGRAM
from ..debugger.process import PATIENCE
from ..errors import DebuggerError
from ..machine import Machine
from ..manifest import FOLDER, find
from ..testbed import firmware_directory, require_firmware

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "pageferry-gdb.py"
"""What makes gdb know `hv`. It stays in the checkout, beside the package."""

REQUIRE_MACHINE = (
    'python gdb.selected_thread() or (gdb.write("gdb has no machine to show\\n", gdb.STDERR), '
    'gdb.execute("quit 2"))'
)
"""For gdb, after connecting. If that failed it would show what the ELF file has, with status 0."""


def arguments(kernel: Path | str, connection: str, note: str, more: Sequence[str]) -> list[str]:
    """gdb's command line: the kernel's symbols, its agent's if it has one, the machine, `hv`."""
    agent = Path(kernel).with_name("agent.elf")
    lines = [
        *([f"add-symbol-file {agent}"] if agent.is_file() else []),
        f"target remote {connection}",
        REQUIRE_MACHINE,
        f"source {SCRIPT}",
        f"echo \\n{note}\\n",
    ]
    settings = ("confirm off", "osabi none", "auto-load off", PATIENCE)
    return [
        *(PROGRAM, "-q", "-nx"),
        *(word for setting in settings for word in ("-iex", f"set {setting}")),
        str(kernel),
        *(word for line in lines for word in ("-ex", line)),
        *more,
    ]


def start(arch: str, cpus: int, qemu: str | None, more: Sequence[str]) -> int:
    """Start our firmware, stopped before its first instruction, with gdb; gdb's status.

    Raises HarnessError. The machine ends with gdb.
    """
    kernel = require_firmware(firmware_directory(arch), arch) / "hypervisor.elf"
    log = FOLDER / arch / "console.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    machine = Machine(
        architectures.get(arch),
        kernel,
        cpus=cpus,
        qemu=qemu,
        console_log=log,
        manifests=FOLDER,
    )
    with machine:
        note = f"Nothing has run yet: continue, then Ctrl-C. hv help. Console: {log}"
        return hand_over(arguments(kernel, machine.listen_for_debugger(), note, more))


def attach(name: str | None, arch: str | None, more: Sequence[str]) -> int:
    """gdb on a machine that runs already, found by its manifest; it is stopped for that."""
    machine = find(name, arch=arch)
    connection = str(machine.descriptor(machine.debugger))
    note = f"{machine.id} was stopped for you, and goes on when you leave. hv help."
    return hand_over(arguments(machine.kernel, connection, note, more))


def hand_over(command: Sequence[str]) -> int:
    """Give gdb this terminal until it ends."""
    die = partial(die_with, os.getpid())
    nothing = (
        subprocess.DEVNULL if sys.stdin is None else None
    )  # closed: gdb reads a pipe of its own
    try:
        gdb = subprocess.Popen(command, stdin=nothing, preexec_fn=die)
    except OSError as error:
        raise DebuggerError(f"cannot start {command[0]}: {error.strerror}") from error
    with gdb, _deaf_to_ctrl_c():
        return gdb.wait()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """It is gdb's: there it stops the machine."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
