"""The file that the plugin and the harness share, without a machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from pageferry import arch, recorder
from pageferry.arch import Arch
from pageferry.errors import HarnessError
from pageferry.recorder import Recorder
from pageferry.traces import Traces
from pageferry.wire.record import HEADER_START, RECORD, WATCH, Watch

MIB = 1 << 20
X86 = arch.get("x86_64")


def made(tmp_path: Path, of: Arch = X86, cpus: int = 3) -> Recorder:
    plugin = tmp_path / "recorder.so"
    plugin.touch()
    return Recorder(plugin, of, cpus, MIB, image_end=0x2345)


def happened(it: Recorder, count: int, lost: int = 0) -> None:
    """The plugin has written so many records."""
    it._map[: HEADER_START.size] = HEADER_START.pack(1, lost, count, 0, 0)
    first = WATCH + MIB // 8
    for number in range(min(count, recorder.ROOM)):
        record = RECORD.pack(number, 0, 0, 0, 1, 0, 0)
        start = first + number * RECORD.size
        it._map[start : start + RECORD.size] = record


def test_code_is_a_guests_from_the_frame_behind_the_image_on(tmp_path: Path) -> None:
    it = made(tmp_path)
    (_, said) = it.arguments(ram_fd=17)
    assert "guests=3000" in said.split(",")
    it.close()


def test_every_number_of_the_arguments_is_hexadecimal_without_a_prefix(tmp_path: Path) -> None:
    it = made(tmp_path)
    option, said = it.arguments(ram_fd=17)
    assert option == "-plugin"
    file, *rest = said.split(",")
    assert file == f"file={tmp_path / 'recorder.so'}"
    assert rest[0] == "ram=11:0:100000"
    assert "enter=ffffff:d8010f" in rest
    assert "device=fee00300" in rest
    it.close()


def test_a_range_is_watched_by_whole_units(tmp_path: Path) -> None:
    it = made(tmp_path)
    it.watch(0x1004, 8, Watch.STORES)
    it.watch(0x1008, 8, Watch.ACCESSES)
    first = WATCH + 0x1000 // 8
    assert it._map[first - 1 : first + 3] == bytes([0, 1, 3, 0])
    it.close()


def test_records_end_with_their_count(tmp_path: Path) -> None:
    it = made(tmp_path)
    it.start()
    happened(it, 3)
    assert [record.address for record in it.stop()] == [0, 1, 2]
    it.start()
    assert it.stop() == []
    it.close()


def test_each_start_counts_as_a_change(tmp_path: Path) -> None:
    it = made(tmp_path)
    it.start()
    it.start()
    assert (it.header().changes, it.header().happenings) == (2, 2)
    it.close()


def test_a_record_too_many_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "ROOM", 2)
    it = made(tmp_path)
    happened(it, 3)
    with pytest.raises(HarnessError, match="3 records, and there is room for 2"):
        it.stop()
    it.close()


def test_an_access_without_an_address_is_an_error(tmp_path: Path) -> None:
    it = made(tmp_path)
    happened(it, 0, lost=4)
    with pytest.raises(HarnessError, match="of 4 accesses"):
        it.stop()
    it.close()


def test_what_cannot_be_recorded_is_told_before_a_machine_is_started(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="room for 8 CPUs, not for 9"):
        made(tmp_path, cpus=9)
    with pytest.raises(HarnessError, match="what there is to record on x86_64"):
        made(tmp_path, replace(X86, traces=None))
    with pytest.raises(HarnessError, match="run `make plugin`"):
        Recorder(tmp_path / "none.so", X86, 1, MIB, 0)


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    it = made(tmp_path)
    it.close()
    it.close()


def test_an_architecture_without_a_kick_or_a_control_block_has_shorter_arguments(
    tmp_path: Path,
) -> None:
    it = made(tmp_path, replace(X86, traces=Traces(instructions=())))
    (_, said) = it.arguments(ram_fd=3)
    assert [word.split("=")[0] for word in said.split(",")] == ["file", "ram", "record", "guests"]
    it.close()
