"""`hv` in gdb, `pageferry inspect` beside it: who owns what, in one command."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pageferry import Testbed
from pageferry import arch as architectures
from pageferry.abi import GuestMap
from pageferry.address import GPA, HPA
from pageferry.cli import FAILED
from pageferry.cli import main as command_line
from pageferry.guest import Guest
from pageferry.machine import Machine
from pageferry.manifest import FOLDER, running
from pageferry.report.debugging import arguments
from pageferry.testbed import firmware_directory

ROOT = Path(__file__).parents[2]
MARK = "=== next"
WORD = 0xC0DE
"""The first that the remapped page holds."""
LOST = f"g1:{GuestMap.PAGES:#x}"
"""The remapped page, where it was."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of somebody who looks for machines."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module", params=[1, 3, 4], ids=["1-cpu", "3-cpus", "4-cpus"])
def found(request: pytest.FixtureRequest, arch: str, home: Path) -> Iterator[Testbed]:
    """A machine that tools find, after a remap and a share, standing."""
    with Testbed.start(arch, cpus=request.param, manifests=home / FOLDER) as bed:
        a, b = bed.guests
        a.fill(a.page(0), WORD)
        bed.remap(a, a.page(0), b, b.window(0))
        bed.share(a, a.page(1), b, b.window(1))
        bed.machine.stop()
        yield bed


def in_gdb(connection: str, kernel: Path, *commands: str) -> "subprocess.CompletedProcess[str]":
    """Run commands in a gdb that was started as `make debug` does it."""
    marked = [f"echo {MARK}\\n", *(line for it in commands for line in (it, f"echo {MARK}\\n"))]
    words = [word for line in marked for word in ("-ex", line)]
    return subprocess.run(
        arguments(kernel, connection, "", ["-batch", *words]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def hv(bed: Testbed, *commands: str) -> list[str]:
    """What gdb prints for each."""
    machine = bed.machine
    try:
        ended = in_gdb(machine.listen_for_debugger(), ROOT / machine.kernel, *commands)
    finally:
        machine.stop()  # it went on when gdb left
    return [part.strip() for part in ended.stdout.split(f"{MARK}\n")[1:-1]]


def frame_of(guest: Guest, gpa: GPA) -> HPA:
    frame = guest.stage2(gpa).output
    assert frame is not None
    return frame


@pytest.fixture
def inspected(found: Testbed, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `pageferry inspect` where the machine's manifest is found."""
    monkeypatch.chdir(home)

    def inspect(*words: str) -> Result:
        return CliRunner().invoke(command_line, ["inspect", *words])

    return inspect


# Who says what


def test_gdb_and_the_shell_give_the_same_answers(found: Testbed, inspected: Any) -> None:
    a, b = found.guests
    commands = [
        "guests --json",
        "guests",
        f"walk g1 {a.gva(a.page(1), 1):#x} --json",
        f"walk g1 {a.page(0):#x}",
        f"owner {frame_of(b, b.window(0)):#x} --json",
        f"owner {frame_of(a, a.page(1)):#x}",
        f"owner {a.stage2_root:#x}",
        f"owner {found.firmware.address('vms'):#x}",
        "map g2 --json",
        "map g1 --stage 1",
        f"x g2:{b.window(0):#x} 4",
    ]
    by_gdb = hv(found, *(f"hv {command}" for command in commands))
    for command, said in zip(commands, by_gdb, strict=True):
        assert said == inspected(*command.split()).output.strip(), command


def test_the_guests_are_the_testbed_s(found: Testbed, inspected: Any) -> None:
    listed = json.loads(inspected("guests", "--json").output)
    for guest, seen in zip(found.guests, listed, strict=True):
        assert seen["vm"] == guest.vm
        states = [(it["vcpu"], it["state"], it["reason"]) for it in seen["vcpus"]]
        assert states == [(vcpu.index, "waiting", "") for vcpu in guest.vcpus]
        assert seen["stage2_root"] == f"{guest.stage2_root:#x}"
        assert seen["stage1_root"] == f"{guest.stage1_root:#x}"
        assert seen["pages"] == len(guest.pages())
        told = [(it["counter"], it["code"]) for it in seen["vcpus"]]
        wheres = [vcpu.where().partition(" at ")[2].partition(", by ")[0] for vcpu in guest.vcpus]
        assert [f"{counter}, {code}" for counter, code in told] == wheres


def test_a_remapped_frame_is_its_new_owner_s_alone(found: Testbed, inspected: Any) -> None:
    b = found.guests[1]
    seen = json.loads(inspected("owner", f"{frame_of(b, b.window(0)):#x}", "--json").output)
    assert (seen["record"]["kind"], seen["record"]["owner"]) == ("guest", 2)
    assert [it["vm"] for it in seen["mapped"]] == [2]
    assert seen["doubts"] == []


def test_a_shared_frame_has_an_owner_and_a_borrower(found: Testbed, inspected: Any) -> None:
    a, b = found.guests
    output = inspected("owner", f"{frame_of(a, a.page(1)):#x}").output
    assert f"guest g1 at {a.page(1):#x}\n" in output
    assert f"lent to g2 at {b.window(1):#x}\n" in output
    assert output.count(" r--\n") == 2


def test_a_record_that_the_tables_contradict_is_in_doubt(found: Testbed, inspected: Any) -> None:
    a = found.guests[0]
    frame = frame_of(a, a.page(5))
    number = (frame - found.machine.arch.ram_base) // 4096
    found.firmware.write(f"frames[{number}].owner", 2)
    try:
        output = inspected("owner", f"{frame:#x}").output
    finally:
        found.firmware.write(f"frames[{number}].owner", 1)
    assert f"DOUBT     g1 maps it at {a.page(5):#x}, of which the record knows nothing" in output
    assert f"DOUBT     the record gives it to g2 at {a.page(5):#x}" in output


def test_a_page_that_was_remapped_fails_in_stage_2_of_its_old_owner(
    found: Testbed, inspected: Any
) -> None:
    a = found.guests[0]
    seen = json.loads(inspected("walk", "g1", f"{a.page(0):#x}", "--json").output)
    assert (seen["stage"], seen["level"], seen["hpa"]) == (2, 0, None)
    assert seen["gpa"] == f"{a.page(0):#x}"


def test_words_of_a_guest_are_what_it_wrote(found: Testbed, inspected: Any) -> None:
    b = found.guests[1]
    seen = json.loads(inspected("x", f"g2:{b.window(0):#x}", "2", "--json").output)
    assert seen["words"] == [f"{WORD:#x}", f"{WORD + 1:#x}"]


def test_gdb_takes_addresses_as_it_writes_them(found: Testbed) -> None:
    (said,) = hv(found, "hv owner &vms")
    assert "record    hypervisor" in said


def test_a_dump_of_the_ram_answers_as_the_machine(
    found: Testbed, inspected: Any, arch: str, tmp_path: Path
) -> None:
    machine = found.machine
    dump = tmp_path / "ram.bin"
    dump.write_bytes(machine.memory.read(machine.arch.ram_base, machine.ram))
    options = ["--arch", arch, "--ram", str(dump), "--kernel", str(ROOT / machine.kernel)]
    assert inspected(*options, "guests").output == inspected("guests").output
    other = next(it for it in architectures.names() if it != arch)
    options[1] = other
    for question in ("guests", f"owner {architectures.get(other).ram_base}"):
        refused = inspected(*options, *question.split())
        assert refused.exit_code == FAILED
        assert f"as the RAM of {other} would: say what it is of by --arch" in refused.output


@pytest.mark.parametrize("question", ["guests", "walk g1 0", "owner 0", "map g1"])
def test_a_dump_that_was_overwritten_is_bad_input(
    found: Testbed, inspected: Any, arch: str, question: str, tmp_path: Path
) -> None:
    machine, firmware = found.machine, found.firmware
    ram = bytearray(machine.memory.read(machine.arch.ram_base, machine.ram))
    start = firmware.address("vms") - machine.arch.ram_base
    ram[start : start + firmware.size("vms")] = b"\xff" * firmware.size("vms")
    dump = tmp_path / "ram.bin"
    dump.write_bytes(ram)
    options = ["--arch", arch, "--ram", str(dump), "--kernel", str(ROOT / machine.kernel)]
    refused = inspected(*options, *question.split())
    assert refused.exit_code == FAILED
    assert refused.output.startswith("pageferry inspect: ")


def test_a_machine_of_another_architecture_is_not_taken(
    found: Testbed, inspected: Any, arch: str, home: Path
) -> None:
    other = next(it for it in architectures.names() if it != arch)
    said = f"no machine of {other} runs (in {FOLDER}: {arch}-{found.machine.pid})"
    assert said in inspected("--arch", other, "guests").output
    assert inspected("--arch", arch, "guests").exit_code == 0
    refused = debug(home, other, "--attach", "--", "-batch")
    assert refused.returncode == FAILED
    assert said in refused.stderr


# What goes wrong


UNANSWERED = {
    "hv nonsense": "invalid choice: 'nonsense'",
    "hv walk g3 0": "there is no guest g3; there are: g1, g2",
    f"hv x {LOST}": f"{LOST} cannot be read: stage 2 fails at level 0 (the leaf)",
    f"hv x {LOST} -4": "-4 words are none to show: 1 or more",
    f"hv owner {GuestMap.PAGES:#x}": f"{GuestMap.PAGES:#x} is not in RAM (RAM is 0x",
    "hv owner no_such_thing": "'no_such_thing' is no address to gdb: No symbol",
}


@pytest.fixture(scope="module")
def complaints(found: Testbed) -> dict[str, str]:
    """What one gdb says of each of them, one after the other."""
    machine = found.machine
    next_one = f"python gdb.write({MARK!r}, gdb.STDERR)"
    commands = [line for command in UNANSWERED for line in (command, next_one)]
    ended = in_gdb(machine.listen_for_debugger(), ROOT / machine.kernel, *commands)
    machine.stop()
    return dict(zip(UNANSWERED, ended.stderr.split(MARK), strict=False))


@pytest.mark.parametrize("command", UNANSWERED)
def test_a_command_that_cannot_be_answered_says_why(
    complaints: dict[str, str], command: str
) -> None:
    assert UNANSWERED[command] in complaints[command]
    assert "Traceback" not in complaints[command]


def test_before_the_hypervisor_is_up_that_is_said(arch: str) -> None:
    kernel = firmware_directory(arch) / "hypervisor.elf"
    with Machine(architectures.get(arch), kernel) as machine:
        first = f"hv owner {machine.arch.ram_base}"
        ended = in_gdb(machine.listen_for_debugger(), kernel, "hv guests", first)
    assert "the hypervisor has not made g1 yet" in ended.stderr
    assert "mapped    by no guest" in ended.stdout


def test_without_a_machine_hv_says_how_to_get_one(arch: str) -> None:
    script = ROOT / "scripts" / "pageferry-gdb.py"
    ended = subprocess.run(
        ["gdb-multiarch", "-nx", "-q", "-batch", "-ex", f"source {script}", "-ex", "hv guests"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "gdb is connected to no machine: make debug does it" in ended.stderr


def test_without_a_machine_inspect_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command_line, ["inspect", "guests"])
    assert result.exit_code == 2
    assert "no machine runs that tools can find; `make debug` starts one" in result.output


# Machines that are found


def test_a_running_machine_is_listed(
    found: Testbed, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    result = CliRunner().invoke(command_line, ["machines"])
    assert result.output.startswith(f"{found.machine.arch.name}-{found.machine.pid}  ")


def test_a_machine_that_is_closed_is_not_found_any_more(arch: str, tmp_path: Path) -> None:
    kernel = firmware_directory(arch) / "hypervisor.elf"
    with Machine(architectures.get(arch), kernel, manifests=tmp_path) as machine:
        assert [it.pid for it in running(tmp_path)] == [machine.pid]
    assert list(tmp_path.iterdir()) == []


def test_a_machine_whose_owner_was_killed_is_swept(arch: str, tmp_path: Path) -> None:
    program = (
        "import sys, signal, pathlib; from pageferry import Machine, arch\n"
        "name, kernel, folder = sys.argv[1:]\n"
        "machine = Machine(arch.get(name), kernel, manifests=pathlib.Path(folder))\n"
        "with machine:\n"
        "    print(machine.pid, machine.debugger().pid, flush=True)\n"
        "    signal.pause()\n"
    )
    kernel = firmware_directory(arch) / "hypervisor.elf"
    with subprocess.Popen(
        [sys.executable, "-c", program, arch, str(kernel), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        ends = [os.pidfd_open(pid) for pid in pids]
        assert [it.pid for it in running(tmp_path)] == pids[:1]
        owner.send_signal(signal.SIGKILL)
        wait_for(ends)
    assert running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def wait_for(ends: list[int]) -> None:
    """Until all these processes have ended, 10 s at most."""
    for end in ends:
        ready, _, _ = select.select([end], [], [], 10)
        os.close(end)
        assert ready


# make debug


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A working directory of its own with the firmware in it."""
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "firmware").symlink_to(ROOT / "build" / "firmware")
    return tmp_path


def test_debug_starts_stopped_with_symbols_and_hv(arch: str, desk: Path) -> None:
    ended = debug(
        desk, arch, "--cpus", "3", "--", "-batch", "-ex", "hv help", "-ex", "info threads"
    )
    assert ended.returncode == 0, ended.stderr
    assert "Nothing has run yet: continue, then Ctrl-C." in ended.stdout
    assert "walk GUEST ADDRESS" in ended.stdout
    assert ended.stdout.count("CPU#") == 3


def test_debug_answers_who_owns_a_frame_in_one_command(arch: str, desk: Path) -> None:
    until_ready = ["-ex", "tbreak arch_idle", "-ex", "continue"]
    ended = debug(
        desk, arch, "--", "-batch", *until_ready, "-ex", "hv owner vms[1].stage2_root.value"
    )
    assert "table     of stage 2 of g1" in ended.stdout, ended.stderr


def test_debug_leaves_only_what_the_console_said(arch: str, desk: Path) -> None:
    debug(desk, arch, "--", "-batch")
    left = [str(it.relative_to(desk / FOLDER)) for it in (desk / FOLDER).rglob("*")]
    assert sorted(left) == [arch, f"{arch}/console.log"]


def test_debug_attaches_to_a_machine_that_runs(found: Testbed, arch: str, home: Path) -> None:
    ended = debug(home, arch, "--attach", "--", "-batch", "-ex", "hv guests")
    found.machine.stop()
    assert "was stopped for you" in ended.stdout
    vcpus = [vcpu for guest in found.guests for vcpu in guest.vcpus]
    assert ended.stdout.count(" waiting ") == len(vcpus), ended.stderr


def debug(home: Path, arch: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pageferry.cli", "debug", "--arch", arch, *words],
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
