"""Folders of tests that fail, run by a pytest of their own."""

from pathlib import Path

import pytest

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

TESTS = {
    "test_five_lines": FIVE_LINES,
    "test_two": TWO,
    "test_wrong_record": WRONG_RECORD,
    "test_same_process": SAME_PROCESS,
    "test_all_wires": ALL_WIRES,  # the last: its debugger stays until the run is over
}
"""What many tests look at the evidence of, by the name of its file."""


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
