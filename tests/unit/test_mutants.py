"""The seeded bugs, before anything is built of them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.mutants import MUTANTS, ROOT, Mutant, NotBuilt

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
