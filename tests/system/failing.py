"""Folders of tests that fail, run by a pytest of their own."""

import os
from pathlib import Path

import pytest

from pageferry.manifest import start_time
from pageferry.report.claims import MARK

FIVE_LINES = """
    def test_five_lines(testbed):
        a, b = testbed.guests
        a.fill(a.page(0), 7)
        testbed.remap(a, a.page(0), b, b.window(0))
        assert a.load(a.page(0)) == 7
"""

TWO = """
    def test_before(testbed):
        testbed.machine.console.send_line("# of the test before")

    def test_after(testbed):
        testbed.machine.console.send_line("# of this test")
        assert False
"""

WRONG_RECORD = """
    def test_wrong_record(testbed):
        a, b = testbed.guests
        testbed.share(a, a.page(1), b, b.window(1))
        frame = a.stage2(a.page(0)).output
        number = (frame - testbed.machine.arch.ram_base) >> 12
        testbed.firmware.write(f"frames[{number}].owner", 2)
        assert False
"""

SAME_PROCESS = """
    import pytest

    pids = []

    @pytest.fixture
    def cleaned(testbed):
        yield testbed
        testbed.guests[0].ping()

    @pytest.mark.parametrize("time", range(2))
    def test_fails(cleaned, time):
        pids.append(cleaned.machine.pid)
        assert False

    def test_is_the_same_process(testbed):
        assert [testbed.machine.pid] * 2 == pids
        testbed.guests[1].ping()
"""

ALL_WIRES = """
    def test_all_wires(testbed):
        a, b = testbed.guests
        testbed.machine.debugger()
        testbed.remap(a, a.page(0), b, b.window(0))
        assert a.load(a.page(0)) == 7
"""

FULL_DISK = """
    import resource

    import pytest
    from pageferry.report import reproduce

    @pytest.fixture
    def limited(monkeypatch):
        monkeypatch.setattr(reproduce, "script", lambda *_, **__: "x" * 200_000)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def test_full_disk(guests, limited):
        a, b = guests
        a.load(b.window(0))
"""

WRONG_TYPE = """
    def test_wrong_type(testbed):
        testbed.machine.memory.read("0x1000", 1)
"""

MISTAKE = """
    from pageferry.report import accounts

    def broken(*_):
        raise ZeroDivisionError("a mistake")

    def test_mistake(guests, monkeypatch):
        for name in ("registers", "frame_runs"):
            monkeypatch.setattr(accounts, name, broken)
        a, b = guests
        a.load(b.window(0))
"""

BESIDE = """
    def test_beside(testbed):
        assert False
"""

DISAGREES = """
    from pageferry import Observers, Operation, Request, Verdict, apply, judge

    def test_disagrees(testbed):
        a, b = testbed.guests
        model = testbed.model()
        observers = Observers(testbed, a, a.page(0), b, b.window(0))
        for page in range(20):
            testbed.share(a, a.page(page), b, b.window(page))
            asked = Request(Operation.REMAP, a.vm, a.page(page), b.vm, b.window(page))
            model = apply(model, asked).state
        found = testbed.disagreements(model)
        verdict = judge(observers.conclude()).verdict
        assert (found, verdict) == ([], Verdict.REMAP)
"""

NO_MACHINE = """
    def test_uses_one(testbed):
        pass

    def test_without_one():
        assert False
"""

TESTS = {
    "test_five_lines": FIVE_LINES,
    "test_two": TWO,
    "test_wrong_record": WRONG_RECORD,
    "test_same_process": SAME_PROCESS,
    "test_beside": BESIDE,
    "test_disagrees": DISAGREES,
    "test_no_machine": NO_MACHINE,
    "test_full_disk": FULL_DISK,
    "test_mistake": MISTAKE,
    "test_wrong_type": WRONG_TYPE,
    "test_all_wires": ALL_WIRES,  # the last: its debugger stays until the run is over
}
"""What many tests look at the evidence of, by the name of its file."""

LOOK = """
    import pytest
    from click.testing import CliRunner
    from pageferry.cli import main

    @pytest.mark.parametrize("cpus", [1, 3])
    def test_it_is_found(pageferry_pool, cpus):
        machine = pageferry_pool.check_out(cpus=cpus).machine
        name = f"{machine.arch.name}-{machine.pid}"
        assert name in CliRunner().invoke(main, ["machines"]).output
        asked = CliRunner().invoke(main, ["inspect", "--id", name, "guests"])
        assert asked.output.count(" waiting ") == 2, asked.output
"""

EXPECTED = """
    import pytest

    @pytest.mark.xfail
    def test_expected(testbed):
        assert False

    def test_skipped(testbed):
        pytest.skip("for no reason")
"""

ALIKE = """
    import pytest

    @pytest.mark.parametrize("name", ["a b", "a_b", "a:b", "c" * 200])
    def test_fails(testbed, name):
        assert False
"""


def folder_of_another_run(bench: pytest.Pytester) -> None:
    """Claim what `test_beside` would have, for this process."""
    wanted = bench.path / "build/evidence/test_beside.py.test_beside"
    wanted.mkdir(parents=True)
    (wanted / MARK).write_text(f"{os.getpid()} {start_time(os.getpid())}")


def bench(pytester: pytest.Pytester, arch: str) -> pytest.Pytester:
    """Have the tests in the folder use our firmware."""
    firmware = Path(__file__).parents[2] / "build" / "firmware" / arch
    pytester.makeini(
        f"[pytest]\npageferry_firmware = {firmware}\npageferry_arch = {arch}\n"
        "filterwarnings = error\naddopts = --strict-markers -p no:hypothesispytest"
    )
    return pytester


def only_folder(bench: pytest.Pytester) -> Path:
    """The evidence of the one test that has failed."""
    (folder,) = (bench.path / "build/evidence").iterdir()
    return folder
