"""What a failed test leaves: one folder, from which the reason can be found."""

import json
import re
from pathlib import Path

import pytest
from tests.system import failing, tiny
from tests.system.failing import FIVE_LINES
from tests.system.once import Once, Run

from pageferry import arch as architectures
from pageferry.abi import GuestMap
from pageferry.address import PAGE_SIZE
from pageferry.machine import RAM
from pageferry.report.claims import MARK

ALWAYS = {
    *("failure.txt", "console.log", "qmp.log", "timeline.log", "requests.txt"),
    *("registers.txt", "command.txt", "ram.bin", "snapshot.qcow2", "reproduce.sh", MARK),
}
OURS = {
    *("guest1.txt", "guest1.json", "guest2.txt", "guest2.json"),
    *("frames.txt", "frames.json", "doubts.txt", "hypervisor.elf", "agent.elf"),
}


@pytest.fixture
def bench(pytester: pytest.Pytester, arch: str) -> pytest.Pytester:
    return failing.bench(pytester, arch)


OWN = """
    def test_own(machine):
        machine.console.await_log(f"pageferry {machine.arch.name} ready")
        assert machine.console.request("hello").fields == {"count": "z"}
"""

DIES = """
    import os
    import signal

    def test_dies(machine):
        machine.console.await_log(f"pageferry {machine.arch.name} ready")
        os.kill(machine.pid, signal.SIGKILL)
        machine.console.request("hello")
"""

HANGS = """
    import os
    import signal

    def test_hangs(machine, monkeypatch):
        monkeypatch.setenv("PAGEFERRY_TIMEOUT_SCALE", "0.2")
        os.kill(machine.pid, signal.SIGSTOP)
        assert False, "its own failure"

    def test_goes_on(machine):
        machine.console.await_log(f"pageferry {machine.arch.name} ready")
"""


@pytest.fixture
def second(pytester: pytest.Pytester, arch: str, once: Once, parrot: Path) -> Run:
    """A run of tests that use a kernel of their own."""
    tests = {"test_own": OWN, "test_dies": DIES, "test_hangs": HANGS}

    def write() -> None:
        ini = failing.bench(pytester, arch).path / "tox.ini"
        ini.write_text(f"{ini.read_text()}\npageferry_kernel = {parrot}\n")
        pytester.makepyfile(**tests)

    run = once.run("second_kernel", write, *(f"{name}.py" for name in tests))
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.said
    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_file_is_there_and_none_is_empty(failed: Run) -> None:
    (case,) = failed.reports("test_five_lines")
    assert failed.outcomes("test_five_lines") == ["failure"]
    folder = failed.evidence("test_five_lines")
    assert names(folder) == ALWAYS | OURS
    assert [path.name for path in folder.iterdir() if path.stat().st_size == 0] == []
    assert re.search(rf"-+ pageferry evidence -+\n{re.escape(str(folder))}\n", failed.said)
    properties = {it.get("name"): it.get("value") for it in case.iter("property")}
    assert properties["evidence"] == str(folder)
    assert sum(path.stat().st_blocks * 512 for path in folder.iterdir()) < 16 << 20


def test_a_failure_ends_at_the_line_of_the_test(failed: Run) -> None:
    told = failed.evidence("test_five_lines").joinpath("failure.txt").read_text()
    assert re.findall(r"^(\S+\.py):\d+: ", told, re.M) == ["test_five_lines.py"]
    assert "\n>       assert a.load(a.page(0)) == 7\n" in told


def test_a_mistake_in_the_harness_shows_where_it_is(failed: Run) -> None:
    told = failed.evidence("test_wrong_type").joinpath("failure.txt").read_text()
    assert re.search(r"/pageferry/\w+\.py:\d+: TypeError", told)


def test_the_reason_can_be_read(failed: Run) -> None:
    folder = failed.evidence("test_five_lines")
    told = {
        path.name: path.read_text() for path in folder.iterdir() if path.suffix in (".txt", ".log")
    }
    page, window = int(GuestMap.PAGES), int(GuestMap.WINDOW)
    assert f"guest 1 faulted at GPA {page:#x}" in told["failure.txt"]
    asked = rf"remap 1 {page:#x} 0x2 {window:#x}\n"
    assert re.search(asked + r" +< \d+ ok frame=(0x\w+) .* ms\)", told["requests.txt"])
    loaded = rf" +guest 1: load {page:#x}\n +< \d+ ok .*\n +fault at GPA {page:#x} on READ\n"
    assert re.search(loaded, told["requests.txt"])
    counter = re.match(r"CPU 0 is at 0x(\w+)", told["registers.txt"])
    assert counter
    assert told["registers.txt"].count(counter[1]) > 1
    first = told["console.log"].splitlines()[0]
    assert first.endswith("::test_five_lines begins")
    assert f"{window:012x}-0x{window + PAGE_SIZE - 1:012x}" in told["guest2.txt"]
    assert f"{page:012x}" not in told["guest1.txt"].partition("stage 2")[2].replace("-0x", " ")
    assert "owner=2" in told["frames.txt"]
    assert told["doubts.txt"] == "there is none\n"


def test_all_wires_are_on_one_clock(failed: Run) -> None:
    folder = failed.evidence("test_all_wires")
    lines = (folder / "timeline.log").read_text().splitlines()
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)
    assert {line.split()[1] for line in lines} == {"test", "console", "agent", "qmp", "mi"}
    for wire in ("console", "qmp", "mi"):
        own = (folder / f"{wire}.log").read_text().splitlines()
        assert [line for line in lines if line.split()[1] in (wire, "test")] == own


def test_only_what_belongs_to_the_test_is_told(failed: Run) -> None:
    told = (failed.evidence("test_after") / "timeline.log").read_text()
    assert "# of this test" in told
    assert "test before" not in told
    assert "test_before" not in told
    assert not list(failed.path.glob("build/evidence/*.test_before"))


def test_tables_and_frames_are_there_for_programs(failed: Run, arch: str) -> None:
    folder = failed.evidence("test_five_lines")
    tables = json.loads((folder / "guest2.json").read_text())
    (page,) = [run for run in tables["stage2"] if int(run["address"], 16) == GuestMap.WINDOW]
    assert page["size"] == 4096
    assert sum(run["size"] for run in tables["stage2"]) == (512 + 1) * 4096
    number = (int(page["output"], 16) - architectures.get(arch).ram_base) // PAGE_SIZE
    (frame,) = [
        run
        for run in json.loads((folder / "frames.json").read_text())
        if run["first"] <= number < run["first"] + run["count"]
    ]
    assert (frame["kind"], frame["owner"]) == ("FRAME_GUEST", 2)
    assert tables["stage2_root"].startswith("0x")


def test_a_record_that_the_tables_do_not_bear_out_is_among_the_doubts(failed: Run) -> None:
    page = f"{int(GuestMap.PAGES):#x}"
    told = (failed.evidence("test_wrong_record") / "doubts.txt").read_text()
    first, second = told.splitlines()
    assert first.endswith(f": the record gives it to g2 at {page}, whose stage 2 does not")
    assert second.endswith(f": g1 maps it at {page}, of which the record knows nothing")


def test_the_machine_goes_on_after_its_evidence_was_taken(failed: Run) -> None:
    assert failed.outcomes("test_same_process") == ["failure", "failure", "passed"]


def test_a_kernel_that_is_not_ours_has_evidence_too(second: Run) -> None:
    assert second.outcomes("test_own") == ["failure"]
    folder = second.evidence("test_own")
    assert names(folder) == ALWAYS | {"parrot.elf"}
    assert "ok count=a" in (folder / "requests.txt").read_text()
    assert "hv guests" not in (folder / "reproduce.sh").read_text()
    assert "receive" in (folder / "registers.txt").read_text().splitlines()[0]


def test_a_machine_that_failed_to_boot_has_evidence(bench: pytest.Pytester, arch: str) -> None:
    kernel = tiny.build(arch, "silent", bench.path)
    for name in ("hypervisor.elf", "agent.elf"):
        (bench.path / name).write_bytes(kernel.read_bytes())
    bench.makepyfile("def test_it(testbed): pass\ndef test_another(testbed): pass")
    # Of a second, which is what is left of it, a busy machine may have none.
    bench.makeconftest("from pageferry.report import evidence\nevidence.PATIENCE *= 10")
    result = bench.runpytest_subprocess(
        f"--pageferry-firmware={bench.path}", "--pageferry-timeout-scale=0.1"
    )
    result.assert_outcomes(errors=2)
    folder = next(path for path in (bench.path / "build/evidence").iterdir() if "it" in path.name)
    assert "# the first line" in (folder / "console.log").read_text()
    assert "halt" in (folder / "registers.txt").read_text().splitlines()[0]


def test_a_machine_that_died_has_what_it_left(second: Run) -> None:
    assert re.match(r".*\bQemuDied: .*killed by signal 9", failure(second, "test_dies"))
    folder = second.evidence("test_dies")
    assert second.said.count(f"the evidence in {folder} is not complete") == 1
    assert "ready" in (folder / "console.log").read_text()
    assert "QemuDied" in (folder / "registers.txt").read_text()
    assert (folder / "ram.bin").stat().st_size == RAM
    assert not (folder / "snapshot.qcow2").exists()


def test_a_machine_that_hangs_holds_nobody_up(second: Run) -> None:
    assert second.outcomes("test_hangs") == ["failure", "passed"]
    assert "its own failure" in failure(second, "test_hangs")
    folder = second.evidence("test_hangs")
    assert second.said.count(f"the evidence in {folder} is not complete") == 1
    assert (folder / "ram.bin").exists()
    assert re.search(r"\b3 failed, 1 passed, 2 warnings in ", second.said)


def failure(run: Run, file: str) -> str:
    """What the first test of the file is said to have failed by."""
    told = [it for case in run.reports(file) for it in case.iter("failure")]
    return told[0].get("message", "")


def test_a_full_disk_is_a_warning_that_names_the_folder(failed: Run) -> None:
    assert "GuestFault" in failure(failed, "test_full_disk")
    folder = failed.evidence("test_full_disk")
    where = re.escape(f"PytestWarning: the evidence in {folder} is not complete: ")
    assert len(re.findall(rf"{where}.*ram\.bin: ", failed.said)) == 1
    assert "ram.bin: OSError" in (folder / "failure.txt").read_text()
    assert not (folder / "ram.bin").exists()
    assert not (folder / "ram.bin.part").exists()
    assert (folder / "guest1.txt").stat().st_size > 0


def test_a_text_that_has_no_room_is_not_there_and_is_told(failed: Run) -> None:
    assert "\nnot taken: reproduce.sh: OSError: " in failed.said
    folder = failed.evidence("test_full_disk")
    assert "reproduce.sh: OSError" in (folder / "failure.txt").read_text()
    assert [path.name for path in folder.iterdir() if path.name.startswith("reproduce")] == []


def test_a_run_beside_another_has_evidence_of_its_own(failed: Run) -> None:
    wanted = failed.evidence("test_beside")
    assert f"\n{wanted}-2\n" in failed.said
    assert names(wanted) == {MARK}
    assert names(wanted.with_name(f"{wanted.name}-2")) == ALWAYS | OURS


def test_what_the_oracles_found_is_told_where_the_failure_does_not(failed: Run) -> None:
    assert failed.outcomes("test_disagrees") == ["failure"]
    told = (failed.evidence("test_disagrees") / "oracle.log").read_text()
    for page in range(20):
        where = f"VM 1 at {GuestMap.PAGES + page * PAGE_SIZE:#x} should map nothing, and maps 0x"
        assert told.count(where) == 1
    assert re.search("source after +0x[0-9a-f]+ +read-only +read-only +([0-9a-f]{16}) +\\1", told)


def test_a_folder_that_cannot_be_made_hides_no_failure(bench: pytest.Pytester) -> None:
    bench.makepyfile(FIVE_LINES)
    (bench.path / "build").write_text("in the way")
    result = bench.runpytest_subprocess()
    result.assert_outcomes(failed=1, warnings=1)
    result.stdout.fnmatch_lines(
        ["E *GuestFault*", "*evidence in */build/evidence/* is not complete*"]
    )


def test_a_mistake_in_the_taking_of_evidence_hides_no_failure(failed: Run) -> None:
    assert "GuestFault" in failure(failed, "test_mistake")
    folder = failed.evidence("test_mistake")
    where = re.escape(f"the evidence in {folder} is not complete: ")
    why = r"registers\.txt: ZeroDivisionError: a mistake"
    assert len(re.findall(f"{where}.*{why}", failed.said)) == 1
    assert names(folder) == (ALWAYS | OURS) - {"frames.json"}


def test_only_evidence_that_is_not_complete_is_a_warning(failed: Run) -> None:
    assert re.search(r"\b2 warnings in ", failed.said)


def test_several_workers_take_the_evidence_of_their_own_tests(divided: Run) -> None:
    assert divided.outcomes("test_alike") == ["failure"] * 4
    folders = sorted((divided.path / "ev").iterdir())
    assert len(folders) == 4
    assert all(names(folder) == ALWAYS | OURS for folder in folders)
    assert all(f"{folder}" in divided.said for folder in folders)


def test_a_test_without_a_machine_leaves_nothing(failed: Run) -> None:
    assert failed.outcomes("test_no_machine") == ["passed", "failure"]
    assert list(failed.path.glob("build/evidence/test_no_machine*")) == []


def test_an_expected_failure_leaves_nothing(looked: Run) -> None:
    assert looked.outcomes("test_expected") == ["skipped", "skipped"]
    assert re.search(r"\b1 skipped, 1 xfailed in ", looked.said)
    assert not (looked.path / "build").exists()
