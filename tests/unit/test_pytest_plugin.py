"""pytest with the plugin, where no machine is started."""

import subprocess
import sys

import pytest

HEAVY = ("pexpect", "elftools", "qemu", "asyncio", "pygdbmi", "rich", "click")

LIST_MODULES = """
import sys
import pytest
import _pytest.terminal, _pytest.junitxml
before = set(sys.modules)
import pageferry.pytest_plugin
print(*sorted(set(sys.modules) - before))
"""

TIME_IMPORT = """
import sys, time
import pytest
start = time.process_time()
import pageferry.pytest_plugin
print(time.process_time() - start)
"""
"""The CPU's time: what else the machine does is not the plugin's."""


def said_by(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    imported = said_by(LIST_MODULES).split()
    assert [name for name in imported if name.split(".")[0] in HEAVY] == []
    ours = {name for name in imported if name.startswith("pageferry")}
    assert ours == {"pageferry", "pageferry.pytest_plugin", "pageferry.settings"}


def test_importing_the_plugin_takes_less_than_50_ms() -> None:
    assert any(float(said_by(TIME_IMPORT)) < 0.05 for _ in range(5))


def test_a_run_that_asks_for_no_machine_imports_nothing_more(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_passes():
            ours = {name for name in sys.modules if name.startswith("pageferry.")}
            assert ours == {"pageferry.pytest_plugin", "pageferry.settings"}
            assert not {"elftools", "pexpect", "qemu.qmp"} & set(sys.modules)

        def test_fails():
            assert False
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:timeout")
    result.assert_outcomes(passed=1, failed=1)
    assert "evidence" not in result.stdout.str()
    assert not (pytester.path / "build").exists()


def test_the_head_of_the_report_says_what_a_machine_would_be(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--pageferry-cpus=3")
    result.stdout.fnmatch_lines(["pageferry: x86_64, 3 CPUs, target qemu"])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--pageferry-arch=vax", "ERROR: --pageferry-arch=vax: there are: *x86_64*"),
        ("--pageferry-cpus=9", "ERROR: --pageferry-cpus=9: our firmware takes 1 to 5 CPUs"),
        ("--pageferry-target=moon", "ERROR: --pageferry-target=moon: there are: qemu*"),
        (
            "--pageferry-kernel=no.elf",
            "ERROR: --pageferry-kernel=no.elf: there is no file */no.elf",
        ),
        (
            "--pageferry-evidence=/dev/null/ev",
            "ERROR: --pageferry-evidence=/dev/null/ev: it is a folder *, but /dev/null is none",
        ),
    ],
)
def test_a_bad_value_ends_the_run_before_it_begins(
    pytester: pytest.Pytester, argument: str, message: str
) -> None:
    result = pytester.runpytest_subprocess(argument)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert "Traceback" not in result.stderr.str()


def test_the_help_shows_how_arguments_that_begin_with_a_dash_are_given(
    pytester: pytest.Pytester,
) -> None:
    said = " ".join(pytester.runpytest_subprocess("--help").stdout.str().split())
    assert "with a dash: --pageferry-qemu-args='-d int'" in said


def test_a_bad_value_in_the_environment_is_named_by_its_variable(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGEFERRY_CPUS", "many")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: PAGEFERRY_CPUS=many: *"])


SHOW = """
    def test_it(pageferry_settings):
        assert pageferry_settings.cpus == {cpus}
"""


def test_line_environment_and_ini_file_are_heard_in_this_order(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\npageferry_cpus = 4")
    pytester.makepyfile(SHOW.format(cpus=4))
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    monkeypatch.setenv("PAGEFERRY_CPUS", "3")
    pytester.makepyfile(SHOW.format(cpus=3))
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    pytester.makepyfile(SHOW.format(cpus=2))
    pytester.runpytest_subprocess("--pageferry-cpus=2").assert_outcomes(passed=1)


THREE_ARCHITECTURES = """
    from pageferry import arch

    arch.names = lambda: ("alpha", "pdp11", "vax")
"""
USES_THE_POOL = """
    import pytest

    @pytest.fixture
    def wanted(pageferry_pool):
        return pageferry_pool._wanted

    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.pageferry(cpus=3)
    def test_it(wanted, pageferry_arch, number):
        assert wanted == {"arch": pageferry_arch, "cpus": 3}

    def test_asks_for_no_machine():
        pass
"""


def test_several_architectures_are_in_the_ids_of_the_tests_that_ask_for_a_machine(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(THREE_ARCHITECTURES)
    pytester.makepyfile(USES_THE_POOL)
    result = pytester.runpytest_subprocess("-v", "--pageferry-arch=all")
    result.assert_outcomes(passed=7)
    ids = [
        f"*::test_it[[]{arch}-{n}[]] PASSED*" for arch in ("alpha", "pdp11", "vax") for n in "12"
    ]
    result.stdout.fnmatch_lines_random(
        ["pageferry: alpha, pdp11, vax, 1 CPU, *", *ids, "*::test_asks_for_no_machine PASSED*"]
    )


def test_one_architecture_is_in_no_id(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(THREE_ARCHITECTURES)
    pytester.makepyfile("def test_it(pageferry_arch): assert pageferry_arch == 'vax'")
    result = pytester.runpytest_subprocess("-v", "--pageferry-arch=vax")
    result.stdout.fnmatch_lines(["*::test_it PASSED*"])


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_the_timeout_scale_is_every_waits(pytester: pytest.Pytester, workers: str) -> None:
    pytester.makepyfile(
        """
        from pageferry.channel import Deadline

        def test_it():
            assert Deadline.after(10).seconds == 25
        """
    )
    result = pytester.runpytest_subprocess("--pageferry-timeout-scale=2.5", workers)
    result.assert_outcomes(passed=1)


def test_a_test_that_needs_what_the_target_lacks_is_skipped_by_its_name(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.needs("console", "icount")
        def test_counts():
            assert False

        @pytest.mark.needs("icount")
        @pytest.mark.pageferry(cpus=1)
        def test_counts_on_one():
            pass
        """
    )
    result = pytester.runpytest_subprocess("--pageferry-cpus=3", "-rs", "--strict-markers")
    result.assert_outcomes(skipped=1, passed=1)
    result.stdout.fnmatch_lines(["SKIPPED*target lacks: icount"])


NONSENSE = """
    import pytest

    @pytest.mark.needs("magic")
    def test_magic(): pass

    @pytest.mark.needs("icount", "magic")
    @pytest.mark.pageferry(cpus=3)
    def test_lacks_one(): pass

    @pytest.mark.needs()
    def test_named_none(): pass

    @pytest.mark.needs(capability="snapshot")
    def test_keyword(): pass

    @pytest.mark.pageferry(cpus=3, icount=True)
    def test_counted(): pass

    @pytest.mark.pageferry(cpus=9)
    def test_crowd(): pass

    @pytest.mark.pageferry(legs=3)
    def test_legs(): pass

    @pytest.mark.pageferry(cpus="3")
    def test_text(): pass

    @pytest.mark.pageferry(cpus=0)
    def test_none(): pass

    @pytest.mark.pageferry(icount="yes")
    def test_yes(): pass
"""


def test_a_mark_that_says_nonsense_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NONSENSE)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=10)
    result.stdout.fnmatch_lines(
        [
            "*::test_magic: no capability is called 'magic'; there are: console, *",
            "*::test_lacks_one: no capability is called 'magic'; there are: *",
            "*::test_named_none: needs() names none; there are: console, *",
            "*::test_keyword: no capability is called 'capability'; there are: *",
            "*::test_counted: instructions are counted on one CPU only",
            "*::test_crowd: our firmware takes 1 to 5 CPUs",
            "*the mark pageferry takes cpus, icount, not 'legs'",
            "*::test_text: cpus='3' is not a number of CPUs",
            "*::test_none: cpus=0 is not a number of CPUs",
            "*::test_yes: icount='yes' is not True or False",
        ]
    )


@pytest.mark.parametrize("flag", ["gdb", "keep"])
def test_what_needs_the_terminal_is_refused_with_several_workers(
    pytester: pytest.Pytester, flag: str
) -> None:
    result = pytester.runpytest_subprocess(f"--pageferry-{flag}", "-n2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --pageferry-{flag} needs this terminal: not with -n"])


DISAGREES = """
    from pageferry.oracle import Finding
    from pageferry.ownership import Disagreement, Wrong
    from pageferry.protocol import Rule, Store, Violation

    def test_disagrees():
        found = [Disagreement(Wrong.BOOKKEEPING, f"frame {number}") for number in range(3)]
        assert found == []

    def test_finds():
        store = Store(7, 0, 0x1000, 0x2000, 0, 7)
        assert [Finding(Violation(Rule.LOCK, store, "the lock"), "map (stage2.c:7)", None)] == []
"""


def test_what_oracles_have_found_is_shown_in_their_words(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(DISAGREES)
    result = pytester.runpytest_subprocess()
    lines = [f"E *wrong bookkeeping: frame {number}" for number in range(3)]
    result.stdout.fnmatch_lines(["E *machine and model disagree on: 3", *lines], consecutive=True)
    lines = ["E * LOCK: *", "E * CPU 0 at 0x1000, map (stage2.c:7), record 7"]
    result.stdout.fnmatch_lines(["E *rules of invalidation broken: 1", *lines], consecutive=True)
