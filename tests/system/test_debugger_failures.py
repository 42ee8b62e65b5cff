"""gdb's own ends and its machine's: each its own error, at once, and nothing stays behind."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from tests.system.tampering import ruin_the_next_run

from pageferry import Machine, Testbed
from pageferry import arch as architectures
from pageferry.address import PAGE_SIZE
from pageferry.channel import SCALE_VARIABLE, Deadline
from pageferry.debugger import Debugger
from pageferry.errors import (
    DebuggerError,
    FirmwarePanic,
    HarnessError,
    QemuDied,
    WaitTimeout,
)

BRIEF = 0.1
AT_ONCE = 10.0


@pytest.fixture
def own(arch: str) -> Iterator[Testbed]:
    """A machine that a test may ruin."""
    with Testbed.start(arch) as bed:
        yield bed


def kill_while_waiting(pid: int) -> Thread:
    """SIGKILL it from another thread, which starts at once."""
    killer = Thread(target=os.kill, args=(pid, signal.SIGKILL))
    killer.start()
    return killer


def test_gdb_killed_while_a_stop_is_awaited_is_named(own: Testbed) -> None:
    gdb = own.machine.debugger()
    killer = kill_while_waiting(gdb.pid)
    with pytest.raises(DebuggerError, match="to stop in gdb: gdb was killed by signal 9"):
        gdb.wait(AT_ONCE)
    killer.join()


def test_gdb_killed_while_it_had_stopped_the_machine_ends_every_wait(own: Testbed) -> None:
    gdb = own.machine.debugger()
    gdb.interrupt()
    pending = own.machine.console.submit("ask 1 1 0")
    killer = kill_while_waiting(gdb.pid)
    with pytest.raises(DebuggerError, match="gdb was killed by signal 9"):
        pending.result(AT_ONCE)
    killer.join()


def test_after_gdb_died_nothing_is_restored(own: Testbed) -> None:
    gdb = own.machine.debugger()
    os.kill(gdb.pid, signal.SIGKILL)
    with pytest.raises(DebuggerError):
        gdb.wait(AT_ONCE)
    with pytest.raises(DebuggerError, match="control of the machine: gdb was killed by signal 9"):
        own.restore()


def test_after_gdb_died_every_command_says_so(own: Testbed) -> None:
    gdb = own.machine.debugger()
    os.kill(gdb.pid, signal.SIGKILL)
    with pytest.raises(DebuggerError):
        gdb.wait(AT_ONCE)
    with pytest.raises(DebuggerError, match="answer to -break-list: gdb was killed by signal 9"):
        gdb.execute("-break-list")


def test_after_gdb_died_memory_can_still_be_read(own: Testbed) -> None:
    gdb = own.machine.debugger()
    before = own.observed()
    os.kill(gdb.pid, signal.SIGKILL)
    with pytest.raises(DebuggerError):
        gdb.wait(AT_ONCE)
    assert own.observed() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DebuggerError("gdb is not there")])
def test_a_machine_that_ran_runs_on_when_no_gdb_comes(
    own: Testbed, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr("pageferry.machine.Debugger", fail)
        own.machine.debugger()
    own.guests[0].ping()
    assert own.machine.debugger().running


def test_a_gdb_that_does_not_answer_is_not_awaited_for_ever(own: Testbed) -> None:
    gdb = own.machine.debugger()
    os.kill(gdb.pid, signal.SIGSTOP)
    with pytest.raises(WaitTimeout, match="gdb's answer to -break-list"):
        gdb.execute("-break-list", BRIEF)


def test_a_place_not_reached_as_the_emulator_hangs_is_not_awaited_any_longer(
    own: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    gdb = own.machine.debugger()

    def go_on_and_hang() -> None:
        Debugger.cont(gdb)
        os.kill(own.machine.pid, signal.SIGSTOP)
        patch.setenv(SCALE_VARIABLE, "0.1")  # of what is waited for afterwards, in vain

    gdb.interrupt()
    with monkeypatch.context() as patch, pytest.raises(WaitTimeout, match="to reach panic_at"):
        patch.setattr(gdb, "cont", go_on_and_hang)
        deadline = Deadline.after(AT_ONCE / 10)
        gdb.run_to("panic_at", timeout=deadline)
    os.kill(own.machine.pid, signal.SIGCONT)
    assert time.monotonic() - deadline.moment < AT_ONCE / 4


def test_qemu_killed_while_a_stop_is_awaited_is_named(own: Testbed) -> None:
    gdb = own.machine.debugger()
    killer = kill_while_waiting(own.machine.pid)
    with pytest.raises(QemuDied, match="to stop in gdb: QEMU was killed by signal 9"):
        gdb.wait(AT_ONCE)
    killer.join()


def test_qemu_killed_while_gdb_talks_to_it_is_named(own: Testbed) -> None:
    gdb = own.machine.debugger()
    gdb.interrupt()
    os.kill(own.machine.pid, signal.SIGSTOP)  # so that gdb is in the middle of it
    killer = kill_while_waiting(own.machine.pid)
    with pytest.raises(QemuDied, match="killed by signal 9"):
        gdb.memory.read(own.machine.arch.ram_base, PAGE_SIZE)
    killer.join()


def test_a_panic_ends_the_wait_for_a_stop(bed: Testbed, gdb: Debugger) -> None:
    ruin_the_next_run(bed, bed.guests[0])
    bed.machine.console.submit("ask 1 1 0")
    with pytest.raises(FirmwarePanic):
        gdb.wait()


def test_after_a_panic_gdb_can_still_look(bed: Testbed, gdb: Debugger) -> None:
    ruin_the_next_run(bed, bed.guests[0])
    with pytest.raises(FirmwarePanic):
        bed.guests[0].ping()
    gdb.interrupt()
    calls = [frame.function for cpu in gdb.cpus.values() for frame in gdb.frames(cpu)]
    assert "panic_at" in calls


def test_after_a_panic_a_machine_with_gdb_is_restored(bed: Testbed, gdb: Debugger) -> None:
    ruin_the_next_run(bed, bed.guests[0])
    with pytest.raises(FirmwarePanic):
        bed.guests[0].ping()
    bed.restore()
    assert bed.machine.debugger() is gdb


def test_two_threads_get_each_its_own_answer(standing: Debugger) -> None:
    found: dict[int, set[str]] = {1: set(), 2: set()}

    def ask(number: int) -> None:
        found[number] = {standing.evaluate(f"{number}") for _ in range(50)}

    threads = [Thread(target=ask, args=(number,)) for number in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {1: {"1"}, 2: {"2"}}


def test_a_gdb_that_is_not_installed_is_named_with_its_package(bed: Testbed) -> None:
    machine = bed.machine
    with pytest.raises(DebuggerError, match="cannot start no-gdb, of Debian's package gdb-multi"):
        Debugger(machine.channel, machine.kernel, "nowhere", program="no-gdb")


def test_a_stub_that_is_not_there_is_refused_in_gdb_s_words(own: Testbed) -> None:
    machine = own.machine
    with pytest.raises(DebuggerError, match="/no/such/socket: No such file"):
        Debugger(machine.channel, machine.kernel, "/no/such/socket")


def test_nobody_s_own_gdbinit_is_read(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gdbinit").write_text("quit 7\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with Testbed.start(arch) as bed:
        bed.machine.debugger().interrupt()


def test_closing_the_machine_ends_gdb_and_every_descriptor(arch: str) -> None:
    def open_here() -> list[str]:
        found = [it for it in Path("/proc/self/fd").iterdir() if it.exists()]
        return sorted(f"{it.name} {os.readlink(it)}" for it in found)

    kernel = Path("build", "firmware", arch, "hypervisor.elf")
    before = open_here()
    with Machine(architectures.get(arch), kernel) as machine:
        pid = machine.debugger().pid
    assert not Path(f"/proc/{pid}").exists()
    assert open_here() == before


def test_a_closed_debugger_says_that_it_is_closed(bed: Testbed) -> None:
    gdb = bed.machine.debugger()
    gdb.close()
    with pytest.raises(HarnessError, match="the debugger is closed"):
        gdb.execute("-break-list")
