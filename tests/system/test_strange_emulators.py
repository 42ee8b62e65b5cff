"""Programs that are no QEMU, or start one in an odd way, where QEMU is expected."""

import os
import resource
import select
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.system.timing import AT_ONCE, LONG, within

from pageferry import Machine
from pageferry import arch as architectures
from pageferry.channel import SCALE_VARIABLE
from pageferry.errors import HarnessError, ProtocolError, QemuMissing, WaitTimeout

Write = Callable[[str], str]


@pytest.fixture
def program(tmp_path: Path) -> Write:
    """Makes a program of its text, and gives its path."""

    def write(text: str) -> str:
        path = tmp_path / "emulator"
        path.write_text(text)
        path.chmod(stat.S_IRWXU)
        return str(path)

    return write


def children_of(pid: int) -> list[int]:
    return [int(it) for it in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# Wrappers


def test_closing_a_wrapper_ends_its_qemu(arch: str, parrot: Path, program: Write) -> None:
    emulator = architectures.get(arch).qemu
    wrapper = program(f'#!/bin/sh\n{emulator} "$@"; true\n')
    with Machine(architectures.get(arch), parrot, qemu=wrapper) as machine:
        (qemu,) = children_of(machine.pid)
        pidfd = os.pidfd_open(qemu)
        machine.monitor.close()  # so that it cannot be asked to end
    try:
        assert select.select([pidfd], [], [], LONG)[0] == [pidfd]
    finally:
        os.close(pidfd)


def test_a_wrapper_that_hangs_is_the_wait_it_kept_waiting(
    arch: str, parrot: Path, program: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SCALE_VARIABLE, "0.05")
    with (
        within(AT_ONCE),
        pytest.raises(WaitTimeout, match="waiting for the monitor's greeting"),
        Machine(architectures.get(arch), parrot, qemu=program("#!/bin/sh\nsleep 1000; true\n")),
    ):
        pass


# No programs


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("echo no shebang\n", "Exec format error", id="no interpreter"),
        pytest.param("#!/nonexistent\n", "No such file", id="missing interpreter"),
    ],
)
def test_a_program_that_cannot_be_run_is_named(
    arch: str, parrot: Path, program: Write, text: str, why: str
) -> None:
    path = program(text)
    with (
        pytest.raises(QemuMissing, match=f"cannot run {path}: {why}"),
        Machine(architectures.get(arch), parrot, qemu=path),
    ):
        pass


@contextmanager
def room_for(files: int) -> Iterator[None]:
    """No more than so many files can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + files, hard))
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(files):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


@pytest.mark.parametrize("files", range(0, 15, 2))
def test_too_many_open_files_are_an_error_of_ours_and_leave_none(
    arch: str, parrot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    described = architectures.get(arch)
    with Machine(described, parrot):  # all that a process opens once is open
        pass
    before = sorted(os.listdir("/proc/self/fd"))
    with (
        room_for(files),
        pytest.raises(HarnessError, match="Too many open files"),
        Machine(described, parrot),
    ):
        pass
    assert (sorted(os.listdir("/proc/self/fd")), os.listdir(tmp_path)) == (before, [])


# No QMP

FAKE = f"""#!{sys.executable} -S
import json, signal, socket, sys
(wire,) = [word for word in sys.argv if "id=monitor" in word]
wire = socket.socket(fileno=int(wire.partition("fd=")[2]))
greeting, answer = {{greeting!r}}, {{answer!r}}
wire.sendall(greeting)
if command := wire.recv(4096):
    done = {{{{"return": {{{{}}}}, "id": json.loads(command).get("id")}}}}
    wire.sendall(json.dumps(done).encode() + b"\\r\\n")
if wire.recv(4096):
    wire.sendall(answer)
signal.pause()
"""
GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""},'
    b' "capabilities": []}}\r\n'
)
STAMP = b'"timestamp": {"seconds": 0, "microseconds": 0}'


@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(b"hello\r\n", id="a word"),
        pytest.param(b"[1, 2]\r\n", id="a list"),
        pytest.param(b'{"foo": 1}\r\n', id="another object"),
        pytest.param(b"\xff\xfe{{{\r\n", id="no characters"),
    ],
)
def test_a_greeting_that_is_none_is_a_protocol_error(
    arch: str, parrot: Path, program: Write, monkeypatch: pytest.MonkeyPatch, greeting: bytes
) -> None:
    monkeypatch.setenv(SCALE_VARIABLE, "0.1")
    fake = program(FAKE.format(greeting=greeting, answer=b""))
    with (
        within(AT_ONCE),
        pytest.raises(ProtocolError, match="monitor's greeting: the monitor spoke no QMP"),
        Machine(architectures.get(arch), parrot, qemu=fake),
    ):
        pass


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(b"\xff\xfe{{{\r\n", "spoke no QMP: UnicodeDecodeError", id="no characters"),
        pytest.param(b"{{{\r\n", "spoke no QMP: DeserializationError", id="no JSON"),
        pytest.param(b'{"event": "SHUTDOWN", %b}\r\n' % STAMP, "sent no event", id="no data"),
        pytest.param(
            b'{"event": "JOB_STATUS_CHANGE", "data": {"id": "job1"}, %b}\r\n' % STAMP,
            "sent no event",
            id="a part of the data",
        ),
        pytest.param(
            b'{"event": "STOP", "data": [5], %b}\r\n' % STAMP, "sent no event", id="a list as data"
        ),
    ],
)
def test_an_answer_that_is_no_qmp_is_a_protocol_error(
    arch: str,
    parrot: Path,
    program: Write,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes,
    why: str,
) -> None:
    monkeypatch.setenv(SCALE_VARIABLE, "0.1")
    fake = program(FAKE.format(greeting=GREETING, answer=answer))
    with (
        within(AT_ONCE),
        Machine(architectures.get(arch), parrot, qemu=fake) as machine,
        pytest.raises(ProtocolError, match=why),
    ):
        machine.cont()
