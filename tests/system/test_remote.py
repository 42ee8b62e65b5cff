"""A machine that is only reached: by a serial line and a gdb server, which may be a bad line.

It is a QEMU of which nothing else is used.
"""

import os
import re
import select
import socket
import subprocess
import threading
import tty
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.system import failing
from tests.system.failing import FIVE_LINES, only_folder
from tests.system.once import Once, Run
from tests.unit.noisy import Line

from pageferry import GuestFault, HarnessError, Testbed
from pageferry import arch as architectures
from pageferry.abi import Command, GuestMap
from pageferry.cli import main as command_line
from pageferry.debugger import Debugger, Stop
from pageferry.errors import ChannelClosed
from pageferry.guest import ping
from pageferry.machine import RAM
from pageferry.observe import Observers
from pageferry.report.claims import MARK
from pageferry.target import Remote
from pageferry.testbed import Door, firmware_directory
from pageferry.verdict import Verdict, judge


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(arch: str, kernel: Path) -> Iterator[tuple[str, str]]:
    """A machine that runs, as a line and a gdb server: (path of a pty, HOST:PORT)."""
    found = architectures.get(arch)
    gdb = f"127.0.0.1:{free_port()}"
    command = [
        *(found.qemu, "-no-user-config", "-nodefaults", "-display", "none", "-accel", "tcg"),
        *(*found.machine_args, "-smp", "3,sockets=1,cores=3,threads=1", "-m", f"{RAM}B"),
        *("-chardev", "pty,id=console", "-serial", "chardev:console", "-gdb", f"tcp:{gdb}"),
        # A board stays there whatever its firmware does.
        *("-action", "panic=none,shutdown=pause"),
        *("-kernel", str(kernel)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as qemu:
        try:
            assert qemu.stdout is not None
            said = qemu.stdout.readline().decode()
            found_pty = re.search(r"/dev/pts/\d+", said)
            assert found_pty, said
            yield found_pty[0], gdb
        finally:
            qemu.kill()


@pytest.fixture
def board(arch: str) -> Iterator[tuple[str, str]]:
    """One with our firmware."""
    with running(arch, firmware_directory(arch) / "hypervisor.elf") as reached:
        yield reached


class Relay:
    """A pty in front of a line, which carries every byte through two noisy wires."""

    def __init__(self, path: str, there: Line, back: Line) -> None:
        self._owned = ExitStack()
        self._board = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._board)
        self._harness, near = os.openpty()
        tty.setraw(near)
        self.path = os.ttyname(near)
        self._stop, self._stopper = os.pipe()
        self._near = near
        self._wires = {self._harness: (self._board, there), self._board: (self._harness, back)}
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def _carry(self) -> None:
        while True:
            ready, _, _ = select.select([*self._wires, self._stop], [], [])
            if self._stop in ready:
                return
            for source in ready:
                sink, line = self._wires[source]
                os.write(sink, line.carries(os.read(source, 4096)))

    def close(self) -> None:
        os.write(self._stopper, b".")
        self._thread.join()
        for fd in (self._board, self._harness, self._near, self._stop, self._stopper):
            os.close(fd)


@pytest.fixture
def remote(arch: str, board: tuple[str, str]) -> Iterator[Testbed]:
    serial, gdb = board
    directory = firmware_directory(arch)
    kernel = directory / "hypervisor.elf"
    with Remote(architectures.get(arch), kernel, serial=serial, gdb=gdb) as machine:
        yield Testbed.boot(machine, directory / "agent.elf")


def test_a_remote_machine_has_the_same_verdicts(remote: Testbed) -> None:
    a, b = remote.guests
    observers = Observers(remote, a, a.page(0), b, b.window(0))
    remote.remap(a, a.page(0), b, b.window(0))
    assert judge(observers.conclude()).verdict is Verdict.REMAP


def test_a_remote_machine_has_all_its_cpus(remote: Testbed) -> None:
    assert remote.machine.cpus == 3


@pytest.mark.parametrize("door", list(Door), ids=lambda it: it.value)
def test_a_remote_machine_is_asked_by_every_door(remote: Testbed, door: Door) -> None:
    a, b = remote.guests
    remote.remap(a, a.page(0), b, b.window(0), door)
    with pytest.raises(GuestFault):
        a.load(a.page(0))


def test_a_remote_machine_is_started_again_where_others_are_restored(remote: Testbed) -> None:
    a, b = remote.guests
    a.store(a.page(0), 17)
    remote.remap(a, a.page(0), b, b.window(0))
    remote.restore()
    assert a.load(a.page(0)) == 0


def test_a_remote_machine_is_started_again_while_its_guests_run(remote: Testbed) -> None:
    for guest in remote.guests:
        guest.begin(Command.WATCH, guest.gva(guest.page(0))).await_rounds(1)
    remote.restore()
    ping(remote.guests)


def test_what_a_remote_machine_lacks_is_named(remote: Testbed) -> None:
    with pytest.raises(HarnessError, match="target lacks: monitor"):
        _ = remote.machine.monitor


def test_the_debugger_of_a_remote_machine_comes_again_after_it_was_closed(
    remote: Testbed,
) -> None:
    remote.machine.debugger().close()
    a, _ = remote.guests
    a.store(a.page(0), 17)
    assert a.bytes_at(a.page(0))[0] == 17


def test_for_a_report_a_remote_machine_is_stopped_once(
    remote: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.guests[0].ping()
    gdb = remote.machine.debugger()
    stops: list[Stop] = []

    def interrupt() -> Stop:
        stops.append(Debugger.interrupt(gdb))
        return stops[-1]

    monkeypatch.setattr(gdb, "interrupt", interrupt)
    remote.guests[0].report()
    assert len(stops) == 1


def test_a_line_that_is_not_there_is_named(arch: str, board: tuple[str, str]) -> None:
    kernel = firmware_directory(arch) / "hypervisor.elf"
    with (
        pytest.raises(ChannelClosed, match="no-such-line cannot be opened"),
        Remote(architectures.get(arch), kernel, serial="no-such-line", gdb=board[1]),
    ):
        pass


def test_a_file_is_no_serial_line(arch: str, board: tuple[str, str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    kernel = firmware_directory(arch) / "hypervisor.elf"
    with (
        pytest.raises(ChannelClosed, match="file is no serial line"),
        Remote(architectures.get(arch), kernel, serial=file, gdb=board[1]),
    ):
        pass


# A second repository, with an ELF file of its own

OWN = """
    import pytest

    @pytest.mark.parametrize("time", range(2))
    def test_begins_again(machine, time):
        machine.console.await_log(f"pageferry {machine.arch.name} ready")
        assert machine.console.request("hello").fields == {"count": "a"}

    @pytest.mark.needs("console", "debugger", "memory")
    def test_stops(machine, debugger):
        machine.console.await_log(f"pageferry {machine.arch.name} ready")
        debugger.interrupt()
        machine.console.submit("quiet")
        debugger.run_to("next_line")
        assert b"quiet" in machine.memory.read(machine.image.symbol("line"), 20)

    def test_two_guests(testbed):
        assert False

    def test_another(pageferry_pool, tmp_path):
        pageferry_pool.check_out_machine(tmp_path / "another.elf")

    def test_fails(machine):
        assert False
"""


@pytest.fixture
def own(pytester: pytest.Pytester, arch: str, parrot: Path, once: Once) -> Run:
    """One run of these tests on a board with that file; what is in an ini file, is there."""

    def write() -> None:
        (pytester.path / "own.elf").write_bytes(parrot.read_bytes())
        pytester.makeini(f"[pytest]\npageferry_kernel = own.elf\npageferry_arch = {arch}")
        pytester.makeconftest(NO_DUMP)
        pytester.makepyfile(test_own=OWN)

    with running(arch, parrot) as (serial, gdb):
        words = f"--serial={serial}", f"--gdb={gdb}", "--pageferry-cpus=3", "-rs"
        # This firmware counts a request again that is sent again: it is not to be on a busy host.
        patient = "--pageferry-timeout-scale=20"
        return once.run("own", write, "--pageferry-target=remote", patient, *words)


def test_a_remote_machine_with_a_kernel_of_one_s_own_begins_again_for_every_test(own: Run) -> None:
    assert own.outcomes("test_own")[:2] == ["passed", "passed"]


def test_a_remote_machine_with_a_kernel_of_one_s_own_has_a_debugger_and_memory(own: Run) -> None:
    assert own.outcomes("test_own")[2] == "passed"


@pytest.mark.parametrize(("number", "lacks"), [(3, "our firmware"), (4, "another kernel")])
def test_a_kernel_that_a_remote_machine_does_not_run_is_named_as_lacking(
    own: Run, number: int, lacks: str
) -> None:
    (skipped,) = own.reports("test_own")[number].iter("skipped")
    assert skipped.get("message") == f"target lacks: {lacks}"


def test_a_remote_machine_with_a_kernel_of_one_s_own_leaves_evidence(own: Run) -> None:
    assert (own.evidence("test_fails") / "own.elf").exists()


# A test that fails on it

NO_DUMP = "from pageferry.report import evidence\n\nevidence.DUMP = 0"


@pytest.fixture
def options(board: tuple[str, str]) -> tuple[str, ...]:
    """The command line of a run on the board, for which the machine may be a busy one."""
    serial, gdb = board
    where = "--pageferry-target=remote", f"--serial={serial}", f"--gdb={gdb}"
    return (*where, "--pageferry-cpus=3", "--pageferry-timeout-scale=6")


@pytest.fixture
def bench(options: object, pytester: pytest.Pytester, arch: str) -> pytest.Pytester:
    """Tests for the board, which was started where its firmware is found."""
    pytester.makepyfile(f"{FIVE_LINES}\n    def test_next(guests): guests[0].ping()")
    return failing.bench(pytester, arch)


def test_the_evidence_of_a_remote_machine_has_its_memory(
    bench: pytest.Pytester, options: tuple[str, ...], arch: str
) -> None:
    bench.runpytest_subprocess(*options).assert_outcomes(failed=1, passed=1)
    folder = only_folder(bench)
    assert {path.name for path in folder.iterdir()} == {
        *("failure.txt", "console.log", "mi.log", "timeline.log", "requests.txt"),
        *("registers.txt", "guest1.txt", "guest1.json", "guest2.txt", "guest2.json"),
        *(
            "frames.txt",
            "frames.json",
            "doubts.txt",
            "hypervisor.elf",
            "agent.elf",
            "ram.bin",
            "reproduce.sh",
            MARK,
        ),
    }
    assert "target lacks  monitor, snapshot" in (folder / "failure.txt").read_text()
    ram = ["--arch", arch, "--ram", str(folder / "ram.bin")]
    kernel = ["--kernel", str(folder / "hypervisor.elf")]
    said = CliRunner().invoke(command_line, ["inspect", *ram, *kernel, "map", "g2"])
    assert f"{GuestMap.WINDOW:#x} " in said.output
    shown = subprocess.run(
        [folder / "reproduce.sh", "-batch", "-ex", "hv map g2"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.output in shown.stdout


def test_what_does_not_come_through_gdb_in_time_is_told(
    bench: pytest.Pytester, options: tuple[str, ...]
) -> None:
    bench.makeconftest(NO_DUMP)
    bench.runpytest_subprocess(*options).assert_outcomes(failed=1, passed=1, warnings=1)
    folder = only_folder(bench)
    told = (folder / "failure.txt").read_text()
    assert re.search(r"ram.bin: only 0 of \d+ KiB came through gdb in 0 s", told)
    assert not (folder / "reproduce.sh").exists()


def test_gdb_has_the_terminal_where_a_test_has_failed(
    bench: pytest.Pytester, options: tuple[str, ...]
) -> None:
    bench.makeconftest(NO_DUMP)
    child = bench.spawn_pytest(" ".join(("--pageferry-gdb", *options)), expect_timeout=60)
    child.expect("GuestFault: .*has failed; .quit. goes on")
    child.expect(r"\(gdb\) ")
    child.sendline("hv map g2")
    child.expect(f"{GuestMap.WINDOW:#x} ")
    child.sendline("quit")
    child.expect("1 failed, 1 passed")
    child.wait()


def test_that_a_remote_machine_cannot_be_kept_is_said_before_anything_runs(
    bench: pytest.Pytester, options: tuple[str, ...]
) -> None:
    result = bench.runpytest_subprocess("--pageferry-keep", *options)
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--pageferry-keep: a remote target is one machine, which the*"])


def test_on_a_bad_line_every_operation_is_done_once(arch: str, board: tuple[str, str]) -> None:
    serial, gdb = board
    directory = firmware_directory(arch)
    there, back = Line(1, 0.0), Line(2, 0.0)
    with ExitStack() as owned:
        relay = owned.enter_context(closing(Relay(serial, there, back)))
        kernel = directory / "hypervisor.elf"
        machine = Remote(architectures.get(arch), kernel, serial=relay.path, gdb=gdb)
        bed = Testbed.boot(owned.enter_context(machine), directory / "agent.elf")
        there.rate = back.rate = 0.01
        a, b = bed.guests
        for number in range(40):
            # Done twice it would be refused, for the page is gone: not-mapped.
            bed.remap(a, a.page(number), b, b.window(number))
        there.rate = back.rate = 0.0
        garbled = [line for line in machine.console.lines if "checksum is wrong" in line]
        assert garbled  # or nothing was shown
        assert [b.load(b.window(number)) for number in range(40)] == [0] * 40
