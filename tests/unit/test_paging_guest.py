"""Both stages together: the guest's own tables lie in guest-physical memory."""

from dataclasses import dataclass

import pytest
from tests.unit.handmade import NX, OPEN, Handmade, P, U, W

from pageferry import arch
from pageferry.address import GPA, GVA, HPA
from pageferry.errors import MemoryUnreadable
from pageferry.memory import FakeMemory
from pageferry.paging import Failure, GuestTranslation, Kind, Rights, walk_guest

X86 = arch.get("x86_64")

# The guest has its stage-1 tables at GPA 0x60000000, 0x60001000, ... and a page at
# GPA 0x60100000 which it sees at this GVA. Its GPA X lies at HPA X - SHIFT.
GVA_OF_PAGE = GVA(0xA010_0000)
PAGE = GPA(0x6010_0000)
TABLES = [GPA(0x6000_0000 + 0x1000 * depth) for depth in range(4)]
SHIFT = 0x5F00_0000
READ_WRITE = Rights.READ | Rights.WRITE


@dataclass
class Guest:
    """A guest with one page, and the hypervisor's table for it."""

    hypervisor: Handmade
    stage2: HPA

    def walk(self, gva: int = GVA_OF_PAGE, root: int = TABLES[0]) -> GuestTranslation:
        return walk_guest(
            self.hypervisor.memory, X86.stage1, GPA(root), X86.stage2, self.stage2, GVA(gva)
        )

    def stage2_map(self, gpa: int, flags: int = OPEN) -> None:
        self.hypervisor.map(self.stage2, gpa, gpa - SHIFT, flags)

    def stage1_put(self, depth: int, index: int, entry: int) -> None:
        self.hypervisor.put(TABLES[depth] - SHIFT, index, entry)


INDEX = [0, 2, 0x100, 0x100]
"""The indexes of GVA_OF_PAGE: bits 47:39, 38:30, 29:21, 20:12 of 0xA0100000."""


@pytest.fixture
def guest() -> Guest:
    hypervisor = Handmade(0x80_0000)
    made = Guest(hypervisor, hypervisor.table())
    for gpa in [*TABLES, PAGE]:
        hypervisor.memory.write(HPA(gpa - SHIFT), bytes(0x1000))
        made.stage2_map(gpa)
    for depth, below in enumerate([*TABLES[1:], PAGE]):
        made.stage1_put(depth, INDEX[depth], below | P | W)
    return made


def test_an_address_goes_through_both_stages(guest: Guest) -> None:
    found = guest.walk(GVA_OF_PAGE + 0x123)
    assert (found.gpa, found.hpa) == (PAGE + 0x123, PAGE + 0x123 - SHIFT)


def test_a_translation_that_succeeds_has_no_failure(guest: Guest) -> None:
    assert guest.walk().fails(Rights.ALL) is None


def test_each_stage_1_entry_comes_with_its_own_stage_2_walk(guest: Guest) -> None:
    found = guest.walk()
    assert [(it.level, it.nested.address, it.nested.output) for it in found.steps] == [
        (3 - depth, table + 8 * INDEX[depth], table + 8 * INDEX[depth] - SHIFT)
        for depth, table in enumerate(TABLES)
    ]


def test_each_stage_1_entry_is_kept_as_it_is_in_memory(guest: Guest) -> None:
    raw = [it.step.raw for it in guest.walk().steps if it.step]
    assert raw == [below | P | W for below in [*TABLES[1:], PAGE]]


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_stage_1_table_given_away_fails_in_stage_2_at_its_level(guest: Guest, depth: int) -> None:
    guest.stage2_map(TABLES[depth], flags=0)
    entry = TABLES[depth] + 8 * INDEX[depth]
    assert guest.walk().fails() == Failure(2, 0, Kind.ABSENT, entry, table_level=3 - depth)


def test_a_stage_1_table_that_is_read_only_in_stage_2_cannot_be_walked(guest: Guest) -> None:
    guest.stage2_map(TABLES[2], P | U)
    entry = TABLES[2] + 8 * INDEX[2]
    assert guest.walk().fails() == Failure(2, 0, Kind.DENIED, entry, table_level=1)


def test_an_entry_that_the_cpu_may_not_read_leads_nowhere(guest: Guest) -> None:
    guest.stage2_map(TABLES[2], P | U)
    found = guest.walk()
    assert ([it.step is None for it in found.steps], found.gpa) == ([False, False, True], None)


def test_a_walk_that_ends_in_a_table_has_no_stage_1_result(guest: Guest) -> None:
    guest.stage2_map(TABLES[1], flags=0)
    found = guest.walk()
    assert (found.stage1, found.gpa, found.hpa, found.rights) == (None, None, None, Rights.NONE)


def test_the_entry_that_stage_2_hides_is_unknown_and_not_absent(guest: Guest) -> None:
    guest.stage2_map(TABLES[1], flags=0)
    assert [it.step is None for it in guest.walk().steps] == [False, True]


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_an_absent_stage_1_entry_fails_in_stage_1_at_its_level(guest: Guest, depth: int) -> None:
    guest.stage1_put(depth, INDEX[depth], 0)
    assert guest.walk().fails() == Failure(1, 3 - depth, Kind.ABSENT, GVA_OF_PAGE)


def test_a_page_given_away_fails_in_stage_2(guest: Guest) -> None:
    guest.stage2_map(PAGE, flags=0)
    assert guest.walk(GVA_OF_PAGE + 8).fails() == Failure(2, 0, Kind.ABSENT, PAGE + 8)


def test_a_page_given_away_still_has_its_guest_physical_address(guest: Guest) -> None:
    guest.stage2_map(PAGE, flags=0)
    assert (guest.walk().gpa, guest.walk().hpa) == (PAGE, None)


def test_a_malformed_stage_2_entry_is_named_so(guest: Guest) -> None:
    guest.stage2_map(PAGE, OPEN | 1 << 44)
    assert guest.walk().fails() == Failure(2, 0, Kind.MALFORMED, PAGE)


def test_a_malformed_stage_1_entry_is_named_so(guest: Guest) -> None:
    guest.stage1_put(1, INDEX[1], TABLES[2] | P | W | 1 << 44)
    assert guest.walk().fails() == Failure(1, 2, Kind.MALFORMED, GVA_OF_PAGE)


@pytest.mark.parametrize(
    ("stage1", "stage2", "rights"),
    [
        (P | W, OPEN, Rights.ALL),
        (P, OPEN, Rights.READ | Rights.EXECUTE),
        (P | W, P | U, Rights.READ | Rights.EXECUTE),
        (P | W | NX, P | U, Rights.READ),
        (P | W | NX, OPEN, READ_WRITE),
        (P | W, P | W, Rights.NONE),
    ],
)
def test_a_guest_has_the_rights_that_both_stages_allow(
    guest: Guest, stage1: int, stage2: int, rights: Rights
) -> None:
    guest.stage1_put(3, INDEX[3], PAGE | stage1)
    guest.stage2_map(PAGE, stage2)
    assert guest.walk().rights == rights


def test_a_write_to_a_shared_page_is_denied_by_stage_2(guest: Guest) -> None:
    guest.stage2_map(PAGE, P | U | NX)
    assert guest.walk().fails(Rights.WRITE) == Failure(2, 0, Kind.DENIED, PAGE)


def test_a_read_of_a_shared_page_succeeds(guest: Guest) -> None:
    guest.stage2_map(PAGE, P | U | NX)
    assert guest.walk().fails(Rights.READ) is None


def test_a_write_that_the_guest_itself_forbids_is_denied_by_stage_1(guest: Guest) -> None:
    guest.stage1_put(2, INDEX[2], TABLES[3] | P)
    assert guest.walk().fails(Rights.WRITE) == Failure(1, 1, Kind.DENIED, GVA_OF_PAGE)


def test_a_failure_reads_as_a_sentence(guest: Guest) -> None:
    guest.stage2_map(TABLES[1], flags=0)
    assert str(guest.walk().fails()) == (
        "stage 2 fails at level 0 (the leaf): 0x60001010 (stage-1 table of level 2) is absent"
    )


def test_an_address_that_is_not_canonical_fails_in_stage_1(guest: Guest) -> None:
    assert guest.walk(1 << 47).fails() == Failure(1, 3, Kind.BEYOND, 1 << 47)


def test_a_root_outside_the_guests_memory_fails_in_stage_2(guest: Guest) -> None:
    failure = guest.walk(root=0x7000_0000).fails()
    assert failure == Failure(2, 1, Kind.ABSENT, 0x7000_0000, table_level=3)


def test_a_root_that_is_not_page_aligned_is_a_mistake_of_the_caller(guest: Guest) -> None:
    with pytest.raises(ValueError, match="not aligned to 0x1000"):
        guest.walk(root=TABLES[0] + 8)


def test_a_frame_of_a_stage_1_table_that_cannot_be_read_raises(guest: Guest) -> None:
    guest.hypervisor.map(guest.stage2, TABLES[3], 0x7777_7000)
    with pytest.raises(MemoryUnreadable):
        guest.walk()


def test_a_guests_table_that_contains_itself_ends_the_walk(guest: Guest) -> None:
    guest.stage1_put(0, 0x1FF, TABLES[0] | P | W)
    found = guest.walk(0xFFFF_FFFF_FFFF_F000)
    assert (found.gpa, found.hpa) == (TABLES[0], TABLES[0] - SHIFT)


def test_nothing_of_the_guest_is_read_at_its_guest_physical_address(guest: Guest) -> None:
    memory = guest.hypervisor.memory
    assert isinstance(memory, FakeMemory)
    with pytest.raises(MemoryUnreadable):
        memory.read(HPA(TABLES[0]), 8)
