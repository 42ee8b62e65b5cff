"""A machine by itself: restored, its memory read in two ways, its wires."""

from pathlib import Path

import pytest

from pageferry import Machine
from pageferry import arch as architectures
from pageferry.address import HPA, PAGE_SIZE
from pageferry.errors import (
    FirmwarePanic,
    HarnessError,
    MemoryUnreadable,
    ProtocolError,
    WaitTimeout,
)

LONG = 60.0


def free(machine: Machine) -> HPA:
    """An address that the parrot does not use."""
    return HPA(machine.arch.ram_base + machine.ram // 4 * 3)


@pytest.fixture
def saved(machine: Machine) -> Machine:
    """A machine with a snapshot, whose firmware counts from 'b' on."""
    assert count(machine) == "a"
    machine.snapshot("ready")
    return machine


def count(machine: Machine) -> str:
    """The next value of a count that the firmware keeps in a register."""
    return machine.console.request("hello", LONG).fields["count"]


def test_a_machine_does_not_run_before_it_is_told_to(arch: str, parrot: Path) -> None:
    with Machine(architectures.get(arch), parrot) as machine:
        assert not machine.monitor.execute("query-status")["running"]
        with pytest.raises(WaitTimeout):
            machine.console.await_log(f"pageferry {arch} ready", 0.1)


def test_a_stopped_machine_does_not_answer_until_it_goes_on(machine: Machine) -> None:
    machine.stop()
    pending = machine.console.submit("hello")
    with pytest.raises(WaitTimeout):
        pending.result(0.1)
    machine.cont()
    assert pending.result(LONG).fields == {"count": "a"}


# Restore


def test_a_restore_undoes_what_was_written_to_ram(saved: Machine) -> None:
    for _ in range(2):
        assert saved.memory.read(free(saved), 4) == b"\0\0\0\0"
        saved.memory.write(free(saved), b"mess")
        saved.restore("ready")
    assert saved.memory.read(free(saved), 4) == b"\0\0\0\0"


def test_a_restore_undoes_what_happened_to_registers(saved: Machine) -> None:
    for _ in range(2):
        assert [count(saved), count(saved)] == ["b", "c"]
        saved.restore("ready")
    assert count(saved) == "b"


def test_a_restore_keeps_the_process(saved: Machine) -> None:
    pid = saved.pid
    saved.restore("ready")
    assert (saved.pid, saved.monitor.execute("query-status")["running"]) == (pid, True)


def test_after_a_restore_no_line_of_before_is_seen(saved: Machine) -> None:
    saved.console.request("hello", LONG)
    saved.restore("ready")
    assert saved.console.lines == ()


def test_after_a_restore_a_half_typed_line_is_forgotten(saved: Machine) -> None:
    saved.console.send("999999999 hel")
    saved.restore("ready")
    assert count(saved) == "b"
    assert len(saved.console.lines) == 1


def test_after_a_restore_requests_that_were_not_read_are_not_answered(saved: Machine) -> None:
    saved.stop()
    pending = [saved.console.submit("hello") for _ in range(200)]
    saved.restore("ready")
    assert count(saved) == "b"
    assert len(saved.console.lines) == 1
    with pytest.raises(ProtocolError, match="restored before it answered"):
        pending[0].result(LONG)


def test_a_restore_silences_a_flood(saved: Machine) -> None:
    saved.console.submit("noise")
    saved.console.expect("over and over again", LONG)
    saved.restore("ready")
    assert count(saved) == "b"
    assert len(saved.console.lines) == 1


@pytest.mark.parametrize(
    ("end", "error", "timeout"),
    [
        ("panic", FirmwarePanic, LONG),
        ("vanish", FirmwarePanic, LONG),
        ("loop", WaitTimeout, 1),
    ],
)
def test_a_restore_brings_back_a_machine_that_had_ended(
    saved: Machine, end: str, error: type[HarnessError], timeout: float
) -> None:
    pending = saved.console.submit(end)
    with pytest.raises(error):
        pending.result(timeout)
    saved.restore("ready")
    assert count(saved) == "b"
    with pytest.raises(ProtocolError):
        pending.result(LONG)


def test_a_snapshot_does_not_stop_a_running_machine(saved: Machine) -> None:
    assert count(saved) == "b"
    saved.snapshot("another")
    assert count(saved) == "c"
    saved.restore("ready")
    assert count(saved) == "b"
    saved.restore("another")
    assert count(saved) == "c"


# Memory


def test_the_monitor_reads_the_same_bytes_as_the_ram_file(machine: Machine) -> None:
    machine.stop()
    base = machine.arch.ram_base
    for offset, length in ((0, 1), (PAGE_SIZE - 2, 5000), (machine.ram - 3, 3)):
        there = machine.memory.read(HPA(base + offset), length)
        assert machine.monitor_memory.read(HPA(base + offset), length) == there


def test_the_monitor_reads_what_is_not_in_the_ram_file(machine: Machine) -> None:
    base = machine.arch.ram_base
    beside = [it for it, _ in machine.monitor_memory._ranges() if not 0 <= it - base < machine.ram]
    assert len(machine.monitor_memory.read(HPA(beside[-1]), 16)) == 16
    with pytest.raises(MemoryUnreadable):
        machine.memory.read(HPA(beside[-1]), 16)


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (-4, 8), (1 << 30, 8), (1 << 50, 8), (-4, 0)]
)
def test_what_is_no_memory_is_not_given_as_zeros(
    machine: Machine, offset: int, length: int
) -> None:
    end = machine.arch.ram_base + machine.ram
    with pytest.raises(MemoryUnreadable):
        machine.monitor_memory.read(HPA(end + offset), length)


def test_the_monitor_cannot_write(machine: Machine) -> None:
    with pytest.raises(MemoryUnreadable, match="the monitor cannot write"):
        machine.monitor_memory.write(free(machine), b"mess")


# Wires


def test_the_console_log_gets_every_byte(arch: str, parrot: Path, tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    with Machine(architectures.get(arch), parrot, console_log=log) as machine:
        machine.cont()
        machine.console.await_log(f"pageferry {arch} ready")
        count(machine)
        lines = machine.console.lines
    assert log.read_text().splitlines() == list(lines)


def test_instructions_are_counted_when_asked_for(arch: str, parrot: Path) -> None:
    for icount in (False, True):
        with Machine(architectures.get(arch), parrot, icount=icount) as machine:
            arguments = Path(f"/proc/{machine.pid}/cmdline").read_text().split("\0")
            assert ("shift=0,sleep=off" in arguments) is icount


def test_instructions_are_not_counted_on_several_cpus(arch: str, parrot: Path) -> None:
    with pytest.raises(ValueError, match="one CPU only"):
        Machine(architectures.get(arch), parrot, icount=True, cpus=2)


def test_the_version_is_the_emulators(machine: Machine) -> None:
    assert machine.qemu_version in machine.monitor.human("info version")


def test_events_are_kept_in_their_order(machine: Machine) -> None:
    machine.stop()
    machine.cont()
    assert [event["event"] for event in machine.monitor.events][-2:] == ["STOP", "RESUME"]


def test_many_lines_for_a_person_are_answered_in_their_order(machine: Machine) -> None:
    lines = ["info version", "info status", "no such command", "info version"]
    monitor = machine.monitor
    assert monitor.human_all(lines) == [monitor.human(line) for line in lines]


def test_a_wait_that_a_stopped_machine_ends_says_so(machine: Machine) -> None:
    machine.stop()
    with pytest.raises(WaitTimeout, match="for the machine was stopped; `cont` lets it run"):
        machine.console.request("hello", timeout=0.05)
    machine.cont()
    with pytest.raises(WaitTimeout, match=r"nothing in 0\.05 s\n"):
        machine.console.await_log("nobody says this", 0.05)
