"""What the bench itself costs: `make bench`, measured with idle guests and one worker.

Two things that are compared are measured in turn within one run.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from time import perf_counter
from typing import Any

from .. import arch as architectures
from ..abi import Command, Operation
from ..address import PAGE_SIZE
from ..channel import Channel
from ..child import Child
from ..debugger import Debugger
from ..debugger.core import PROGRAM as GDB
from ..emulator import find_program
from ..errors import DebuggerError, HarnessError
from ..guest import ping
from ..image import Image
from ..machine import ICOUNT, RAM, Machine
from ..testbed import Door, Testbed, firmware_directory, require_firmware
from .figures import (
    MICROSECOND,
    MILLISECOND,
    Bench,
    Figure,
    Spread,
    difference,
    interleaved,
    ratio,
    timed,
)
from .packets import physical_memory

Progress = Callable[[str], None]

GOAL_START = 3.0
"""Times QEMU's own start. This and the goals below are for a quiet two-core machine."""
GOAL_RESTORE = 15.0
GOAL_CONSOLE = 2.0
GOAL_GDB = 5.0
GOAL_GDB_COMMAND = 0.2
"""Milliseconds."""
GOAL_FRAME = 5.0
GOAL_PAGE = 50.0
"""Microseconds."""
GOAL_FASTER = 50.0

BATCH = 200
"""Calls timed together, of what takes less than the clock is good for."""
EXPRESSION = "-data-evaluate-expression 1"
"""An MI command for which gdb asks nobody."""


def run(arch: str, progress: Progress, *, rounds: int = 20, cpus: int = 1, **machine: Any) -> Bench:
    """Measure everything. `rounds` of what is slow, more of the rest; `machine` as `Testbed.start`.

    Raises HarnessError when the bench fails.
    """
    load = os.getloadavg()[0]
    progress(f"{arch}: starting machines")
    figures = [*_starts(arch, rounds, cpus=cpus, **machine)]
    with Testbed.start(arch, cpus=cpus, **machine) as bed:
        version = bed.machine.qemu_version
        progress(f"{arch}: restoring")
        restored = timed(bed.restore, MILLISECOND, 2 * rounds)
        figures.append(
            Figure("restore, both guests answer", "ms", Spread.of(restored), GOAL_RESTORE)
        )
        progress(f"{arch}: asking")
        figures += _requests(bed, rounds)
        progress(f"{arch}: reading memory")
        figures += _memory(bed, rounds)
    progress(f"{arch}: counting instructions, one CPU under icount")
    figures += _instructions(arch, rounds, **machine)
    return Bench(arch, version, cpus, os.cpu_count() or 1, load, tuple(figures))


# Starting


def _starts(arch: str, rounds: int, *, cpus: int, **machine: Any) -> Iterator[Figure]:
    qemu, ready = [], []
    for _ in range(rounds):
        qemu.append(_start_qemu(arch, cpus, machine.get("qemu")) / MILLISECOND)
        ready.append(_start_ready(arch, cpus=cpus, **machine) / MILLISECOND)
    yield Figure("QEMU's own start, spawn to QMP", "ms", Spread.of(qemu))
    yield Figure("start, spawn to guests ready", "ms", Spread.of(ready))
    yield Figure("ready over QEMU's own start", "times", ratio(ready, qemu), GOAL_START)


def _start_qemu(arch: str, cpus: int, qemu: str | None) -> float:
    """Seconds until a stopped QEMU with the same board and CPUs greets, and nothing else."""
    found = architectures.get(arch)
    program = find_program(found, qemu)
    kernel = require_firmware(firmware_directory(arch), arch) / "hypervisor.elf"
    here, there = socket.socketpair()
    with closing(here), closing(there), open(os.devnull, "r+b") as nothing:
        chardev = f"socket,id=monitor,fd={there.fileno()}"
        command = [
            *(program, "-S", "-no-user-config", "-nodefaults", "-display", "none"),
            *("-accel", "tcg", *found.machine_args, "-smp", str(cpus), "-m", f"{RAM}B"),
            *("-kernel", str(kernel)),
            *("-chardev", chardev, "-mon", "chardev=monitor,mode=control"),
        ]
        started = perf_counter()
        streams = {"stdin": nothing.fileno(), "stdout": nothing.fileno()}
        child = Child(Channel(), command, **streams, fds=[there.fileno()], exited=lambda *_: None)
        with closing(child):
            there.close()
            if b"QMP" not in here.recv(1 << 12):
                raise HarnessError(f"QEMU does not start: {child.stderr}")
            return perf_counter() - started


def _start_ready(arch: str, **machine: Any) -> float:
    """Seconds until both guests have answered. The snapshot afterwards is no part of it."""
    directory = firmware_directory(arch)
    agent = Image.load(directory / "agent.elf")
    started = perf_counter()
    with Machine(architectures.get(arch), directory / "hypervisor.elf", **machine) as booted:
        bed = Testbed(booted, agent)
        booted.cont()
        booted.console.await_log(f"pageferry {arch} ready")
        ping(bed.guests)
        return perf_counter() - started


# Requests


def _requests(bed: Testbed, rounds: int) -> Iterator[Figure]:
    console = timed(_remap_to_and_fro(bed, Door.CONSOLE), MILLISECOND, 5 * rounds)
    yield Figure("remap, asked for on the console", "ms", Spread.of(console), GOAL_CONSOLE)
    ping = timed(bed.guests[0].ping, MILLISECOND, 5 * rounds)
    yield Figure("ping of a guest, by the console", "ms", Spread.of(ping))
    if shutil.which(GDB) is None:
        for name, goal in (("remap, asked for by gdb", GOAL_GDB), ("gdb command", None)):
            yield Figure(name, "ms", None, goal, why=f"no {GDB}")
        return
    with bed.machine.debugger() as debugger:
        by_gdb = timed(_remap_to_and_fro(bed, Door.GDB), MILLISECOND, 2 * rounds)
        yield Figure("remap, asked for by gdb", "ms", Spread.of(by_gdb), GOAL_GDB)
        yield from _gdb_commands(debugger, rounds)


def _remap_to_and_fro(bed: Testbed, door: Door) -> Callable[[], object]:
    """A page that changes hands between two windows, once for each call."""
    here, there = bed.guests
    bed.restore()
    bed.remap(here, here.page(0), there, there.window(0), door)
    ends = [(there, there.window(0)), (here, here.window(0))]

    def remap() -> object:
        answer = bed.remap(*ends[0], *ends[1], door)
        ends.reverse()
        return answer

    return remap


def _gdb_commands(debugger: Debugger, rounds: int) -> Iterator[Figure]:
    with _gdb_alone() as alone:
        calls = [lambda: debugger.execute(EXPRESSION), alone]
        ours, own = interleaved(calls, MILLISECOND, 5 * rounds, batch=10)
    yield Figure("gdb command", "ms", Spread.of(ours))
    yield Figure("the same, gdb's own time", "ms", Spread.of(own))
    extra = difference(ours, own)
    yield Figure("what the harness adds to that", "ms", extra, GOAL_GDB_COMMAND)


@contextmanager
def _gdb_alone() -> Iterator[Callable[[], object]]:
    """A gdb at the end of two pipes, and nothing between."""
    command = [GDB, "-nx", "-q", "--interpreter=mi3"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        feed, output = process.stdin, process.stdout

        def execute() -> None:
            feed.write(f"{EXPRESSION}\n".encode())
            feed.flush()
            while not output.readline().startswith(b"^done"):
                if process.poll() is not None:
                    raise DebuggerError("gdb ended")

        try:
            yield execute
        finally:
            process.kill()


# Memory


def _memory(bed: Testbed, rounds: int) -> Iterator[Figure]:
    bed.restore()
    guest, machine = bed.guests[0], bed.machine
    frame = guest.stage2(guest.page(0)).output
    assert frame is not None

    def shared() -> bytes:
        return machine.memory.read(frame, PAGE_SIZE)

    page = timed(lambda: guest.bytes_at(guest.page(0)), MICROSECOND, 5 * rounds, BATCH)
    read = timed(shared, MICROSECOND, 5 * rounds, BATCH)
    yield Figure("4 KiB of physical memory, shared", "us", Spread.of(read), GOAL_FRAME)
    yield Figure("page of a guest, walk included", "us", Spread.of(page), GOAL_PAGE)
    if shutil.which(GDB) is not None:
        with machine.debugger() as debugger:
            debugger.interrupt()
            by_gdb = timed(lambda: debugger.memory.read(frame, PAGE_SIZE), MICROSECOND, 5 * rounds)
        yield Figure("the same by gdb", "us", Spread.of(by_gdb))
    machine.stop()
    with physical_memory(machine.listen_for_debugger()) as packets:
        calls = [lambda: packets.read(frame, PAGE_SIZE), shared]
        slow, fast = interleaved(calls, MICROSECOND, 5 * rounds, batch=BATCH // 4)
    yield Figure("the same by gdb's packets, no gdb", "us", Spread.of(slow))
    yield Figure("packets over shared RAM", "times", ratio(slow, fast), GOAL_FASTER, True)


# Instructions


def _instructions(arch: str, rounds: int, **machine: Any) -> Iterator[Figure]:
    with Testbed.start(arch, icount=True, **machine) as bed:
        remap, copy = _hypercalls(bed, rounds, Operation.REMAP, Operation.COPY)
        own = _own_copies(bed, rounds)
    unit, goal = "instr", architectures.get(arch).remap_goal
    yield Figure("remap, as the guest sees it", unit, Spread.of(remap), goal)
    yield _on_three_cpus(arch, rounds, **machine)
    yield Figure("copy by the hypervisor, likewise", unit, Spread.of(copy))
    why = "" if own else "no such command"
    yield Figure("copy of the page by the guest", unit, Spread.of(own) if own else None, why=why)


def _on_three_cpus(arch: str, rounds: int, **machine: Any) -> Figure:
    name, unit = "the same on three CPUs, in turns", "instr"
    if not architectures.get(arch).icount_in_turns:
        return Figure(name, unit, None, why="a CPU would spin its turn away")
    with Testbed.start(arch, cpus=3, extra_args=ICOUNT, **machine) as bed:
        (remap,) = _hypercalls(bed, rounds, Operation.REMAP)
    return Figure(name, unit, Spread.of(remap))


def _hypercalls(bed: Testbed, rounds: int, *operations: Operation) -> list[list[float]]:
    """Instructions of each operation by the guest's own counter, with tables that exist."""
    source, target = bed.guests
    bed.remap(source, source.page(0), target, target.window(0))  # makes the tables
    counts: list[list[float]] = [[] for _ in operations]
    place = 0
    for _ in range(rounds):
        for operation, samples in zip(operations, counts, strict=True):
            place += 1
            gpa, to = source.page(place), target.window(place)
            _, report = source.hypercall(operation, gpa, target.vm, to)
            samples.append(report.instructions)
    return counts


def _own_copies(bed: Testbed, rounds: int) -> list[float]:
    """The guest copies a page to another of its own, word by word."""
    command = Command.__members__.get("COPY")
    if command is None:
        return []
    guest = bed.guests[0]
    pages = [guest.gva(guest.page(number)) for number in (200, 201)]
    return [guest.ask(command, *pages).instructions for _ in range(rounds)]
