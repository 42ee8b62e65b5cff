"""Physical memory: the mapped RAM file, and the fake beside it."""

import os
from collections.abc import Iterator

import pytest

from pageferry.address import HPA
from pageferry.errors import MemoryUnreadable
from pageferry.memory import FakeMemory, PhysicalMemory, RamFile, read_u64

BASE = HPA(0x8000_0000)
SIZE = 0x3000


@pytest.fixture
def fd() -> Iterator[int]:
    descriptor = os.memfd_create("ram")
    os.ftruncate(descriptor, SIZE)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def ram(fd: int) -> Iterator[RamFile]:
    with RamFile(fd, SIZE, BASE) as memory:
        yield memory


@pytest.fixture
def fake() -> FakeMemory:
    memory = FakeMemory()
    memory.write(BASE, bytes(SIZE))
    return memory


@pytest.fixture(params=["ram", "fake"])
def memory(request: pytest.FixtureRequest) -> PhysicalMemory:
    chosen: PhysicalMemory = request.getfixturevalue(request.param)
    return chosen


def test_what_was_written_is_read_back(memory: PhysicalMemory) -> None:
    memory.write(HPA(BASE + 5), b"ferry")
    assert memory.read(HPA(BASE + 4), 7) == b"\0ferry\0"


def test_a_write_may_cross_frames(memory: PhysicalMemory) -> None:
    memory.write(HPA(BASE + 0xFFE), b"\1\2\3\4")
    assert memory.read(HPA(BASE + 0xFFC), 8) == b"\0\0\1\2\3\4\0\0"


def test_a_word_is_little_endian(memory: PhysicalMemory) -> None:
    memory.write(BASE, bytes([1, 2, 3, 4, 5, 6, 7, 8]))
    assert read_u64(memory, BASE) == 0x0807060504030201


def test_the_last_byte_can_be_read(memory: PhysicalMemory) -> None:
    assert memory.read(HPA(BASE + SIZE - 1), 1) == b"\0"


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (-4, 8), (SIZE - 4, 8), (SIZE, 1)])
def test_reading_where_nothing_is_raises(memory: PhysicalMemory, offset: int, length: int) -> None:
    with pytest.raises(MemoryUnreadable):
        memory.read(HPA(BASE + offset), length)


def test_a_negative_length_raises(memory: PhysicalMemory) -> None:
    with pytest.raises(MemoryUnreadable):
        memory.read(HPA(BASE + 8), -4)


@pytest.mark.parametrize("offset", [-1, SIZE - 1, SIZE])
def test_writing_outside_the_ram_file_raises(ram: RamFile, offset: int) -> None:
    with pytest.raises(MemoryUnreadable):
        ram.write(HPA(BASE + offset), b"ab")


def test_a_range_error_names_what_was_asked_for_and_what_there_is(ram: RamFile) -> None:
    with pytest.raises(MemoryUnreadable, match="no 8 bytes at 0x90000000: RAM is 0x80000000 to"):
        ram.read(HPA(0x9000_0000), 8)


def test_what_the_machine_writes_is_seen(fd: int, ram: RamFile) -> None:
    os.pwrite(fd, b"machine", 0x1000)
    assert ram.read(HPA(BASE + 0x1000), 7) == b"machine"


def test_what_the_harness_writes_is_in_the_file(fd: int, ram: RamFile) -> None:
    ram.write(HPA(BASE + 0x2000), b"harness")
    assert os.pread(fd, 7, 0x2000) == b"harness"


def test_the_descriptor_may_be_closed_once_it_is_mapped() -> None:
    descriptor = os.memfd_create("ram")
    os.ftruncate(descriptor, SIZE)
    memory = RamFile(descriptor, SIZE)
    os.close(descriptor)
    with memory:
        assert memory.read(HPA(0), 4) == bytes(4)


def test_reading_a_closed_ram_file_raises(fd: int) -> None:
    memory = RamFile(fd, SIZE)
    memory.close()
    with pytest.raises(MemoryUnreadable, match="closed"):
        memory.read(HPA(0), 1)


def test_closing_a_ram_file_twice_is_harmless(fd: int) -> None:
    memory = RamFile(fd, SIZE)
    memory.close()
    memory.close()


def test_a_file_smaller_than_the_ram_is_refused(fd: int) -> None:
    with pytest.raises(MemoryUnreadable, match="cannot be mapped"):
        RamFile(fd, SIZE * 2)


def test_a_fake_frame_nobody_wrote_to_is_unreadable() -> None:
    memory = FakeMemory()
    memory.write(HPA(0x1000), b"x")
    with pytest.raises(MemoryUnreadable, match="no frame at 0x2000"):
        memory.read(HPA(0x1FFF), 2)


def test_a_fake_frame_is_zero_where_nobody_wrote() -> None:
    memory = FakeMemory()
    memory.write(HPA(0x1800), b"x")
    assert memory.read(HPA(0x1000), 0x1000) == bytes(0x800) + b"x" + bytes(0x7FF)
