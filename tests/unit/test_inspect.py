"""Questions about a system whose tables were written by hand and whose hypervisor is foreign."""

import json
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.unit.handmade import NX, OPEN, A, Handmade, P, U

from pageferry import arch, inspect
from pageferry.address import GPA, GVA, HPA
from pageferry.errors import HarnessError, MemoryUnreadable
from pageferry.inspect import render
from pageferry.paging import Rights

RAM = 0x6000_0000
OWN_TABLES = RAM + 0x1000
FRAMES = 0x40_0000


class System:
    """Two guests. The first has a stage 1 of its own, which maps GVA 0 + x to GPA RAM + x."""

    def __init__(self) -> None:
        tables = Handmade()
        self.memory = tables.memory
        self.roots = [tables.table(), tables.table()]
        self.tables = tables
        for page in range(16):
            self.give(0, RAM + 0x1000 * page, FRAMES + 0x1000 * page)
            self.memory.write(HPA(FRAMES + 0x1000 * page), bytes([page]) * 0x1000)
        self.give(1, RAM, FRAMES + 0x10_0000)
        self._make_stage1()
        self.system = inspect.System(
            arch.get("x86_64"),
            self.memory,
            roots={
                1: inspect.Roots(GPA(OWN_TABLES), self.roots[0]),
                2: inspect.Roots(None, self.roots[1]),
            },
        )

    def give(self, guest: int, gpa: int, frame: int, flags: int = OPEN | A) -> None:
        self.tables.map(self.roots[guest], gpa, frame, flags)

    def _make_stage1(self) -> None:
        """Root, and one table a level below it, on the guest's own pages 1 to 4."""

        def put(page: int, index: int, entry: int) -> None:
            place = FRAMES + 0x1000 * page + 8 * index
            self.memory.write(HPA(place), entry.to_bytes(8, "little"))

        for page in range(1, 5):
            self.memory.write(HPA(FRAMES + 0x1000 * page), bytes(0x1000))
        for page in range(1, 4):
            put(page, 0, RAM + 0x1000 * (page + 1) | OPEN)
        for page in range(16):
            put(4, page, RAM + 0x1000 * page | OPEN)
        put(4, 16, RAM + 0x50_0000 | OPEN)


@pytest.fixture
def made() -> System:
    return System()


def lines(made: System, command: str) -> list[str]:
    return inspect.run(made.system, command.split()).splitlines()


def answer(made: System, command: str) -> object:
    return json.loads(inspect.run(made.system, [*command.split(), "--json"]))


# Guests


def test_guests_are_listed_with_their_roots_and_pages(made: System) -> None:
    first, second = inspect.guests(made.system)
    assert (first.vm, first.stage1_root, first.stage2_root) == (1, OWN_TABLES, made.roots[0])
    assert (first.pages, second.pages) == (16, 1)


def test_what_a_foreign_hypervisor_keeps_is_shown_as_not_known(made: System) -> None:
    head, first, second = lines(made, "guests")
    assert head.split() == "guest stage 1 stage 2 pages posted".split()
    assert first.split()[-1] == second.split()[-1] == "-"


def test_each_vcpu_of_a_guest_has_a_row_and_an_object() -> None:
    vcpus = (
        inspect.VcpuSeen(0, 1, "waiting", "", GVA(0x6000_00AF)),
        inspect.VcpuSeen(1, 3, "stopped", "triple fault", GVA(0x6000_0010)),
    )
    seen = [inspect.GuestSeen(1, GPA(0x6000_2000), HPA(0x90_0000), 512, vcpus, 2048)]
    tables, vcpu_table = render.guests_text(seen).split("\n\n")
    assert tables.splitlines()[1].split() == ["g1", "0x60002000", "0x900000", "512", "2048"]
    head, first, second = vcpu_table.splitlines()
    assert head.split() == ["vCPU", "CPU", "state", "counter"]
    assert first.split() == ["g1.0", "1", "waiting", "0x600000af"]
    assert second.split() == ["g1.1", "3", "stopped:", "triple", "fault", "0x60000010"]
    (found,) = render.guests_json(seen)
    assert [(it["vcpu"], it["cpu"], it["state"]) for it in found["vcpus"]] == [
        (0, 1, "waiting"),
        (1, 3, "stopped"),
    ]
    assert found["vcpus"][1]["reason"] == "triple fault"


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
    assert head.split() == "stage level at entry kind rights".split()
    assert [row.split()[:2] for row in rows[:8]] == [
        [stage, level] for stage in "12" for level in "3210"
    ]


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
        self._roots = {
            x86.stage2_root.format(vm=vm, vcpu=0): root for vm, root in enumerate(roots, 1)
        }

    def read_int(self, expression: str) -> int:
        return self._roots.get(expression, 0)

    def size(self, expression: str) -> int:
        return self.SIZES[expression]

    def enum(self, name: str) -> dict[str, int]:
        return {"OF_NOBODY": 0}


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


def test_a_map_that_was_written_down_is_compared_with_the_one_of_now(
    made: System, tmp_path: Path
) -> None:
    file = tmp_path / "before"
    file.write_text(inspect.run(made.system, ["map", "g1", "--json"]))
    assert lines(made, f"diff g1 {file}") == ["no page differs"]
    made.give(0, RAM + 0x3000, 0, 0)
    made.give(0, RAM + 0x20000, FRAMES, P | U)
    assert [line.split() for line in lines(made, f"diff g1 {file}")] == [
        ["address", "led", "to", "leads", "to"],
        ["0x60003000", "0x403000", "rwx", "-"],
        ["0x60020000", "-", "0x400000", "r-x"],
    ]
    assert answer(made, f"diff g1 {file}") == [
        {
            "address": "0x60003000",
            "before": {"output": "0x403000", "rights": "rwx"},
            "after": None,
        },
        {
            "address": "0x60020000",
            "before": None,
            "after": {"output": "0x400000", "rights": "r-x"},
        },
    ]


@pytest.mark.parametrize(
    "text", ["", "5", "[5]", '{"address": 1}', '[{"address": "x", "output": "0x1"}]', "\xff"]
)
def test_a_file_without_a_map_is_named(made: System, tmp_path: Path, text: str) -> None:
    file = tmp_path / "before"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(HarnessError, match="before has no map, as `map g1 --json` writes it"):
        inspect.run(made.system, ["diff", "g1", str(file)])


# Command lines


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "the following arguments are required"),
        ("nonsense", "invalid choice: 'nonsense'"),
        ("walk g1", "the following arguments are required: address"),
        ("walk one 0", "'one' is no guest, as g1"),
        ("walk g1 here", "'here' is no number, as 4096 or 0x1000"),
        ("walk g1 0x10000000000000000", "0x10000000000000000 is no number of 64 bits"),
        ("x g1:0x1000 0", "0 words are none to show: 1 or more"),
        ("x 0x1000", "'0x1000' is no place in a guest, as g1:0x60000000"),
        ("map g1 --stage 3", "invalid choice: 3"),
        ("diff g1", "the following arguments are required: file"),
        ("diff g1 no-such-file", "no-such-file has no map, .*No such file"),
    ],
)
def test_a_command_that_is_none_is_explained(made: System, command: str, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        inspect.run(made.system, command.split())


@pytest.mark.parametrize(
    "command", ["guests", "walk g1 0x5000", "owner 0x405000", "map g1", "x g1:0x5000"]
)
def test_every_command_answers_in_json_too(made: System, command: str) -> None:
    assert answer(made, command)


def test_addresses_can_be_what_the_caller_makes_of_them(made: System) -> None:
    found = inspect.run(made.system, ["owner", "$rax"], lambda text: FRAMES)
    assert found.startswith("frame 0x400000\n")
