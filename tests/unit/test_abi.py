"""The numbers of the ABI, compared with the header that the firmware is built from."""

import re
from enum import IntEnum
from pathlib import Path

import pytest

from pageferry import abi

HEADER = Path(__file__).parents[2] / "firmware/include/hypercall.h"

TWINS: list[tuple[str, str, type[IntEnum]]] = [
    ("guest_map", "MAP_", abi.GuestMap),
    ("operation", "OP_", abi.Operation),
    ("status", "STATUS_", abi.Status),
    ("command", "COMMAND_", abi.Command),
    ("outcome", "OUTCOME_", abi.Outcome),
]


def in_header(name: str, prefix: str) -> dict[str, int]:
    """The members of `enum name` as a C compiler numbers them, without their prefix."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    macros = dict(re.findall(r"#define (\w+)\s+(0x[0-9a-f]+|\d+)u?(?:ll)?\b", text))
    body = re.search(rf"enum {name} \{{(.*?)\}};", text, re.DOTALL)
    assert body, f"the header has no enum {name}"
    found: dict[str, int] = {}
    following = 0
    for member, value in re.findall(r"(\w+)(?:\s*=\s*(\w+))?\s*(?:,|$)", body[1].strip()):
        following = int(macros.get(value, value), 0) if value else following
        found[member.removeprefix(prefix)] = following
        following += 1
    return found


@pytest.mark.parametrize(("name", "prefix", "twin"), TWINS, ids=[it[0] for it in TWINS])
def test_an_enum_is_the_one_of_the_header(name: str, prefix: str, twin: type[IntEnum]) -> None:
    assert {it.name: it.value for it in twin} == in_header(name, prefix)


def test_the_accesses_are_those_of_the_header() -> None:
    assert {it.name: it.value for it in abi.Access} == in_header("access", "ACCESS_")


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (abi.Status.OK, "ok"),
        (abi.Status.NOT_POSTED, "not-posted"),
        (abi.Status.UNKNOWN_VM, "unknown-vm"),
        (abi.Status.UNKNOWN_VCPU, "unknown-vcpu"),
    ],
)
def test_a_status_has_its_word_on_the_console(status: abi.Status, word: str) -> None:
    assert status.console_name == word


@pytest.mark.parametrize("status", abi.Status)
def test_every_status_is_found_by_its_word(status: abi.Status) -> None:
    assert abi.Status.from_console(status.console_name) is status


@pytest.mark.parametrize("word", ["", "OK", "not_posted", "fine"])
def test_a_word_that_is_no_status_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="no status called"):
        abi.Status.from_console(word)
