"""What becomes of a failed test's machines: evidence, gdb, or being kept. For pytest."""

from __future__ import annotations

import hashlib
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import cast

import pytest

from ..errors import GuestReport, HarnessError
from ..machine import Machine
from ..pool import Pool
from ..settings import Settings
from ..target import Remote
from ..testbed import Testbed
from . import attach
from .claims import claim
from .dump import Allowance
from .evidence import Evidence, Scene

DUMPS = 1 << 30
"""Bytes that the dumps of one process may have together: RAM and snapshots."""

LONGEST_NAME = 120
"""Characters of a folder's name."""

KEPT = 4
"""Machines that are kept at most."""

SECTION = "pageferry evidence"


def folder_name(test: str) -> str:
    """The name of a test's folder, from its id; no two tests have the same."""
    plain = re.sub(r"::|/", ".", test).strip(".")
    name = re.sub(r"[^\w.,=\[\]-]", "_", plain)[:LONGEST_NAME]
    digest = hashlib.sha256(test.encode()).hexdigest()[:8]
    return name if name == plain else f"{name}-{digest}"


def _folder_for(wanted: Path) -> Path:
    try:
        return claim(wanted)
    except OSError:
        return wanted  # whoever writes there finds out, and says so


def _told(failure: pytest.ExceptionInfo[BaseException]) -> bool:
    """Whether the error says all that there is to say."""
    return isinstance(failure.value, (HarnessError, GuestReport))


class Failures:
    """Looks at every test's end. The machines of a failed one are still as it left them."""

    def __init__(self, config: pytest.Config, settings: Settings, pool: Pool) -> None:
        self._config = config
        self._folder = settings.evidence
        self._pool = pool
        self._allowance = Allowance(DUMPS)
        self._seen: str | None = None
        self._kept = ExitStack()
        self._attach: list[str] = []

    @staticmethod
    def hide_frames() -> None:
        """Have a failure end at the test's line, unless it is a mistake in the harness itself.

        The inside of the harness tells a test's author nothing; --full-trace shows it. Its
        `with` blocks end in contextlib.
        """
        package = __name__.partition(".")[0]
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in (package, "contextlib"):
                vars(module).setdefault("__tracebackhide__", _told)

    def consider(
        self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        """Take what there is to be taken after one phase of a test."""
        if call.excinfo is not None and _bench_failed(call.excinfo.value):
            self._pool.condemn()
        self._describe(item, report)
        if not report.failed or self._seen == item.nodeid:
            return
        self._seen = item.nodeid  # what fails in the teardown too has its evidence already
        scenes = self._scenes(item, report)
        folder = self._folder / folder_name(item.nodeid)
        if scenes:
            folder = _folder_for(folder)
        for number, scene in enumerate(scenes, 1):
            inside = folder if number == 1 else folder / f"machine{number}"
            self._collect(item, report, scene, inside)
        if self._config.getoption("pageferry_gdb"):
            for scene in scenes:
                self._stop_in_gdb(item, report, scene.machine)
        if self._config.getoption("pageferry_keep"):
            self._keep(item)

    def _scenes(self, item: pytest.Item, report: pytest.TestReport) -> list[Scene]:
        """The pool's machines that it uses, and those that fixtures of its own have given it."""
        about = item.nodeid, str(report.when), report.longreprtext
        scenes = [Scene(*about, it.machine, it.bed, it.kind.images) for it in self._pool.in_use]
        known = {id(scene.machine) for scene in scenes}
        for value in getattr(item, "funcargs", {}).values():
            bed = value if isinstance(value, Testbed) else None
            machine = value.machine if isinstance(value, Testbed) else value
            if isinstance(machine, Machine | Remote) and id(machine) not in known:
                known.add(id(machine))
                scenes.append(Scene(*about, cast(Machine, machine), bed, (machine.kernel,)))
        return scenes

    def _describe(self, item: pytest.Item, report: pytest.TestReport) -> None:
        for slot in self._pool.in_use:
            _say(item, report, "architecture", slot.kind.arch)
            _say(item, report, "cpus", str(slot.kind.cpus))

    def _collect(
        self, item: pytest.Item, report: pytest.TestReport, scene: Scene, folder: Path
    ) -> None:
        try:
            evidence = Evidence(scene, folder, self._allowance)
            evidence.collect()
        except pytest.fail.Exception as error:  # pytest-timeout's: the test has its failure
            self._pool.condemn()
            report.sections.append((SECTION, f"{folder}\n{error}"))
            return
        told = [str(folder), *(f"not taken: {line}" for line in evidence.problems)]
        report.sections.append((SECTION, "\n".join(told)))
        _say(item, report, "evidence", str(folder))
        if evidence.problems:
            self._pool.condemn()
            _warn(f"the evidence in {folder} is not complete: {'; '.join(evidence.problems)}")

    def _stop_in_gdb(self, item: pytest.Item, report: pytest.TestReport, machine: Machine) -> None:
        """The terminal is gdb's, no timeout runs, and what pytest captures is on hold."""
        if cancel := getattr(item.ihook, "pytest_timeout_cancel_timer", None):
            cancel(item=item)
        with self._terminal():
            print(
                f"\n{report.longreprtext}\n\n{item.nodeid} has failed; `quit` goes on", flush=True
            )
            try:
                attach.debug(machine)
            except HarnessError as error:
                print(f"pageferry: {error}", file=sys.stderr)
        self._pool.condemn()

    @contextmanager
    def _terminal(self) -> Iterator[None]:
        """What pytest captures is on hold, the input too."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        if capture is None:
            yield
            return
        capture.suspend_global_capture(in_=True)
        try:
            yield
        finally:
            capture.resume_global_capture()

    def _keep(self, item: pytest.Item) -> None:
        for slot in list(self._pool.in_use):
            if len(self._attach) == KEPT:
                return
            try:
                how = shlex.join(attach.command(slot.machine))
            except HarnessError as error:
                _warn(f"the machine of {item.nodeid} cannot be kept: {error}")
                continue
            self._pool.give_up(slot)
            self._kept.push(slot.owned)
            self._attach.append(f"{item.nodeid}\n    QEMU {slot.machine.pid}: {how}")

    def put_away(self, *, for_good: bool = False) -> None:
        """A test is over, or all are. That a machine does not end as it should is a warning."""
        try:
            if for_good:
                self._pool.close()
            else:
                self._pool.release()
        except (HarnessError, OSError) as error:
            _warn(f"a machine could not be put away: {error}")

    def hold(self) -> None:
        """Say how to reach what is kept; Enter, the end of the input or Ctrl-C ends it."""
        with self._kept:
            if self._attach:
                with self._terminal():
                    print("\nMachines that are kept, as their tests have left them:")
                    for line in self._attach:
                        print(f"  {line}")
                    print("Press Enter to end them.", flush=True)
                    with suppress(KeyboardInterrupt):
                        sys.stdin.readline()


def _bench_failed(error: BaseException | None) -> bool:
    """Whether a failure of the bench is the error, or among its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, HarnessError):
            return True
        if isinstance(error, BaseExceptionGroup):
            return any(_bench_failed(inner) for inner in error.exceptions)
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _say(item: pytest.Item, report: pytest.TestReport, name: str, value: str) -> None:
    """A property of the test, also in JUnit's XML, which reads the last report's."""
    if (name, value) not in item.user_properties:
        item.user_properties.append((name, value))
        report.user_properties.append((name, value))


def _warn(text: str) -> None:
    """A warning in pytest's summary, even where warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(pytest.PytestWarning(text), stacklevel=2)
