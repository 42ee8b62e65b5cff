"""The plugin's records, from bytes; and that both sides mean the same bytes."""

import struct
from pathlib import Path

import pytest

from pageferry.image import Image
from pageferry.image.types import Pointer
from pageferry.image.types import Record as CRecord
from pageferry.recorder import PLUGIN
from pageferry.wire.record import HEADER, RECORD, WATCH, Kind, Record, parse, parse_header

ROOT = Path(__file__).parents[2]

STORE = struct.pack("<QQQIBBBB", 0x1000, 7, 0x20_0000, 3, 1, 2, 0, 0)
ACCESS = struct.pack("<QQQIBBBB", 0x5008, 0, 0x60_0000, 4, 6, 1, 2, 0)


def test_records_are_numbered_in_their_order() -> None:
    assert list(parse(STORE + ACCESS)) == [
        Record(0, Kind.STORE, 2, 0x1000, 7, 0x20_0000, 3, 0),
        Record(1, Kind.ACCESS, 1, 0x5008, 0, 0x60_0000, 4, 2),
    ]


def test_no_bytes_are_no_records() -> None:
    assert list(parse(b"")) == []


@pytest.mark.parametrize("kind", [0, 7, 255])
def test_a_record_of_no_kind_is_not_taken_for_one(kind: int) -> None:
    with pytest.raises(ValueError, match=f"record 1 is of kind {kind}"):
        list(parse(STORE + struct.pack("<QQQIBBBB", 0, 0, 0, 0, kind, 0, 0, 0)))


def test_half_a_record_is_an_error() -> None:
    with pytest.raises(struct.error):
        list(parse(STORE[:-1]))


def test_the_header_is_the_beginning_of_the_file() -> None:
    found = parse_header(struct.pack("<IIQQQ8Q", 1, 2, 3, 4, 5, *range(10, 18)) + bytes(100))
    assert found[:5] == (True, 2, 3, 4, 5)
    assert found.guest_code == tuple(range(10, 18))


@pytest.fixture
def plugin() -> Image:
    """What `make plugin` has built."""
    if not (ROOT / PLUGIN).is_file():
        pytest.skip("the plugin is not built: make plugin")
    return Image.load(ROOT / PLUGIN)


def pointed_at(plugin: Image, variable: str) -> CRecord:
    """The structure that a pointer of the plugin points at."""
    _, pointer = plugin.variable(variable)
    assert isinstance(pointer, Pointer)
    target = pointer.target()
    assert isinstance(target, CRecord)
    return target


def test_the_plugin_and_the_harness_have_one_size_of_each(plugin: Image) -> None:
    assert pointed_at(plugin, "records").size == RECORD.size
    assert pointed_at(plugin, "header").size == HEADER.size
    assert HEADER.size <= WATCH


def test_a_member_of_a_record_is_where_the_parser_looks(plugin: Image) -> None:
    record = pointed_at(plugin, "records")
    names = "address value code since kind cpu detail".split()
    assert [record.member(name).offset for name in names] == [0, 8, 16, 24, 28, 29, 30]


def test_the_kinds_have_the_numbers_of_the_plugin(plugin: Image) -> None:
    numbers = plugin.enum("record_kind")
    assert numbers == {f"RECORD_{kind.name}": kind for kind in Kind}
