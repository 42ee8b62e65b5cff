"""Command lines about a system, and the files that one of them compares with."""

from pathlib import Path

import pytest
from tests.unit.handmade import P, U
from tests.unit.inspected import FRAMES, RAM, System, answer, lines

from pageferry import inspect
from pageferry.errors import HarnessError


@pytest.fixture
def made() -> System:
    return System()


# Command lines


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "the following arguments are required"),
        ("nonsense", "invalid choice: 'nonsense'"),
        ("walk g1", "the following arguments are required: address"),
        ("walk one 0", "'one' is no guest: say g1, or 1"),
        ("map guest1", "'guest1' is no guest: say g1, or 1"),
        ("walk g1 here", "'here' is no number, as 4096 or 0x1000"),
        ("walk g1 0x10000000000000000", "0x10000000000000000 is no number of 64 bits"),
        ("x g1:0x1000 0", "0 words are none to show: 1 or more"),
        ("x g1:0x1000 -4", "-4 is no number of 64 bits without a sign"),
        ("x 0x1000", "'0x1000' is no place in a guest, as g1:0x60000000"),
        ("map g1 --stage 3", "invalid choice: 3"),
        ("diff g1", "the following arguments are required: file"),
        ("diff g1 no-such-file", "no-such-file has no map, .*No such file"),
    ],
)
def test_a_command_that_is_none_is_explained(made: System, command: str, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        inspect.run(made.system, command.split())


@pytest.mark.parametrize("command", ["nonsense", "walk one 0", "owner here", "x g1:0 0"])
def test_what_is_no_command_needs_no_system_to_be_refused(command: str) -> None:
    with pytest.raises(HarnessError):
        inspect.parse(command.split())


def test_a_negative_count_is_none_where_numbers_wrap_as_in_gdb(made: System) -> None:
    with pytest.raises(HarnessError, match="-4 words are none to show: 1 or more"):
        inspect.run(made.system, ["x", "1:0x1000", "-4"], lambda text: int(text, 0) % (1 << 64))


@pytest.mark.parametrize(
    "command", ["guests", "walk g1 0x5000", "owner 0x405000", "map g1", "x g1:0x5000"]
)
def test_every_command_answers_in_json_too(made: System, command: str) -> None:
    assert answer(made, command)


def test_addresses_can_be_what_the_caller_makes_of_them(made: System) -> None:
    found = inspect.run(made.system, ["owner", "$rax"], lambda text: FRAMES)
    assert found.startswith("frame 0x400000\n")


# Maps in files


def test_a_map_says_of_which_guest_and_stage_it_is(made: System) -> None:
    found = answer(made, "map g1 --stage 1")
    assert isinstance(found, dict)
    assert (found["vm"], found["stage"], len(found["ranges"])) == (1, 1, 2)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("map g2", "has the map of stage 2 of g2, not of stage 2 of g1"),
        ("map g1 --stage 1", "has the map of stage 1 of g1, not of stage 2 of g1"),
    ],
)
def test_only_a_map_of_the_same_guest_and_stage_is_compared(
    made: System, tmp_path: Path, written: str, why: str
) -> None:
    file = tmp_path / "before"
    file.write_text(inspect.run(made.system, [*written.split(), "--json"]))
    with pytest.raises(HarnessError, match=why):
        lines(made, f"diff g1 {file}")


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
    "text", ["", "5", "[]", '{"ranges": []}', '{"vm": 1, "stage": 2, "ranges": [{}]}', "\xff"]
)
def test_a_file_without_a_map_is_named(made: System, tmp_path: Path, text: str) -> None:
    file = tmp_path / "before"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(HarnessError, match="before has no map, as `map g1 --json` writes it"):
        inspect.run(made.system, ["diff", "g1", str(file)])
