"""A second repository: its own ELF, the plugin's fixtures, and no firmware of ours."""

from pathlib import Path

import pytest
from tests.system.once import Once, Run


@pytest.fixture
def second(pytester: pytest.Pytester, parrot: Path, arch: str) -> pytest.Pytester:
    """A repository with an ini file that names its kernel, and nothing else."""
    kernel = pytester.path / "own.elf"
    kernel.write_bytes(parrot.read_bytes())
    pytester.makeini(
        f"[pytest]\npageferry_kernel = own.elf\npageferry_arch = {arch}\n"
        "filterwarnings = error\naddopts = --strict-markers -p no:hypothesispytest"
    )
    return pytester


ANSWERS = """
    def test_answers(machine):
        machine.console.await_log(f"pageferry {machine.arch.name} ready")
        assert machine.console.request("hello").fields == {"count": "a"}
        assert machine.image.function_of(machine.image.symbol("say")) == "say"
        assert machine.kernel.name == "own.elf"
"""


def test_it_uses_machine_console_and_image(together: Run) -> None:
    assert together.outcomes("test_answers") == ["passed"]


STOPS = """
    def test_stops(machine, debugger):
        machine.console.await_log(f"pageferry {machine.arch.name} ready")
        debugger.interrupt()
        machine.console.submit("quiet")
        assert debugger.run_to("next_line").frame.function == "next_line"
        assert debugger.memory.read(machine.image.symbol("line"), 9) == machine.memory.read(
            machine.image.symbol("line"), 9
        )
"""


def test_it_uses_the_debugger(together: Run) -> None:
    assert together.outcomes("test_stops") == ["passed"]


FRESH = """
    import pytest
    from pageferry.address import HPA

    pids = set()

    @pytest.mark.parametrize("time", range(3))
    def test_fresh(machine, time):
        machine.console.await_log(f"pageferry {machine.arch.name} ready")
        assert machine.console.lines[-1] == f"# pageferry {machine.arch.name} ready"
        assert machine.console.request("hello").fields == {"count": "a"}
        free = HPA(machine.arch.ram_base + machine.ram // 4 * 3)
        assert machine.memory.read(free, 4) == bytes(4)
        machine.memory.write(free, b"mess")
        pids.add(machine.pid)
        assert len(pids) == 1
"""


def test_every_test_begins_with_the_first_instruction_of_one_process(together: Run) -> None:
    assert together.outcomes("test_fresh") == ["passed"] * 3


DIES = """
    import os
    import signal

    def test_kills(machine):
        os.kill(machine.pid, signal.SIGKILL)

    def test_goes_on(machine):
        machine.console.await_log(f"pageferry {machine.arch.name} ready")
"""


def test_a_machine_that_died_is_replaced(together: Run) -> None:
    assert together.outcomes("test_dies") == ["passed", "passed"]


PANICS = """
    pids = []

    def test_panics(machine):
        pids.append(machine.pid)
        machine.console.await_log(f"pageferry {machine.arch.name} ready")
        machine.console.request("panic")

    def test_only_fails(machine):
        assert machine.pid not in pids
        pids.append(machine.pid)
        assert False, "by itself"

    def test_goes_on(machine):
        assert machine.pid == pids[1]
"""


def test_after_a_failure_of_the_bench_the_process_is_another(together: Run) -> None:
    assert together.outcomes("test_panics") == ["failure", "failure", "passed"]
    first, second = [
        failure.get("message", "")
        for case in together.reports("test_panics")
        for failure in case.iter("failure")
    ]
    assert "FirmwarePanic" in first
    assert "AssertionError: by itself" in second


STANDS = """
    def test_uses(machine):
        test_uses.machine = machine
        assert machine.monitor.execute("query-status")["running"]

    def test_looks():
        assert not test_uses.machine.monitor.execute("query-status")["running"]
"""


def test_a_machine_that_no_test_uses_stands_still(together: Run) -> None:
    assert together.outcomes("test_stands") == ["passed", "passed"]


WATCHES = """
    pids = []

    def test_watches(machine, debugger):
        pids.append(machine.pid)
        debugger.watchpoint("*(char *)&line")

    def test_goes_on(machine):
        assert machine.pid not in pids
"""


def test_after_a_watchpoint_the_process_is_another(together: Run) -> None:
    assert together.outcomes("test_watches") == ["passed", "passed"]


@pytest.fixture
def together(second: pytest.Pytester, once: Once) -> Run:
    """One run of the tests above, which want nothing special of the command line."""
    tests = {
        "test_answers": ANSWERS,
        "test_fresh": FRESH,
        "test_dies": DIES,
        "test_panics": PANICS,
        "test_stands": STANDS,
        "test_watches": WATCHES,
        "test_stops": STOPS,  # the last: its debugger stays until the run is over
    }
    files = [f"{name}.py" for name in tests]
    run = once.run("second", lambda: second.makepyfile(**tests), *files)
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.said  # those that are to fail
    return run


KINDS = """
    import pytest

    def cpus(machine):
        return len(machine.monitor.execute("query-cpus-fast"))

    @pytest.mark.pageferry(cpus=3)
    def test_three(machine):
        assert cpus(machine) == 3

    def test_as_usual(machine):
        assert cpus(machine) == 2

    @pytest.mark.needs("icount")
    @pytest.mark.pageferry(cpus=1, icount=True)
    def test_counts(machine):
        assert "-icount" in machine.command
"""


def test_a_mark_asks_for_a_kind_of_machine(told: Run) -> None:
    assert told.outcomes("test_kinds") == ["passed"] * 3


NAMED = """
    def test_named(machine):
        assert machine.monitor.execute("query-name") == {"name": "of a test"}
"""


def test_more_arguments_reach_the_emulator(told: Run) -> None:
    assert told.outcomes("test_named") == ["passed"]


@pytest.fixture
def told(second: pytest.Pytester, once: Once) -> Run:
    """One run of these two, which is told about its machines on the command line."""
    words = ["--pageferry-cpus=2", "--pageferry-qemu-args=-name 'of a test'"]
    tests = {"test_kinds": KINDS, "test_named": NAMED}
    return once.run("told", lambda: second.makepyfile(**tests), *words)


def test_an_emulator_that_is_missing_is_an_error_of_every_test(second: pytest.Pytester) -> None:
    second.makepyfile("def test_one(machine): pass\ndef test_two(machine): pass")
    result = second.runpytest_subprocess("--pageferry-qemu=no-such-qemu")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["E *QemuMissing: there is no program no-such-qemu in PATH*"])


def test_several_workers_have_a_machine_each_and_say_nothing_about_it(
    second: pytest.Pytester, arch: str
) -> None:
    second.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("time", range(8))
        def test_answers(machine, time, record_property):
            machine.console.await_log(f"pageferry {machine.arch.name} ready")
            record_property("pid", machine.pid)
        """
    )
    result = second.runpytest_subprocess("-n2", "--junitxml=junit.xml")
    result.assert_outcomes(passed=8)
    assert result.stderr.str() == ""
    junit = (second.path / "junit.xml").read_text()
    assert len(set(junit.split('name="pid" value="')[1:])) >= 2
    assert junit.count(f'<property name="architecture" value="{arch}"') == 8
    assert junit.count('<property name="cpus" value="1"') == 8
