"""The parts of the debugger that need no gdb: its socket, its memory, what a stop says."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from pageferry.address import HPA
from pageferry.debugger import Frame, Stop, Stub
from pageferry.debugger.memory import PIECE, GdbMemory
from pageferry.debugger.process import Gdb
from pageferry.debugger.views import Command, Views
from pageferry.errors import DebuggerError, MemoryUnreadable
from pageferry.wire.gdbmi import Notice, Result

# The socket without a name


def test_who_has_the_door_can_connect() -> None:
    stub = Stub()
    with socket.socket(socket.AF_UNIX) as client, socket.socket(fileno=os.dup(stub.listener)) as it:
        client.connect(f"/proc/self/fd/{stub.door}")
        connection, _ = it.accept()
        with connection:
            client.sendall(b"+")
            assert connection.recv(1) == b"+"
    stub.close()


def test_it_has_left_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stub = Stub()
    assert list(tmp_path.iterdir()) == []
    stub.close()


def test_no_folder_is_too_deep_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("deep" * 25) / ("deeper" * 25)
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    Stub().close()


def test_closed_it_has_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    stub = Stub()
    stub.close()
    stub.close()
    assert len(os.listdir("/proc/self/fd")) == before


# Memory


class FakeStub:
    """Answers memory commands of MI from some bytes at an address."""

    def __init__(self, base: int, data: bytes) -> None:
        self.base = base
        self.data = bytearray(data)
        self.lengths: list[int] = []

    def execute(self, command: str) -> dict[str, Any]:
        verb, address, rest = command.split()
        offset = int(address, 16) - self.base
        if verb == "-data-write-memory-bytes":
            data = bytes.fromhex(rest)
            self.lengths.append(len(data))
            self.data[offset : offset + len(data)] = data
            return {}
        self.lengths.append(int(rest))
        contents = self.data[offset : offset + int(rest)]
        if not contents:
            raise DebuggerError("Unable to read memory.")
        return {"memory": [{"begin": address, "contents": contents.hex()}]}


def memory(fake: FakeStub, *, running: bool = False, size: int | None = None) -> GdbMemory:
    return GdbMemory(fake.execute, lambda: running, HPA(fake.base), size)


def test_long_reads_and_writes_go_in_pieces() -> None:
    fake = FakeStub(0x1000, bytes(3 * PIECE))
    data = bytes(range(256)) * (2 * PIECE // 256) + b"end"
    memory(fake).write(HPA(0x1001), data)
    assert memory(fake).read(HPA(0x1001), len(data)) == data
    assert fake.lengths == [PIECE, PIECE, 3] * 2


def test_bytes_that_gdb_leaves_out_are_not_taken_for_read() -> None:
    with pytest.raises(MemoryUnreadable, match="gdb gave 4 of 8 bytes"):
        memory(FakeStub(0x1000, bytes(4))).read(HPA(0x1000), 8)


def test_what_gdb_refuses_is_unreadable_in_its_words() -> None:
    with pytest.raises(MemoryUnreadable, match="Unable to read memory"):
        memory(FakeStub(0x1000, b"")).read(HPA(0x1000), 8)


def test_nothing_is_asked_while_the_machine_runs() -> None:
    fake = FakeStub(0x1000, bytes(8))
    with pytest.raises(MemoryUnreadable, match="while the machine runs"):
        memory(fake, running=True).read(HPA(0x1000), 8)
    assert fake.lengths == []


@pytest.mark.parametrize(("address", "length"), [(0xFFF, 8), (0x1001, 8), (0x1000, -1)])
def test_nothing_is_asked_outside_of_what_is_memory(address: int, length: int) -> None:
    fake = FakeStub(0x1000, bytes(8))
    with pytest.raises(MemoryUnreadable, match="memory is 0x1000 to 0x1008"):
        memory(fake, size=8).read(HPA(address), length)
    assert fake.lengths == []


# Views


class FakeGdb:
    """Executes commands until Ctrl-C is pressed, and remembers which."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.pressed = False

    def execute_all(self, lines: Sequence[str], _: object = None) -> list[tuple[Result, str]]:
        if self.pressed:
            self.pressed = False
            raise KeyboardInterrupt
        self.lines += lines
        return [(Result("done", "^done", None), 'received: "OK"') for _ in lines]


def test_the_stub_is_told_the_view_again_when_ctrl_c_left_it_unknown() -> None:
    gdb = FakeGdb()
    views = Views(cast(Gdb, gdb))
    views.execute_all([Command("-read", physical=True)], standing=True)
    gdb.pressed = True
    with pytest.raises(KeyboardInterrupt):
        views.execute_all([Command("-look")], standing=True)
    gdb.lines.clear()
    views.execute_all([Command("-look")], standing=True)
    switch, look = gdb.lines
    assert "Qqemu.PhyMemMode:0" in switch
    assert look == "-look"


# Stops


def stopped(said: str) -> Stop:
    frame = 'frame={addr="0x0000000000201030",func="request_done",args=[],'
    frame += 'file="firmware/core/request.c",line="111",arch="i386:x86-64"},thread-id="2"'
    return Stop.of(Notice("stopped", f"*stopped,{said}{frame}").payload)


def test_a_stop_at_a_breakpoint_has_its_number_thread_and_place() -> None:
    stop = stopped('reason="breakpoint-hit",disp="keep",bkptno="3",')
    assert (stop.reason, stop.breakpoint, stop.thread) == ("breakpoint-hit", 3, 2)
    assert stop.frame == Frame(0x201030, "request_done", "request.c:111")


def test_a_stop_at_a_watchpoint_has_its_values() -> None:
    stop = stopped('reason="watchpoint-trigger",wpt={number="4",exp="x"},value={old="1",new="2"},')
    assert (stop.breakpoint, stop.old, stop.new) == (4, "1", "2")


def test_a_stop_at_a_read_has_the_value_that_was_read() -> None:
    stop = stopped(
        'reason="read-watchpoint-trigger",hw-rwpt={number="5",exp="x"},value={value="7"},'
    )
    assert (stop.breakpoint, stop.old, stop.new) == (5, None, "7")


@pytest.mark.parametrize(
    ("signal", "explained"), [("SIGINT", True), ("SIGTRAP", True), ("?", False), ("SIGQUIT", False)]
)
def test_a_signal_that_no_debugger_sends_is_explained_by_somebody_else(
    signal: str, explained: bool
) -> None:
    said = f'reason="signal-received",signal-name="{signal}",signal-meaning="",'
    assert stopped(said).explained is explained


def test_a_place_without_symbols_is_an_address() -> None:
    assert str(Frame.of({"addr": "0xfff0", "func": "??"})) == "0xfff0"
