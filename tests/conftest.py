"""What every test may ask for on the command line."""

import pytest

from pageferry import arch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--arch", choices=arch.names(), default="x86_64", help="architecture of the machine"
    )
