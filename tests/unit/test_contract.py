"""An architecture is in all of its places, and has all that arch.h promises to the core."""

import re
import shutil
from pathlib import Path

import pytest
from tests.unit.contract import ARCH_H, PLACES, ROOT, Promise, absences, missing, promises

FOLDERS = sorted(path.parent for path in ROOT.glob("firmware/arch/*/arch.mk"))
OWED = list(promises(ARCH_H.read_text()))


def test_the_header_is_understood() -> None:
    """Some of each kind; a promise in other words than these would go unnoticed."""
    assert {
        Promise("cpu.h", "arch_vcpu"),
        Promise("cpu.h", "ARCH_NAME"),
        Promise("pte.h", "STAGE2_ROOT_FRAMES"),
        Promise("pte.h", "pte_leaf", "pte_t(hpa_t, unsigned)"),
        Promise("pte.h", "pte_publish", "void(void)"),
        Promise("hypervisor.ld", "hypervisor_end"),
        Promise("code", "arch_kick", "void(const struct cpu *)"),
        Promise("code", "arch_halt", "void(void)"),
        Promise("code", "arch_vcpu_registers", "uint64_t *(struct vcpu *)"),
    } < set(OWED)


def test_every_function_of_the_header_is_a_promise() -> None:
    named = set(re.findall(r"\b((?:arch|pte)_\w+)\(", ARCH_H.read_text()))
    assert named == {promise.name for promise in OWED if promise.types}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_architecture_has_all_that_is_promised(folder: Path) -> None:
    assert missing(folder, OWED) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("promise", OWED, ids=lambda promise: promise.name)
def test_an_architecture_that_lacks_one_thing_is_told_so(
    folder: Path, promise: Promise, tmp_path: Path
) -> None:
    lacking = tmp_path / folder.name
    shutil.copytree(folder, lacking)
    for path in lacking.iterdir():
        path.write_text(re.sub(rf"\b{promise.name}\b", "elsewhere", path.read_text()))
    assert promise.name in missing(lacking, OWED)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_entry_of_another_type_is_told(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / folder.name
    shutil.copytree(folder, other)
    header = other / "pte.h"
    header.write_text(header.read_text().replace("bool pte_is_present(", "int pte_is_present("))
    assert missing(other, OWED) == ["pte_is_present"]


def test_every_architecture_is_in_all_its_places() -> None:
    assert absences(ROOT) == []


@pytest.mark.parametrize("place", PLACES)
def test_an_architecture_that_lacks_one_place_is_told_so(place: str, tmp_path: Path) -> None:
    for pattern in PLACES.values():
        for name in ("alpha", "vax"):
            path = tmp_path / pattern.replace("*", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert absences(tmp_path) == []
    (tmp_path / PLACES[place].replace("*", "vax")).unlink()
    assert absences(tmp_path) == [f"{place} lacks vax"]
