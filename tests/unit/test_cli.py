"""The command line before anything of it starts."""

import pytest
from click.testing import CliRunner

from pageferry.cli import FAILED, main


@pytest.mark.parametrize("command", ["console", "debug", "bench"])
@pytest.mark.parametrize("cpus", ["0", "9"])
def test_cpus_that_our_firmware_does_not_take_are_told_as_pytest_does(
    command: str, cpus: str
) -> None:
    ran = CliRunner().invoke(main, [command, "--cpus", cpus])
    assert ran.exit_code == FAILED
    assert f"'--cpus': {cpus}: our firmware takes 1 to 5 CPUs" in ran.output
