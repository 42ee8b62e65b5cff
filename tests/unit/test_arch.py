"""The descriptors, against the bits that the manuals draw."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.handmade import NX, OPEN, PS, A, D, P, U, W

from pageferry import arch
from pageferry.errors import HarnessError
from pageferry.paging import Kind, Rights
from pageferry.tables import TableFormat

X86 = arch.get("x86_64")
STAGES = pytest.mark.parametrize("fmt", [X86.stage1, X86.stage2], ids=lambda fmt: fmt.name)
FORMATS = [fmt for name in arch.names() for fmt in (arch.get(name).stage1, arch.get(name).stage2)]


# Any entry at all, and entries that no reserved bit makes malformed.
ENTRIES = st.integers(0, 2**64 - 1) | st.integers(0, 2**40 - 1).map(lambda low: low | P)


def test_x86_64_is_one_of_the_architectures() -> None:
    assert "x86_64" in arch.names()


@pytest.mark.parametrize("name", arch.names())
def test_an_architecture_is_found_by_its_name(name: str) -> None:
    assert arch.get(name).name == name


@pytest.mark.parametrize("name", ["vax", "", "__init__", "x86_64.ARCH"])
def test_an_unknown_architecture_is_told_with_those_that_exist(name: str) -> None:
    with pytest.raises(HarnessError, match=r"there are: .*x86_64"):
        arch.get(name)


@pytest.mark.parametrize("name", arch.names())
def test_a_descriptor_needs_nothing_but_the_standard_library(name: str) -> None:
    harness = Path(__file__).parents[2] / "harness"
    code = f"import sys; sys.path[0] = {str(harness)!r}; import pageferry.arch.{name}"
    subprocess.run([sys.executable, "-S", "-E", "-c", code], check=True)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
@given(raw=ENTRIES)
def test_no_entry_of_the_lowest_level_names_a_table(fmt: TableFormat, raw: int) -> None:
    assert fmt.entry(raw, 0).kind is not Kind.TABLE


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
@given(raw=ENTRIES, level=st.integers(0, 3))
def test_every_output_is_page_aligned(fmt: TableFormat, raw: int, level: int) -> None:
    assert fmt.entry(raw, level).output % 4096 == 0


@pytest.mark.parametrize("name", arch.names())
@given(raw=ENTRIES, level=st.integers(0, 3))
def test_accessed_and_dirty_bits_of_a_leaf_mean_nothing_to_a_translation(
    name: str, raw: int, level: int
) -> None:
    it = arch.get(name)
    clear = it.stage2.entry(raw & ~it.accessed_dirty, level)
    if clear.kind is Kind.LEAF:
        assert it.stage2.entry(raw, level) == clear


# x86-64


def test_the_cpu_of_x86_64_sets_the_accessed_and_the_dirty_bit() -> None:
    assert X86.accessed_dirty == A | D == 0x60


def test_a_control_register_gives_its_table_without_its_flags() -> None:
    assert X86.root_of(0x8000_00AB_CDEF_0FFF) == 0x0000_00AB_CDEF_0000


@STAGES
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_an_entry_without_p_is_absent_whatever_else_it_says(fmt: TableFormat, level: int) -> None:
    assert fmt.entry(2**64 - 2, level).kind is Kind.ABSENT


def reserved_bits(level: int, large: bool) -> set[int]:
    """APM volume 2, figures of section 5.3, with 40 physical address bits."""
    reserved = set(range(40, 52))
    if level == 3:
        reserved |= {7, 8}
    if large:
        reserved |= set(range(13, {1: 21, 2: 30}[level]))
    return reserved


@STAGES
@pytest.mark.parametrize(
    ("level", "large"),
    [(3, False), (2, False), (2, True), (1, False), (1, True), (0, False)],
    ids=["PML4E", "PDPE", "1 GiB PDPE", "PDE", "2 MiB PDE", "PTE"],
)
def test_exactly_the_reserved_bits_make_an_entry_malformed(
    fmt: TableFormat, level: int, large: bool
) -> None:
    entry = OPEN | (PS if large else 0)
    changeable = set(range(64)) - {0} - ({7} if level in (1, 2) else set())
    malformed = {
        bit for bit in changeable if fmt.entry(entry ^ 1 << bit, level).kind is Kind.MALFORMED
    }
    assert malformed == reserved_bits(level, large)


@STAGES
@pytest.mark.parametrize(
    ("level", "flags", "kind"),
    [
        (3, OPEN, Kind.TABLE),
        (2, OPEN, Kind.TABLE),
        (2, OPEN | PS, Kind.LEAF),
        (1, OPEN, Kind.TABLE),
        (1, OPEN | PS, Kind.LEAF),
        (0, OPEN, Kind.LEAF),
        (0, OPEN | PS, Kind.LEAF),  # bit 7 of a PTE is PAT
    ],
)
def test_the_page_size_bit_makes_a_leaf_of_the_middle_levels(
    fmt: TableFormat, level: int, flags: int, kind: Kind
) -> None:
    assert fmt.entry(0x8000_0000 | flags, level).kind is kind


@STAGES
@pytest.mark.parametrize(("level", "page"), [(1, 0xAB_CDE0_0000), (2, 0xAB_C000_0000)])
def test_the_pat_bit_of_a_large_page_is_no_address(fmt: TableFormat, level: int, page: int) -> None:
    assert fmt.entry(page | OPEN | PS | 1 << 12, level).output == page


@STAGES
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_an_entry_names_a_frame_by_bits_12_to_39(fmt: TableFormat, level: int) -> None:
    assert fmt.entry(0x0000_00FF_FFFF_F000 | OPEN | NX, level).output == 0xFF_FFFF_F000


@STAGES
@pytest.mark.parametrize(
    ("flags", "rights"),
    [
        (P | U, Rights.READ | Rights.EXECUTE),
        (P | U | NX, Rights.READ),
        (P | U | W, Rights.ALL),
        (P | U | W | NX, Rights.READ | Rights.WRITE),
    ],
)
def test_an_entry_grants_by_w_and_nx(fmt: TableFormat, flags: int, rights: Rights) -> None:
    assert fmt.entry(0x7000 | flags, 0).rights == rights


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_nested_entry_without_u_grants_nothing(level: int) -> None:
    assert X86.stage2.entry(0x7000 | P | W, level).rights is Rights.NONE


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_guests_own_entry_without_u_is_the_supervisors(level: int) -> None:
    assert X86.stage1.entry(0x7000 | P | W, level).rights == Rights.ALL


def test_only_the_guests_own_addresses_have_a_sign() -> None:
    assert (X86.stage1.sign_extends, X86.stage2.sign_extends) == (True, False)
