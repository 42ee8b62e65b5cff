"""The machine of a failed test in gdb: at once, when the run is over, or any time later."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.system import failing
from tests.system.failing import FIVE_LINES, only_folder
from tests.system.once import Run

from pageferry import arch as architectures
from pageferry.address import PAGE_SIZE

pytestmark = pytest.mark.skipif(shutil.which("gdb-multiarch") is None, reason="no gdb-multiarch")


@pytest.fixture
def bench(pytester: pytest.Pytester, arch: str) -> pytest.Pytester:
    return failing.bench(pytester, arch)


@pytest.fixture
def folder(failed: Run, tmp_path: Path) -> Path:
    """The evidence of a test that has failed, to be worked in."""
    return shutil.copytree(failed.evidence("test_five_lines"), tmp_path / "evidence")


def owner(folder: Path, arch: str) -> str:
    """For gdb: who owns the frame that the test has remapped."""
    frame = re.search(r"(?s)remap .*? frame=(0x\w+)", (folder / "requests.txt").read_text())
    assert frame is not None
    return f"frames[({frame[1]} - {architectures.get(arch).ram_base}) / {PAGE_SIZE}].owner"


def reproduced(folder: Path, *commands: str) -> str:
    """What gdb prints when the script runs these commands."""
    words = [word for command in commands for word in ("-ex", command)]
    script = [str(folder / "reproduce.sh"), "-batch", *words]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_script_brings_up_the_machine_as_it_was(folder: Path, arch: str) -> None:
    counter = re.match(r"CPU 0 is at (0x\w+)", (folder / "registers.txt").read_text())
    assert counter is not None
    said = reproduced(folder, "p/x $pc", f"p {owner(folder, arch)}", "info line *$pc")
    assert f"= {counter[1]}\n" in said
    assert r"2 '\002'" in said
    assert "firmware/" in said
    assert "detached" not in said  # or it runs on until gdb has lost its patience
    assert left_behind(folder) == []
    before, told = "pipe hv map g2 --json | cat >before", "hv diff g2 before"
    assert "no page differs\n" in reproduced(folder, before, told)


def test_without_its_snapshot_the_script_shows_ram(folder: Path, arch: str) -> None:
    (folder / "snapshot.qcow2").unlink()
    before = (folder / "ram.bin").read_bytes()
    said = reproduced(folder, f"p {owner(folder, arch)}", "set var frames[0].owner = 9")
    assert "only RAM is what it was" in said
    assert r"2 '\002'" in said
    assert (folder / "ram.bin").read_bytes() == before
    assert left_behind(folder) == []


def left_behind(folder: Path) -> list[str]:
    """Processes that work in the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if os.readlink(path) == str(folder):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_gdb_has_the_terminal_where_a_test_has_failed(bench: pytest.Pytester, arch: str) -> None:
    bench.makepyfile(f"{FIVE_LINES}\n    def test_next(guests): guests[0].ping()")
    child = bench.spawn_pytest("--pageferry-gdb", expect_timeout=60)
    child.expect("GuestFault: .*has failed; .quit. goes on")
    child.expect(r"\(gdb\) ")
    child.sendline(f"print {owner(only_folder(bench), arch)}")
    child.expect(r"2 '.002'")
    child.sendline("quit")
    child.sendline("y")
    child.expect("1 failed, 1 passed")
    child.wait()


def test_the_machine_of_a_failed_test_is_kept_until_it_is_enough(
    bench: pytest.Pytester, arch: str
) -> None:
    bench.makepyfile(f"{FIVE_LINES}\n    def test_next(guests): guests[0].ping()")
    child = bench.spawn_pytest("--pageferry-keep", expect_timeout=60)
    child.expect("1 failed, 1 passed")
    child.expect(r"::test_five_lines\r\n +QEMU (\d+): ([^\r]*)\r\n")
    assert isinstance(child.match, re.Match)
    pid, command = int(child.match[1]), child.match[2].decode()
    child.expect("Press Enter to end them")
    look = f"{command} -batch -ex 'print {owner(only_folder(bench), arch)}'"
    said = subprocess.run(look, shell=True, capture_output=True, text=True, check=True, timeout=60)
    assert r"2 '\002'" in said.stdout
    child.sendline()
    child.wait()
    assert not Path(f"/proc/{pid}").exists()


def test_of_the_machines_that_are_kept_ctrl_c_is_enough(bench: pytest.Pytester) -> None:
    bench.makepyfile(FIVE_LINES)
    child = bench.spawn_pytest("--pageferry-keep", expect_timeout=60)
    child.expect("Press Enter to end them")
    child.sendintr()
    left = child.read()
    child.wait()
    assert b"Traceback" not in left
    assert child.exitstatus == pytest.ExitCode.TESTS_FAILED
