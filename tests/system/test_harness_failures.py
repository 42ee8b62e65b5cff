"""Whatever fails on the bench ends in its own error, at once, and leaves nothing behind."""

import os
import re
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.system.timing import AT_ONCE, LONG, within

from pageferry import Machine
from pageferry import arch as architectures
from pageferry.address import HPA
from pageferry.channel import SCALE_VARIABLE, Needs
from pageferry.console import LINES_KEPT
from pageferry.errors import (
    ChannelClosed,
    FirmwarePanic,
    HarnessError,
    MachineReset,
    MemoryUnreadable,
    MonitorError,
    ProtocolError,
    QemuDied,
    WaitTimeout,
)
from pageferry.guest import POLL


def descriptors() -> list[str]:
    """What this process has open, but for the listing itself."""
    found = [path for path in Path("/proc/self/fd").iterdir() if path.exists()]
    return sorted(f"{path.name} {os.readlink(path)}" for path in found)


def children() -> list[str]:
    """The processes that this one has, zombies among them."""
    found = []
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended, and what it had is another's
            found += task.read_text().split()
    return found


# The firmware fails


def where_it_is(machine: Machine) -> set[str | None]:
    """The functions that registers point into, the program counter among them."""
    registers = re.findall(r"\b[0-9a-f]{8,16}\b", machine.monitor.human("info registers"))
    return {machine.image.function_of(int(register, 16)) for register in registers}


def test_a_panic_ends_the_wait_with_its_line(machine: Machine) -> None:
    pending = machine.console.submit("panic")
    with within(AT_ONCE), pytest.raises(FirmwarePanic) as caught:
        pending.result(LONG)
    assert caught.value.line == "! panic parrot.S:1 cpu=0 exit=0x0 asked to"
    assert caught.value.awaited == f"the reply to '{pending.seq} panic'"


def test_after_a_panic_every_wait_for_the_firmware_ends(machine: Machine) -> None:
    machine.console.submit("panic")
    with within(AT_ONCE):
        with pytest.raises(FirmwarePanic):
            machine.console.expect("what will not come", LONG)
        with pytest.raises(FirmwarePanic):
            machine.await_fact(lambda: None, "what will not come", LONG, every=0.1)


def test_after_a_panic_the_machine_can_be_looked_at(machine: Machine) -> None:
    with pytest.raises(FirmwarePanic):
        machine.console.request("panic", LONG)
    # The line that tells of it comes before the write that stops the machine.
    stopped = partial(machine.channel.await_fact, needs=Needs.PROCESS, every=POLL)
    stopped(lambda: not machine.runs or None, "the machine to be stopped")
    line = machine.image.symbol("line")
    assert machine.monitor.execute("query-status")["status"] == "guest-panicked"
    assert machine.memory.read(HPA(line), 20).partition(b"\0")[2].startswith(b"panic\0")
    assert "halt" in where_it_is(machine)


def test_a_panic_without_a_word_is_noticed(machine: Machine) -> None:
    with within(AT_ONCE), pytest.raises(FirmwarePanic, match="pvpanic"):
        machine.console.request("vanish", LONG)


def test_an_unexpected_reset_is_named_and_the_machine_can_be_looked_at(machine: Machine) -> None:
    with within(AT_ONCE), pytest.raises(MachineReset, match="guest-reset"):
        machine.console.request("reset", LONG)
    assert machine.monitor.execute("query-status")["status"] == "shutdown"
    line = machine.image.symbol("line")
    assert machine.memory.read(HPA(line), 20).partition(b"\0")[2].startswith(b"reset\0")


def test_a_wedged_firmware_is_a_timeout_at_its_deadline(machine: Machine) -> None:
    machine.console.request("hello", LONG)
    with within(AT_ONCE), pytest.raises(WaitTimeout) as caught:
        machine.console.request("loop", 0.5)
    assert caught.value.seconds == 0.5
    ready, answer = caught.value.seen[-2:]
    assert ready == f"# pageferry {machine.arch.name} ready"
    assert answer.endswith("ok count=a")


def test_a_wedged_firmware_can_be_looked_at(machine: Machine) -> None:
    def loops() -> bool | None:
        return "loop_forever" in where_it_is(machine) or None

    machine.console.submit("loop")
    machine.await_fact(loops, "the firmware to loop", LONG, every=0.02)


@pytest.mark.parametrize("noise", ["noise", "Noise"], ids=["in lines", "in one endless line"])
def test_a_console_full_of_noise_is_kept_within_bounds_and_deadlines(
    machine: Machine, noise: str
) -> None:
    machine.console.submit(noise)
    with within(AT_ONCE):
        for _ in range(2):
            with pytest.raises(WaitTimeout):
                machine.console.expect("a word of sense", 0.3)
        with pytest.raises(WaitTimeout) as caught:
            machine.console.request("hello", 0.3)
    assert len(caught.value.seen) <= LINES_KEPT + 1
    assert len(str(caught.value)) < 200_000
    assert machine.monitor.execute("query-status")["running"]


def test_an_answer_that_is_none_is_a_protocol_error(machine: Machine) -> None:
    with within(AT_ONCE), pytest.raises(ProtocolError, match=r"'< \d+ fine count=a'"):
        machine.console.request("x", LONG)


# QEMU fails


def test_qemu_killed_in_the_middle_of_a_wait_ends_it(machine: Machine) -> None:
    pending = machine.console.submit("quiet")
    with ThreadPoolExecutor(1) as executor, within(AT_ONCE):
        waiting = executor.submit(pending.result, LONG)
        os.kill(machine.pid, signal.SIGKILL)
        with pytest.raises(QemuDied, match=r"waiting for the reply.*killed by signal 9") as caught:
            waiting.result(LONG)
    assert caught.value.status == -signal.SIGKILL
    assert caught.value.seen[-1] == f"# pageferry {machine.arch.name} ready"


def test_qemu_killed_in_the_middle_of_a_command_ends_it(machine: Machine) -> None:
    os.kill(machine.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as executor, within(AT_ONCE):
        waiting = executor.submit(machine.monitor.execute, "query-status", timeout=LONG)
        os.kill(machine.pid, signal.SIGKILL)
        with pytest.raises(QemuDied, match="waiting for the monitor's answer to query-status"):
            waiting.result(LONG)


def test_a_dead_qemu_is_told_to_everyone_who_asks(machine: Machine) -> None:
    os.kill(machine.pid, signal.SIGKILL)
    with within(AT_ONCE):
        for ask in (machine.stop, lambda: machine.console.request("hello", LONG)):
            with pytest.raises(QemuDied):
                ask()


def test_qemu_that_ends_by_itself_with_status_0_has_died(machine: Machine) -> None:
    with within(AT_ONCE), pytest.raises(QemuDied, match="exited with status 0"):
        machine.monitor.execute("quit")
        machine.console.request("hello", LONG)


def test_a_command_that_the_monitor_refuses_is_its_error(machine: Machine) -> None:
    with pytest.raises(MonitorError, match="no-such-command"):
        machine.monitor.execute("no-such-command")


def test_a_snapshot_that_does_not_exist_is_refused_and_the_machine_goes_on(
    machine: Machine,
) -> None:
    machine.snapshot("one")
    with pytest.raises(MonitorError, match=r"no snapshot is called 'two'; there are: one$"):
        machine.restore("two")
    machine.console.request("hello", LONG)


def test_after_a_failed_restore_every_wait_says_so_until_one_succeeds(machine: Machine) -> None:
    machine.snapshot("one")
    machine.snapshot("two")
    machine.monitor.run_job("snapshot-delete", {"tag": "two", "devices": ["snapshots"]})
    with pytest.raises(MonitorError, match=r"loadvm two: .*does not exist"):
        machine.restore("two")
    with (
        within(AT_ONCE),
        pytest.raises(MonitorError, match=r"restoring 'two' failed, .*no defined"),
    ):
        machine.console.request("hello", LONG)
    machine.restore("one")
    machine.console.request("hello", LONG)


def test_a_job_that_fails_is_its_error(machine: Machine) -> None:
    machine.snapshot("one")
    with pytest.raises(MonitorError, match=r"snapshot-save .*one"):
        machine.snapshot("one")


def test_a_monitor_that_does_not_answer_is_a_timeout(machine: Machine) -> None:
    os.kill(machine.pid, signal.SIGSTOP)
    with within(AT_ONCE), pytest.raises(WaitTimeout, match="the monitor's answer to query-status"):
        machine.monitor.execute("query-status", timeout=0.2)
    os.kill(machine.pid, signal.SIGCONT)
    assert machine.monitor.execute("query-status")["running"]


# Nothing is left


def test_a_closed_machine_leaves_no_process_no_descriptor_and_no_file(
    machine: Machine, arch: str, parrot: Path
) -> None:
    before = descriptors(), children(), sorted(os.listdir("/dev/shm"))
    with Machine(architectures.get(arch), parrot) as other:
        other.cont()
        other.snapshot("one")
        start = HPA(other.image.symbol("start"))
        assert other.monitor_memory.read(start, 8) == other.memory.read(start, 8)
        assert len(children()) == len(before[1]) + 1
    assert (descriptors(), children(), sorted(os.listdir("/dev/shm"))) == before


@pytest.mark.parametrize("trouble", [{"qemu": "true"}, {"extra_args": ["-nonsense"]}])
def test_a_machine_that_could_not_start_leaves_nothing(
    machine: Machine, arch: str, parrot: Path, trouble: dict[str, Any]
) -> None:
    before = descriptors(), children()
    with pytest.raises(QemuDied), Machine(architectures.get(arch), parrot, **trouble):
        pass
    assert (descriptors(), children()) == before


def test_a_machine_whose_block_fails_leaves_nothing(
    machine: Machine, arch: str, parrot: Path
) -> None:
    before = descriptors(), children()
    with pytest.raises(ZeroDivisionError), Machine(architectures.get(arch), parrot):
        raise ZeroDivisionError
    assert (descriptors(), children()) == before


def test_a_stopped_qemu_is_ended_all_the_same(
    arch: str, parrot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Machine(architectures.get(arch), parrot) as machine:
        pid = machine.pid
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setenv(SCALE_VARIABLE, "0.1")
    assert not Path(f"/proc/{pid}").exists()


def test_after_the_end_everything_says_that_the_machine_is_closed(machine: Machine) -> None:
    machine.close()
    machine.close()
    with pytest.raises(ChannelClosed, match="the machine is closed"):
        machine.stop()
    with pytest.raises(HarnessError):
        machine.console.request("hello", LONG)
    with pytest.raises(MemoryUnreadable):
        machine.memory.read(HPA(0), 1)


HOLDER = """
import sys
from pageferry import Machine, arch

with Machine(arch.get(sys.argv[1]), sys.argv[2]) as machine:
    machine.cont()
    print(machine.pid, flush=True)
    sys.stdin.read()
"""


def test_qemu_dies_with_a_python_that_is_killed(arch: str, parrot: Path) -> None:
    command = [sys.executable, "-c", HOLDER, arch, str(parrot)]
    python = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with python:
        assert python.stdout is not None
        pidfd = os.pidfd_open(int(python.stdout.readline()))
        try:
            python.kill()
            ended, _, _ = select.select([pidfd], [], [], LONG)
            assert ended == [pidfd]
        finally:
            os.close(pidfd)
