"""Questions about a system whose tables were written by hand and whose hypervisor is foreign."""

import random
from types import MappingProxyType

import pytest
from tests.unit.handmade import NX, OPEN, P, U
from tests.unit.inspected import FRAMES, OWN_TABLES, RAM, System, answer, lines

from pageferry import arch, inspect
from pageferry.address import GPA, GVA, HPA
from pageferry.errors import HarnessError, MemoryUnreadable
from pageferry.inspect import render
from pageferry.memory import FakeMemory
from pageferry.paging import Rights


@pytest.fixture
def made() -> System:
    return System()


# Guests


def test_guests_are_listed_with_their_roots_and_pages(made: System) -> None:
    first, second = inspect.guests(made.system)
    assert (first.vm, first.stage1_root, first.stage2_root) == (1, OWN_TABLES, made.roots[0])
    assert (first.pages, second.pages) == (16, 1)


def test_what_a_foreign_hypervisor_keeps_is_shown_as_not_known(made: System) -> None:
    head, first, second = lines(made, "guests")
    assert head.split() == "guest stage 1 stage 2 pages window pages posted".split()
    assert first.split()[-1] == second.split()[-1] == "-"


def test_each_vcpu_of_a_guest_has_a_row_and_an_object() -> None:
    vcpus = (
        inspect.VcpuSeen(0, 1, "waiting", "", GVA(0x6000_00AF), "serve (agent.c:12)"),
        inspect.VcpuSeen(1, 3, "stopped", "triple fault", GVA(0x6000_0010)),
    )
    seen = [inspect.GuestSeen(1, GPA(0x6000_2000), HPA(0x90_0000), 512, vcpus, 2048)]
    tables, vcpu_table = render.guests_text(seen).split("\n\n")
    assert tables.splitlines()[1].split() == ["g1", "0x60002000", "0x900000", "512", "2048"]
    head, first, second = vcpu_table.splitlines()
    assert head.split() == "vCPU CPU state last left its CPU at".split()
    assert first.split() == ["g1.0", "1", "waiting", "0x600000af,", "serve", "(agent.c:12)"]
    assert second.split() == ["g1.1", "3", "stopped:", "triple", "fault", "0x60000010"]
    (found,) = render.guests_json(seen)
    assert [(it["vcpu"], it["cpu"], it["state"]) for it in found["vcpus"]] == [
        (0, 1, "waiting"),
        (1, 3, "stopped"),
    ]
    assert found["vcpus"][1]["reason"] == "triple fault"
    assert [it["counter"] for it in found["vcpus"]] == ["0x600000af", "0x60000010"]
    assert [it["code"] for it in found["vcpus"]] == ["serve (agent.c:12)", None]


def test_a_guest_that_does_not_exist_is_told_with_those_that_do(made: System) -> None:
    with pytest.raises(HarnessError, match="there is no guest g3; there are: g1, g2"):
        inspect.map_of(made.system, 3)


# Walking


def test_a_walk_goes_through_both_stages(made: System) -> None:
    way = inspect.walk(made.system, 1, GVA(0x5123))
    assert (way.gpa, way.hpa) == (RAM + 0x5123, FRAMES + 0x5123)


def test_a_walk_is_shown_with_its_entries(made: System) -> None:
    lead, _, head, *rows = lines(made, "walk g1 0x5123")
    assert lead == "g1: GVA 0x5123 -> GPA 0x60005123 -> HPA 0x405123  rwx"
    assert head.split() == "stage level for at entry kind rights".split()
    assert [row.split()[:3] for row in rows[:8]] == [
        [stage, level, "page"] for stage in "12" for level in "3210"
    ]
    assert rows[9].startswith("(level 0 is the leaf")


def test_a_walk_that_fails_shows_for_which_table_of_stage_1_stage_2_was_walked(
    made: System,
) -> None:
    _, _, _, *rows = lines(made, "walk g1 0x10000")
    on_the_way = [(stage, table) for table in "3210" for stage in "22221"]
    assert [row.split()[0] for row in rows[:20]] == [stage for stage, _ in on_the_way]
    assert [row.split()[2:4] for row in rows[:20] if row.startswith("2")] == [
        ["table", table] for stage, table in on_the_way if stage == "2"
    ]
    assert [row.split()[:3] for row in rows[20:23]] == [["2", level, "page"] for level in "321"]


def test_a_walk_names_the_stage_that_fails(made: System) -> None:
    found = answer(made, "walk g1 0x10000")
    assert isinstance(found, dict)
    assert (found["stage"], found["level"], found["hpa"]) == (2, 1, None)
    assert lines(made, "walk g1 0x10000")[0].startswith("g1: stage 2 fails at level 1")


def test_a_walk_needs_to_know_the_guest_s_own_tables(made: System) -> None:
    with pytest.raises(HarnessError, match="where g2 has its own tables is not known"):
        inspect.walk(made.system, 2, GVA(0))


# Bytes


def test_bytes_are_what_the_guest_would_read(made: System) -> None:
    assert inspect.bytes_at(made.system, 1, GVA(0x5FFE), 4) == bytes([5, 5, 6, 6])


def test_words_are_shown_two_a_line(made: System) -> None:
    assert lines(made, "x g1:0x5000 3") == [
        "0x5000: 0x0505050505050505 0x0505050505050505",
        "0x5010: 0x0505050505050505",
    ]


def test_bytes_beyond_what_is_mapped_are_not_zeros(made: System) -> None:
    with pytest.raises(HarnessError, match=r"g1:0x10000 cannot be read: stage 2 fails at level 1"):
        inspect.bytes_at(made.system, 1, GVA(0xFFF8), 16)


# Owners


def test_a_frame_s_owner_is_whoever_maps_it(made: System) -> None:
    found = inspect.owner(made.system, HPA(FRAMES + 0x5ABC))
    assert found.frame == FRAMES + 0x5000
    assert [(it.vm, it.gpa) for it in found.mapped] == [(1, RAM + 0x5000)]


def test_a_frame_that_two_map_has_both(made: System) -> None:
    made.give(1, RAM + 0x8000, FRAMES + 0x5000, P | U | NX)
    found = inspect.owner(made.system, HPA(FRAMES + 0x5000))
    assert [(it.vm, it.rights) for it in found.mapped] == [(1, Rights.ALL), (2, Rights.READ)]


def test_a_frame_in_a_large_leaf_has_its_own_page(made: System) -> None:
    made.tables.map(made.roots[1], 0x7000_0000, 0x80_0000, OPEN, level=1)
    (holder,) = inspect.owner(made.system, HPA(0x80_3000)).mapped
    assert holder.gpa == 0x7000_3000


def test_a_frame_of_a_table_is_one(made: System) -> None:
    assert inspect.owner(made.system, made.roots[1]).table == 2


def test_a_frame_that_nobody_has_is_nobody_s(made: System) -> None:
    assert lines(made, "owner 0x700000") == [
        "frame 0x700000",
        "  record    none",
        "  mapped    by no guest",
    ]


class Variables:
    """Of a hypervisor that has frames for 8 MiB of RAM, and made those two guests."""

    SIZES = MappingProxyType({"vms": 3, "vms[0]": 1, "frames": 0x800, "frames[0]": 1})

    def __init__(self, roots: list[HPA]) -> None:
        x86 = arch.get("x86_64")
        self._values: dict[str, int] = {}
        for vm, root in enumerate(roots, 1):
            pointer, _, _ = x86.stage2_root.format(vm=vm, vcpu=0).partition("->")
            self._values |= {pointer: 1, x86.stage2_root.format(vm=vm, vcpu=0): root}

    def read_int(self, expression: str) -> int:
        pointer, arrow, _ = expression.partition("->")
        assert not arrow or self._values.get(pointer), f"{pointer} is a null pointer"
        return self._values.get(expression, 0)

    def size(self, expression: str) -> int:
        return self.SIZES[expression]

    def enum(self, name: str) -> dict[str, int]:
        return {"OF_NOBODY": 0}


class Anything(Variables):
    """Of a hypervisor whose memory anything may be in."""

    def __init__(self, pick: random.Random) -> None:
        self._pick = pick

    def read_int(self, expression: str) -> int:
        word = self._pick.getrandbits(64)
        return self._pick.choice([0, 1, word & 0xF000, word])

    def size(self, expression: str) -> int:
        return self.SIZES.get(expression, 8)


@pytest.mark.parametrize("name", arch.names())
def test_what_random_bytes_are_is_answered_or_an_error_of_the_bench(name: str) -> None:
    refused = 0
    for seed in range(70):
        pick = random.Random(seed)
        memory = FakeMemory()
        memory.write(HPA(0), pick.randbytes(1 << 12) + bytes(0xF000))
        system = inspect.System(arch.get(name), memory, Anything(pick))
        for question in ("guests", "walk g1 0", "owner 0x5000", "map g1", "map g2 --stage 1"):
            try:
                inspect.run(system, question.split())
            except HarnessError:
                refused += 1
    assert refused


def test_a_root_that_is_not_aligned_is_an_error_of_the_bench(made: System) -> None:
    system = inspect.System(
        arch.get("riscv64"), made.memory, roots={1: inspect.Roots(None, HPA(0x1000))}
    )
    with pytest.raises(HarnessError, match=r"has no tables of g1: 0x1000 is .* not aligned to 0x4"):
        inspect.run(system, ["map", "g1"])


@pytest.fixture
def ours(made: System) -> inspect.System:
    return inspect.System(made.system.arch, made.memory, Variables(made.roots))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (0x800000, ""),
        (1 << 63, ""),
        (RAM + 0x5123, "; to g1 it is a page in frame 0x405000"),
        (RAM, "; to g1 it is a page in frame 0x400000; to g2 it is a page in frame 0x500000"),
        (0x3000_0000, "; to a guest it is a page that none has now"),
    ],
)
def test_what_is_not_in_ram_is_nobody_s_frame(
    ours: inspect.System, address: int, said: str
) -> None:
    with pytest.raises(HarnessError) as caught:
        inspect.owner(ours, HPA(address))
    assert str(caught.value) == f"{address:#x} is not in RAM (RAM is 0x0..0x7fffff){said}"


def test_before_there_are_guests_a_frame_s_record_is_still_shown(made: System) -> None:
    young = inspect.System(made.system.arch, made.memory, Variables([]))
    found = inspect.owner(young, HPA(0x70_0000))
    assert found.record is not None
    assert (found.record.kind, found.mapped) == ("nobody", ())
    with pytest.raises(HarnessError, match="the hypervisor has not made g1 yet"):
        inspect.guests(young)


def test_the_last_byte_of_ram_lies_in_a_frame(ours: inspect.System) -> None:
    record = inspect.owner(ours, HPA(0x7F_FFFF)).record
    assert record is not None
    assert (record.kind, record.owner) == ("nobody", 0)


def test_a_frame_outside_of_ram_that_a_guest_maps_is_shown(
    made: System, ours: inspect.System
) -> None:
    made.give(1, RAM + 0x9000, 0xFEED_0000)
    (holder,) = inspect.owner(ours, HPA(0xFEED_0000)).mapped
    assert (holder.vm, holder.gpa) == (2, RAM + 0x9000)


def test_doubts_are_the_frames_of_which_record_and_tables_differ(made: System) -> None:
    made.give(1, RAM + 0x8000, FRAMES + 0x5000, P | U | NX)
    frames = [HPA(FRAMES + 0x1000 * page) for page in range(16)]
    records = {
        frame: inspect.Record("guest", 1, 0, GPA(RAM + frame - FRAMES), GPA(0)) for frame in frames
    }
    table = inspect.Record("free", 0, 0, GPA(0), GPA(0))
    assert list(inspect.doubts(made.system, {made.roots[1]: table, **records})) == [
        (made.roots[1], "by the record it is not a table, by the tables the other way round"),
        (frames[5], "g2 maps it at 0x60008000, of which the record knows nothing"),
    ]


# Maps


def test_pages_in_a_row_are_one_range(made: System) -> None:
    assert inspect.map_of(made.system, 1) == [inspect.Range(RAM, FRAMES, 0x10000, Rights.ALL)]


def test_other_rights_begin_another_range(made: System) -> None:
    made.give(0, RAM + 0x7000, FRAMES + 0x7000, P | U)
    sizes = [it.size for it in inspect.map_of(made.system, 1)]
    assert sizes == [0x7000, 0x1000, 0x8000]


def test_a_map_of_stage_1_leads_to_guest_physical_addresses(made: System) -> None:
    found = inspect.map_of(made.system, 1, stage=1)
    assert [(it.address, it.output, it.size) for it in found] == [
        (0, RAM, 0x10000),
        (0x10000, RAM + 0x50_0000, 0x1000),
    ]


def test_a_stage_1_table_that_stage_2_lost_is_not_shown_as_empty(made: System) -> None:
    made.give(0, RAM + 0x4000, 0, 0)
    with pytest.raises(MemoryUnreadable, match="stage 2 maps nothing at GPA 0x60004000"):
        inspect.map_of(made.system, 1, stage=1)


def test_maps_that_are_alike_do_not_differ(made: System) -> None:
    assert inspect.diff(inspect.map_of(made.system, 1), inspect.map_of(made.system, 1)) == []


def test_a_difference_names_the_page_and_both_sides(made: System) -> None:
    before = inspect.map_of(made.system, 1)
    made.give(0, RAM + 0x7000, FRAMES + 0x7000, P | U)
    made.give(0, RAM + 0x20000, FRAMES)
    made.give(0, RAM + 0x3000, 0, 0)
    assert inspect.diff(before, inspect.map_of(made.system, 1)) == [
        inspect.Change(RAM + 0x3000, (FRAMES + 0x3000, Rights.ALL), None),
        inspect.Change(
            RAM + 0x7000,
            (FRAMES + 0x7000, Rights.ALL),
            (FRAMES + 0x7000, Rights.READ | Rights.EXECUTE),
        ),
        inspect.Change(RAM + 0x20000, None, (FRAMES, Rights.ALL)),
    ]
