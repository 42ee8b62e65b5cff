"""Large files that take little room."""

from pathlib import Path

import pytest

from pageferry.address import HPA
from pageferry.channel import Deadline
from pageferry.errors import MemoryUnreadable
from pageferry.memory import FakeMemory
from pageferry.report.dump import CHUNK, Allowance, copy_sparse, dump_memory

MIB = 1 << 20


class Ram(FakeMemory):
    """RAM at 1 MiB, of which one word is not zero."""

    def __init__(self) -> None:
        super().__init__()
        self.write(HPA(MIB), bytes(4 * CHUNK))
        self.write(HPA(MIB + 3 * CHUNK - 8), b"12345678")


def dumped(folder: Path, size: int, allowance: int = MIB) -> Path:
    path = folder / "ram.bin"
    dump_memory(Ram(), HPA(MIB), size, path, Allowance(allowance))
    return path


def test_a_dump_is_memory_byte_for_byte(tmp_path: Path) -> None:
    expected = bytes(3 * CHUNK - 8) + b"12345678" + bytes(CHUNK)
    assert dumped(tmp_path, 4 * CHUNK).read_bytes() == expected


def test_only_what_is_not_zero_takes_room(tmp_path: Path) -> None:
    path = dumped(tmp_path, 4 * CHUNK)
    assert path.stat().st_blocks * 512 <= CHUNK
    copy = tmp_path / "copy"
    copy_sparse(path, copy, Allowance(MIB))
    assert copy.stat().st_blocks * 512 <= CHUNK
    assert copy.read_bytes() == path.read_bytes()


def test_an_allowance_is_used_up_by_all_dumps_together(tmp_path: Path) -> None:
    allowance = Allowance(CHUNK)
    dump_memory(Ram(), HPA(MIB), 4 * CHUNK, tmp_path / "one", allowance)
    with pytest.raises(OSError, match="larger than allowed: 0 left"):
        dump_memory(Ram(), HPA(MIB), 4 * CHUNK, tmp_path / "two", allowance)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_is_not_there_in_time_is_not_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ram.bin"
    over = Deadline.exactly(0)
    assert dump_memory(Ram(), HPA(MIB), 4 * CHUNK, path, Allowance(MIB), over) == 0
    assert path.stat().st_size == 0


def test_what_cannot_be_read_whole_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(MemoryUnreadable):
        dumped(tmp_path, 5 * CHUNK)
    assert list(tmp_path.iterdir()) == []
