"""The seeded bugs, before anything is built of them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.mutants import MUTANTS, ROOT, Mutant, NotBuilt
from tests.mutants import __main__ as command
from tests.mutants.__main__ import judge, main
from tests.mutants.outcome import Outcome, Verdict, read

from pageferry import arch as architectures

EACH = pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)


@EACH
def test_a_mutant_says_in_a_sentence_what_it_breaks(mutant: Mutant) -> None:
    assert mutant.breaks.endswith(".")
    assert mutant.breaks[0].isupper()
    assert mutant.patch.read_text().splitlines()[1] == ""


@EACH
def test_a_mutant_fits_the_firmware_as_it_is(mutant: Mutant, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "firmware", tmp_path / "firmware")
    command = ["git", "-C", str(tmp_path), "apply", "--check", str(mutant.patch)]
    subprocess.run(command, check=True, env={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})


@EACH
def test_a_mutant_changes_the_firmware_only(mutant: Mutant) -> None:
    assert mutant.files
    assert all(file.startswith("firmware/") for file in mutant.files)


def test_a_mutant_of_core_is_one_of_every_architecture() -> None:
    assert MUTANTS["no_invalidation"].applies_to("x86_64")
    assert MUTANTS["no_invalidation"].applies_to("pdp11")


def test_a_mutant_of_an_architecture_is_one_of_that_alone() -> None:
    assert MUTANTS["x86_local_only"].applies_to("x86_64")
    assert not MUTANTS["x86_local_only"].applies_to("pdp11")


def test_a_patch_that_does_not_apply_seeds_no_bug(tmp_path: Path) -> None:
    patch = tmp_path / "stale.patch"
    patch.write_text(MUTANTS["no_invalidation"].patch.read_text().replace("PTE_ABSENT", "GONE"))
    stale = Mutant("stale", "Nothing.", patch, ())
    folder = tmp_path / "copy"
    folder.mkdir()
    with pytest.raises(NotBuilt, match="patch does not apply"):
        stale.build("x86_64", folder)


@EACH
def test_a_mutant_names_tests_that_there_are(mutant: Mutant) -> None:
    assert mutant.caught_by
    for name in mutant.caught_by:
        file, function = name.partition("[")[0].split("::")
        assert f"def {function}(" in (ROOT / "tests" / "system" / file).read_text()


def test_a_mutant_that_names_no_test_is_tried_with_all_of_the_running_machine() -> None:
    assert Mutant("new", "Something.", Path("new.patch"), ()).tests("x86_64") == ["tests/system"]


@pytest.mark.parametrize("arch", architectures.names())
def test_there_are_mutants_of_every_architecture(arch: str) -> None:
    assert len([it for it in MUTANTS.values() if it.applies_to(arch)]) >= 12


def test_a_mutant_is_none_where_it_says_that_there_is_nothing_to_catch() -> None:
    assert set(MUTANTS["map_not_published"].nothing) == {"x86_64", "riscv64"}
    assert MUTANTS["map_not_published"].applies_to("aarch64")
    assert not MUTANTS["map_not_published"].applies_to("x86_64")


# Which are to be tried


def test_a_name_that_no_mutant_has_is_told_with_those_like_it() -> None:
    ran = CliRunner().invoke(main, ["no_invalidatoin"])
    assert ran.exit_code == 2
    assert "no mutant is called 'no_invalidatoin'; like it: no_invalidation" in ran.output


def test_a_name_that_is_like_none_is_told_with_how_to_see_all() -> None:
    ran = CliRunner().invoke(main, ["zzz"])
    assert "no mutant is called 'zzz'; --list shows all" in ran.output


@pytest.mark.parametrize("arch", architectures.names())
def test_the_list_has_every_mutant_of_an_architecture_and_what_it_breaks(arch: str) -> None:
    ran = CliRunner().invoke(main, ["--list", "--arch", arch])
    listed = [tuple(line.split(maxsplit=1)) for line in ran.output.splitlines()]
    assert listed == [(it.name, it.breaks) for it in MUTANTS.values() if it.applies_to(arch)]


def test_none_is_tried_without_a_firmware_to_begin_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    ran = CliRunner().invoke(main, ["--arch", "x86_64", "no_invalidation"])
    assert ran.exit_code == 1
    assert "Error: there is no hypervisor.elf in" in ran.output


def test_none_at_once_is_no_number_of_jobs() -> None:
    ran = CliRunner().invoke(main, ["-j", "0", "no_invalidation"])
    assert ran.exit_code == 2
    assert "'--jobs': 0 is not in the range" in ran.output


# What a run against a mutant was

REPORT = """<testsuites><testsuite>
<testcase name="passed"/>
<testcase name="asserted"><failure message="assert 1 == 2"/></testcase>
<testcase name="ruled"><failure message="AssertionError: seed 5&#10;  LOCK: tables"/></testcase>
<testcase name="did"><failure message="Failed: DID NOT RAISE GuestFault"/></testcase>
<testcase name="refused"><failure message="pageferry.errors.RequestRefused: no"/></testcase>
<testcase name="waited"><failure message="pageferry.errors.WaitTimeout: nothing"/></testcase>
<testcase name="hung"><failure message="Failed: Timeout (&gt;60.0s) from it"/></testcase>
<testcase name="dead"><error message='failed on setup with "errors.NotReady: x"'/></testcase>
</testsuite></testsuites>"""


def test_only_a_failed_assertion_has_caught_a_mutant(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert {name: verdict.outcome for name, verdict in read(report).items()} == {
        "passed": Outcome.SURVIVED,
        "asserted": Outcome.CAUGHT,
        "ruled": Outcome.CAUGHT,
        "did": Outcome.CAUGHT,
        "refused": Outcome.ERROR,
        "waited": Outcome.TIMEOUT,
        "hung": Outcome.TIMEOUT,
        "dead": Outcome.NOT_BOOTED,
    }


def test_the_rule_of_the_oracle_that_caught_a_mutant_is_told(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert read(report)["ruled"].why == "LOCK"


def test_a_test_that_fails_on_the_firmware_as_it_is_has_caught_nothing() -> None:
    caught = Verdict(Outcome.CAUGHT, "test_it")
    assert judge(caught, {"test_it": Verdict(Outcome.SURVIVED)}) is caught
    assert judge(caught, {"test_it": caught}).outcome is Outcome.ERROR
    assert judge(caught, {}).outcome is Outcome.ERROR
