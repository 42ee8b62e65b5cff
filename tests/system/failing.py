"""A folder of tests that fail, run by a pytest of their own."""

from pathlib import Path

import pytest

FIVE_LINES = """
    def test_five_lines(testbed):
        a, b = testbed.guests
        a.fill(a.page(0), 7)
        testbed.remap(a, a.page(0), b, b.window(0))
        assert a.load(a.page(0)) == 7
"""


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
