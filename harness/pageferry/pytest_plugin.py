"""pytest's way in: fixtures, options, markers, and evidence of what failed.

    def test_a_page_that_was_remapped_is_gone(testbed):
        a, b = testbed.guests
        testbed.remap(a, a.page(0), b, b.window(0))
        with pytest.raises(GuestFault):
            a.load(a.page(0))

A run in which no test asks for one of the fixtures imports and starts nothing else of
Pageferry: everything here is imported by whoever needs it first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from . import settings as options

if TYPE_CHECKING:
    from .debugger import Debugger
    from .guest import Guest
    from .machine import Machine
    from .oracle import Oracle
    from .pool import Pool
    from .report.failed import Failures
    from .testbed import Testbed

MARKERS = (
    "pageferry(cpus, icount): the kind of machine that this test's fixtures give",
    "needs(capability, ...): skip unless the target has " + ", ".join(options.CAPABILITIES),
)
WANTED: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "cpus": (lambda it: type(it) is int and it > 0, "a number of CPUs"),
    "icount": (lambda it: isinstance(it, bool), "True or False"),
}
"""What the marker `pageferry` takes: what it may be, and that in words."""

ARCH = "pageferry_arch"
"""The fixture that every other one here stands on, and the parameter in the id of a test."""

ORACLE = "oracle"
"""The fixture for which the test's machine has the TCG plugin."""


class Bench:
    """What one run of pytest knows of Pageferry."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        try:
            self.settings = options.gather(
                lambda name: config.getoption(f"pageferry_{name}"),
                os.environ,
                lambda name: str(config.getini(name)),
                here=config.invocation_params.dir,
                root=config.rootpath,
                ini_folder=config.inipath.parent if config.inipath else config.rootpath,
            )
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None
        self._test: tuple[str, dict[str, Any]] = ("", {})
        self.pool: Pool | None = None
        self.failures: Failures | None = None

    def make_pool(self) -> Pool:
        """The pool of this run, from the first test on that asks for a machine."""
        from .pool import Pool
        from .report.failed import Failures

        if self.pool is not None:
            return self.pool
        self.pool = Pool(self.settings, self.config.rootpath)
        self.failures = Failures(self.config, self.settings, self.pool)
        self.pool.begin(*self._test)
        return self.pool

    def begin(self, item: pytest.Item) -> None:
        """A test begins. UsageError for a mark that says nonsense."""
        wanted = _wanted(item)
        if self.settings.kernel is None:
            try:
                options.require_cpus(wanted.get("cpus", self.settings.cpus))
            except ValueError as error:
                raise pytest.UsageError(f"{item.nodeid}: {error}") from None
        self._test = item.nodeid, wanted
        if self.pool is not None:
            self.pool.begin(*self._test)


BENCH = pytest.StashKey[Bench]()


def _wanted(item: pytest.Item) -> dict[str, Any]:
    """What the test's own marks say about its machine, the closest one counts; its id; and
    whether it asks for the oracle, which needs the plugin."""
    wanted: dict[str, Any] = {}
    for mark in item.iter_markers("pageferry"):
        unknown = [*mark.args, *(name for name in mark.kwargs if name not in WANTED)]
        if unknown:
            raise pytest.UsageError(
                f"{item.nodeid}: the mark pageferry takes {', '.join(WANTED)}, not {unknown[0]!r}"
            )
        for name, value in mark.kwargs.items():
            is_right, what = WANTED[name]
            if not is_right(value):
                raise pytest.UsageError(f"{item.nodeid}: {name}={value!r} is not {what}")
        wanted = {**mark.kwargs, **wanted}
    if wanted.get("icount") and wanted.get("cpus", 1) > 1:
        raise pytest.UsageError(f"{item.nodeid}: instructions are counted on one CPU only")
    callspec = getattr(item, "callspec", None)
    if callspec is not None and ARCH in callspec.params:
        wanted["arch"] = callspec.params[ARCH]
    if ORACLE in getattr(item, "fixturenames", ()):
        wanted["plugin"] = True
    return wanted


def _needed(item: pytest.Item) -> list[str]:
    """The capabilities that the test's marks name. UsageError for what is none."""
    names: list[str] = []
    for mark in item.iter_markers("needs"):
        unknown = [*(it for it in mark.args if it not in options.CAPABILITIES), *mark.kwargs]
        if unknown or not mark.args:
            wrong = f"no capability is called {unknown[0]!r}" if unknown else "needs() names none"
            there_are = ", ".join(options.CAPABILITIES)
            raise pytest.UsageError(f"{item.nodeid}: {wrong}; there are: {there_are}")
        names += mark.args
    return names


# The run


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add every option in its places, and what is said on the command line only."""
    group = parser.getgroup("pageferry", "machines under test (Pageferry)")
    for option in options.OPTIONS:
        text = f"{option.help} (or {option.variable}, or ini {option.ini})"
        dest = f"pageferry_{option.name}"
        names = [option.flag, *([option.short] if option.short else [])]
        try:
            group.addoption(*names, dest=dest, metavar="VALUE", help=text)
        except ValueError:  # another plugin has the short one
            group.addoption(option.flag, dest=dest, metavar="VALUE", help=text)
        parser.addini(option.ini, option.help, type="string", default="")
    group.addoption(
        "--pageferry-gdb", action="store_true", help="stop in gdb where a test has failed"
    )
    group.addoption(
        "--pageferry-keep",
        action="store_true",
        help="keep the machines of failed tests running at the end, to be attached to",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Check what was said, before anything runs."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    bench = config.stash[BENCH] = Bench(config)
    for flag in ("gdb", "keep"):
        several = config.getoption("numprocesses", None) or hasattr(config, "workerinput")
        if config.getoption(f"pageferry_{flag}") and several:
            raise pytest.UsageError(f"--pageferry-{flag} needs this terminal: not with -n")
    if bench.settings.target == "remote" and config.getoption("numprocesses", None):
        raise pytest.UsageError("a remote target is one machine: not with -n")
    if bench.settings.target == "remote" and config.getoption("pageferry_keep"):
        why = "which the next test takes; --pageferry-gdb stops where one has failed"
        raise pytest.UsageError(f"--pageferry-keep: a remote target is one machine, {why}")
    scale = bench.settings.timeout_scale
    if scale is not None:
        _set_for_this_run(config, "PAGEFERRY_TIMEOUT_SCALE", f"{scale:g}")


def _set_for_this_run(config: pytest.Config, variable: str, value: str) -> None:
    patch = pytest.MonkeyPatch()
    patch.setenv(variable, value)
    config.add_cleanup(patch.undo)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what a test's machine would be, and if its firmware is not of these sources."""
    settings = config.stash[BENCH].settings
    stale = options.stale_firmware(settings, config.rootpath)
    return [f"pageferry: {told}" for told in (settings.summary, *stale)]


FOUND = {
    "pageferry.ownership.Disagreement": "machine and model disagree on",
    "pageferry.oracle.Finding": "rules of invalidation broken",
}
"""What oracles give lists of; by name, for a run without machines imports none of them."""


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Of `assert testbed.disagreements(model) == []` and the like, what each one says."""
    if op != "==" or right != [] or not isinstance(left, list):
        return None
    kinds = {f"{type(it).__module__}.{type(it).__qualname__}" for it in left}
    title = FOUND.get(kinds.pop()) if len(kinds) == 1 else None
    if title is None:
        return None
    return [f"{title}: {len(left)}", *(line for it in left for line in str(it).splitlines())]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, None, None]:
    """Where several architectures were named, a test that asks for a machine runs on each.

    A wrapper, so that the architecture comes before all else in the id.
    """
    names = metafunc.config.stash[BENCH].settings.arch
    if ARCH in metafunc.fixturenames and len(names) > 1:
        metafunc.parametrize(ARCH, names, indirect=True, scope="session")
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """After a test its machines stand still. What goes wrong with that ends no run."""
    try:
        return (yield)
    finally:
        failures = item.config.stash[BENCH].failures
        if failures is not None:
            failures.put_away()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the target cannot do, by its name."""
    bench = item.config.stash[BENCH]
    bench.begin(item)
    wanted = _wanted(item)
    if needed := _needed(item):
        there_are = bench.settings.capabilities(wanted.get("arch"), wanted.get("cpus"))
        if lacking := [name for name in needed if name not in there_are]:
            pytest.skip(f"target lacks: {lacking[0]}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Collect evidence while the machines are still as the failure has left them.

    A test that asked for what the target lacks is skipped instead, by that name.
    """
    if item.config.stash[BENCH].pool is not None:
        _skip_what_is_lacking(call)
    failures = item.config.stash[BENCH].failures
    if failures is not None and call.excinfo is not None:
        failures.hide_frames()
    report = yield
    if failures is not None:
        failures.consider(item, call, report)
    return report


def _skip_what_is_lacking(call: pytest.CallInfo[None]) -> None:
    from .errors import TargetLacks

    if call.excinfo is not None and isinstance(call.excinfo.value, TargetLacks):
        why = str(call.excinfo.value)
        call.excinfo = pytest.CallInfo.from_call(lambda: pytest.skip(why), call.when).excinfo


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the machines that tests have shared."""
    failures = session.config.stash[BENCH].failures
    if failures is not None:
        failures.put_away(for_good=True)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Hold the machines that are to be kept until somebody says that it is enough."""
    bench = config.stash.get(BENCH, None)
    if bench is not None and bench.failures is not None:
        bench.failures.hold()


# Fixtures


@pytest.fixture(scope="session")
def pageferry_settings(pytestconfig: pytest.Config) -> options.Settings:
    """What this run was told about its machines."""
    return pytestconfig.stash[BENCH].settings


@pytest.fixture(scope="session")
def pageferry_arch(request: pytest.FixtureRequest, pageferry_settings: options.Settings) -> str:
    """The architecture of the test's machines."""
    name: str = getattr(request, "param", pageferry_settings.arch[0])
    return name


@pytest.fixture(scope="session")
def pageferry_pool(pytestconfig: pytest.Config, pageferry_arch: str) -> Pool:
    """The machines that tests share: `check_out(cpus=3)` gives one of a kind.

    They outlive every fixture, so that a failure in a teardown has its evidence too.
    """
    return pytestconfig.stash[BENCH].make_pool()


@pytest.fixture
def machine(request: pytest.FixtureRequest, pageferry_pool: Pool) -> Machine:
    """A machine that has begun to run the kernel of the settings; without one, the testbed's."""
    if pageferry_pool.settings.kernel is not None:
        return pageferry_pool.check_out_machine()
    bed: Testbed = request.getfixturevalue("testbed")
    return bed.machine


@pytest.fixture
def testbed(pageferry_pool: Pool) -> Testbed:
    """Two guests that just got ready, whatever the test before has done."""
    return pageferry_pool.check_out()


@pytest.fixture
def debugger(machine: Machine) -> Debugger:
    """gdb, connected to `machine`, which runs on."""
    return machine.debugger()


@pytest.fixture
def oracle(testbed: Testbed) -> Oracle:
    """What holds all that the CPUs do from now on against the rules of invalidation."""
    from .oracle import Oracle

    oracle = Oracle(testbed)
    oracle.begin()
    return oracle


@pytest.fixture
def guests(testbed: Testbed) -> tuple[Guest, ...]:
    """The testbed's guests."""
    return testbed.guests
