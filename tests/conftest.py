"""What every test may use."""

import signal

import pytest

pytest_plugins = ["pytester"]


def pytest_configure() -> None:
    """Take Ctrl-C, which tests send to what they start: a background job of a shell ignores
    it, and so would its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """pytest in a folder of its own, without hypothesis: to import it at the end, used or
    not, is a third of what a short run costs."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    return pytester


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add how long the random tests of invalidation go on, and from where."""
    parser.addoption(
        "--remaps", type=int, default=200, help="randomized remaps under the TCG plugin, a machine"
    )
    parser.addoption("--seed", type=int, help="what these begin with, instead of at random")
