"""Ctrl-C at any moment of a start, and forks: nothing is left behind, nothing is hurt."""

import os
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import pageferry
from pageferry import Machine, Testbed
from pageferry import arch as architectures
from pageferry import pool as pool_module
from pageferry.abi import Operation
from pageferry.errors import ChannelClosed, MonitorError
from pageferry.pool import Pool
from pageferry.settings import Settings
from pageferry.testbed import Door

LONG = 60.0
AT_ONCE = 10.0
POLL = 0.001
SOURCES = str(Path(pageferry.__file__).parent)
Moment = tuple[str, int, str]
"""File, line and kind of a trace event: a line begins, or a function returns."""


def left() -> tuple[list[str], list[str]]:
    """What this process has open, but for the listing itself, and its children."""
    found = [path for path in Path("/proc/self/fd").iterdir() if path.exists()]
    tasks = Path("/proc/self/task").glob("*/children")
    children = [pid for task in tasks for pid in task.read_text().split()]
    return sorted(f"{path.name} {os.readlink(path)}" for path in found), children


class Trace:
    """Notes the moments that this thread comes through in these files of our own.

    With `at`, KeyboardInterrupt is raised at that one. Not when `__enter__` has returned:
    from there to its block the interpreter handles no signal.
    """

    def __init__(self, at: Moment | None = None, files: str = SOURCES) -> None:
        self.at = at
        self.files = files
        self.moments: dict[Moment, None] = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(self.files):
            return None
        if event == "line" or (event == "return" and code.co_name != "__enter__"):
            moment = (code.co_filename, frame.f_lineno, event)
            self.moments[moment] = None
            if moment == self.at:
                self.at = None
                raise KeyboardInterrupt
        return self

    def during(self, work: Callable[[], object]) -> None:
        """Do it under this trace."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            work()
        finally:
            sys.settrace(before)

    def enter(self, machine: Machine) -> None:
        """Enter the machine under this trace, and close it if that worked."""
        self.during(machine.__enter__)
        machine.close()


@pytest.fixture
def turn(arch: str, pageferry_settings: Settings) -> slice:
    """Which moments are this architecture's: the code is one, so they take turns at it."""
    names = pageferry_settings.arch
    return slice(names.index(arch), None, len(names))


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_ctrl_c_at_any_moment_of_a_start_leaves_nothing(
    machine: Machine, arch: str, parrot: Path, turn: slice
) -> None:
    seen = Trace()
    seen.enter(Machine(architectures.get(arch), parrot))
    before = left()
    leaks = []
    for moment in list(seen.moments)[turn]:
        with suppress(KeyboardInterrupt):
            Trace(moment).enter(Machine(architectures.get(arch), parrot))
        if left() != before:
            leaks.append(moment)
            before = left()
    assert len(seen.moments) > 50
    assert leaks == []


def test_ctrl_c_at_any_moment_of_a_check_out_leaves_nothing_once_the_pool_is_closed(
    machine: Machine,
    pageferry_settings: Settings,
    arch: str,
    parrot: Path,
    tmp_path: Path,
    turn: slice,
) -> None:
    def check_out(trace: Trace) -> None:
        with closing(Pool(settings, tmp_path)) as pool, suppress(KeyboardInterrupt):
            pool.begin("a test", {"arch": arch})
            trace.during(lambda: pool.check_out_machine(parrot))

    settings = replace(pageferry_settings, target="qemu")
    seen = Trace(files=pool_module.__file__)
    check_out(seen)
    before = left()
    leaks = []
    for moment in list(seen.moments)[turn]:
        check_out(Trace(moment, pool_module.__file__))
        if left() != before:
            leaks.append(moment)
            before = left()
    assert len(seen.moments) > 20
    assert leaks == []


def test_ctrl_c_in_the_middle_of_a_restore_ends_every_wait_until_the_next_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    machine.snapshot("one")
    with monkeypatch.context() as patch:
        patch.setattr(machine._snapshots, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            machine.restore("one")
    with pytest.raises(MonitorError, match="the machine is in no defined state"):
        machine.console.request("hello", LONG)
    machine.restore("one")
    machine.console.request("hello", LONG)


def interrupt_at_moments_of(
    ask: Callable[[], object], turn: slice, state: Callable[[], object]
) -> list[tuple[Moment, object]]:
    """The moments after which a Ctrl-C leaves another state than it was."""
    ask()  # what is done once is done
    before = state()
    seen = Trace()
    seen.during(ask)
    assert len(seen.moments) > 100
    changes = []
    for moment in list(seen.moments)[turn]:
        with suppress(KeyboardInterrupt):
            Trace(moment).during(ask)
        if (after := state()) != before:
            changes.append((moment, after))
    return changes


def running(bed: Testbed) -> bool:
    """Whether the machine runs, as gdb says, once QEMU says the same."""
    gdb = bed.machine.debugger()

    def agreed() -> bool | None:
        return bed.machine.runs is gdb.running or None

    bed.machine.await_fact(agreed, "QEMU to do what gdb says", AT_ONCE, every=POLL)
    return gdb.running


@pytest.mark.parametrize("runs", [True, False], ids=["runs", "stands"])
def test_a_machine_runs_or_stands_as_before_after_ctrl_c_at_any_moment_of_a_request_by_gdb(
    bed: Testbed, turn: slice, runs: bool
) -> None:
    gdb = bed.machine.debugger()
    if not runs:
        gdb.interrupt()

    def state() -> object:
        return running(bed), gdb.execute_standing("-break-list")["BreakpointTable"]["body"]

    def ask() -> None:
        bed.request(Operation.RELINQUISH, bed.guests[0], 1, door=Door.GDB)

    assert interrupt_at_moments_of(ask, turn, state) == []
    assert state() == (runs, [])
    gdb.cont()
    bed.guests[0].ping()


@pytest.mark.parametrize("runs", [True, False], ids=["runs", "stands"])
def test_a_machine_runs_or_stands_as_before_after_ctrl_c_at_any_moment_of_a_breakpoint_s_setting(
    bed: Testbed, turn: slice, runs: bool
) -> None:
    gdb = bed.machine.debugger()
    if not runs:
        gdb.interrupt()

    def ask() -> None:
        gdb.breakpoint("transfer")

    assert interrupt_at_moments_of(ask, turn, lambda: running(bed)) == []
    assert running(bed) == runs


def forked(work: Any) -> int:
    """The exit status of a forked process that does `work`: 0, or 1 when it raised."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_process_cannot_use_the_machine_and_does_not_hurt_it(machine: Machine) -> None:
    def use() -> None:
        for ask in (
            lambda: machine.console.request("hello", LONG),
            lambda: machine.monitor.execute("quit"),
            machine.stop,
            lambda: machine.console.expect("hello", LONG),
        ):
            with pytest.raises(ChannelClosed, match="which this one was forked from"):
                ask()

    assert forked(use) == 0
    machine.console.request("hello", LONG)


def test_a_forked_process_that_closes_the_machine_leaves_it_to_its_parent(
    machine: Machine,
) -> None:
    machine.snapshot("one")
    assert forked(machine.close) == 0
    machine.restore("one")
    machine.console.request("hello", LONG)


def test_a_forked_process_can_start_a_machine_of_its_own(
    machine: Machine, arch: str, parrot: Path
) -> None:
    def start() -> None:
        with Machine(architectures.get(arch), parrot) as other:
            other.cont()
            other.console.await_log(f"pageferry {arch} ready")
            other.console.request("hello", LONG)

    assert forked(start) == 0
    machine.console.request("hello", LONG)


def test_ctrl_c_while_guests_get_ready_leaves_nothing(
    bed: Testbed, arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = left()
    monkeypatch.setattr(Testbed, "_await_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Testbed.start(arch)
    assert left() == before
