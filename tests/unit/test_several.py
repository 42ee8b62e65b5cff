"""`pageferry run` and `bench` of several architectures, which are only pretended here."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.unit.test_verdict import COPY, REMAP, SHARE

from pageferry import cli
from pageferry.abi import Operation, Status
from pageferry.address import PAGE_SIZE
from pageferry.errors import QemuMissing
from pageferry.observe import Look
from pageferry.report import bench, mechanisms
from pageferry.report.figures import Bench, Figure, Spread
from pageferry.report.mechanisms import Shown
from pageferry.testbed import Answer, Door
from pageferry.verdict import Scene, judge

NAMES = ("alpha", "pdp11", "vax")
SCENES = {Operation.REMAP: REMAP, Operation.SHARE: SHARE, Operation.COPY: COPY}


def shown(operation: Operation, scene: Scene, instructions: int) -> Shown:
    befores, afters = (
        (Look(scene.source.before, 7, None), Look(scene.target.before, None, None)),
        (Look(scene.source.after, None, None), Look(scene.target.after, 7, None)),
    )
    return Shown(
        operation=operation,
        asked="",
        door=Door.GUEST,
        answer=Answer(Status.OK),
        before=befores,
        after=afters,
        scene=scene,
        judgement=judge(scene),
        bytes_equal=PAGE_SIZE,
        instructions=instructions,
    )


def result(arch: str, *, share: Scene = SHARE, **_: Any) -> mechanisms.Result:
    """What is seen where all is as it should be, but for `share`."""
    scenes = {**SCENES, Operation.SHARE: share}
    told = [shown(operation, scene, len(arch) * 100) for operation, scene in scenes.items()]
    return mechanisms.Result(arch, "7.2.22", 1, tuple(told))


@pytest.fixture(autouse=True)
def three_architectures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli, "ARCHS", NAMES)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def all_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanisms, "run", result)


@pytest.fixture
def pdp11_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arch: str, **_: Any) -> mechanisms.Result:
        if arch == "pdp11":
            raise QemuMissing("no program qemu-system-pdp11")
        return result(arch)

    monkeypatch.setattr(mechanisms, "run", run)


def run(*options: str) -> Result:
    return CliRunner().invoke(cli.main, ["run", "--arch", "all", *options])


@pytest.mark.usefixtures("all_well")
def test_the_architectures_are_side_by_side() -> None:
    ran = run()
    assert ran.exit_code == 0, ran.output
    rows = [line.split() for line in ran.output.splitlines()]
    assert [*NAMES] in rows
    for name in ("remap", "share", "copy"):
        assert [name, "verdict", name, name, name] in rows
    assert rows.count(["instructions", "500", "500", "300"]) == 3
    assert "9 of 9 are what was asked for." in ran.output


@pytest.mark.usefixtures("all_well")
def test_each_architecture_has_a_result_of_its_own() -> None:
    ran = run()
    for name in NAMES:
        told = json.loads(Path("build", "run", name, "result.json").read_text())
        assert (told["arch"], told["ok"]) == (name, True)
        assert f"build/run/{name}/result.json" in ran.output


@pytest.mark.usefixtures("all_well")
def test_the_json_has_all_of_them_by_name() -> None:
    told = json.loads(run("--json").output)
    assert [*told["architectures"]] == [*NAMES]
    assert told["architectures"]["vax"]["mechanisms"]["copy"]["verdict"] == "copy"


@pytest.mark.usefixtures("all_well")
def test_a_file_that_is_named_gets_all_of_them(tmp_path: Path) -> None:
    assert run("--output", "here.json").exit_code == 0
    assert [*json.loads((tmp_path / "here.json").read_text())["architectures"]] == [*NAMES]
    assert [path.name for path in tmp_path.iterdir()] == ["here.json"]


def test_one_unexpected_verdict_gives_status_1_and_says_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def odd(arch: str, **_: Any) -> mechanisms.Result:
        return result(arch, share=REMAP if arch == "vax" else SHARE)

    monkeypatch.setattr(mechanisms, "run", odd)
    ran = run()
    assert ran.exit_code == cli.UNEXPECTED
    assert "8 of 9 are what was asked for." in ran.output
    assert "share on vax was judged remap:" in ran.output


@pytest.mark.usefixtures("pdp11_missing")
def test_where_one_fails_the_others_are_shown_and_the_status_is_2() -> None:
    ran = run()
    assert ran.exit_code == cli.FAILED
    assert "pageferry run --arch pdp11: QemuMissing: no program qemu-system-pdp11" in ran.stderr
    assert ["alpha", "vax"] in [line.split() for line in ran.stdout.splitlines()]
    assert "6 of 6 are what was asked for." in ran.stdout


@pytest.mark.usefixtures("pdp11_missing")
def test_the_one_that_failed_leaves_no_result_of_an_earlier_run() -> None:
    old = Path("build", "run", "pdp11", "result.json")
    old.parent.mkdir(parents=True)
    old.write_text("of yesterday")
    run()
    assert not old.exists()


def test_where_all_fail_nothing_but_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(arch: str, **_: Any) -> mechanisms.Result:
        raise QemuMissing(f"no program for {arch}")

    monkeypatch.setattr(mechanisms, "run", fails)
    ran = run()
    assert (ran.exit_code, ran.stdout) == (cli.FAILED, "")
    assert ran.stderr.count("no program for") == 3


@pytest.mark.parametrize(("strict", "status"), [([], 0), (["--strict"], cli.UNEXPECTED)])
def test_a_bench_of_all_prints_each_and_a_missed_goal_counts(
    monkeypatch: pytest.MonkeyPatch, strict: list[str], status: int
) -> None:
    def measured(arch: str, **_: Any) -> Bench:
        figure = Figure("it", "ms", Spread.of([3 if arch == "vax" else 1]), 2)
        return Bench(arch, "7.2.22", 1, 2, 0.0, (figure,))

    monkeypatch.setattr(bench, "run", measured)
    ran = CliRunner().invoke(cli.main, ["bench", "--arch", "all", *strict])
    assert ran.exit_code == status, ran.output
    for name in NAMES:
        assert f"Pageferry on {name}," in ran.output
        assert json.loads(Path("build", "bench", f"{name}.json").read_text())["arch"] == name
    assert ran.output.count("missed") == 1


@pytest.mark.parametrize("command", ["run", "bench", "doctor", "console", "debug"])
def test_an_unknown_architecture_is_told_with_those_that_exist(command: str) -> None:
    ran = CliRunner().invoke(cli.main, [command, "--arch", "univac"])
    assert ran.exit_code == cli.FAILED
    assert "'univac' is not" in ran.output
    assert "x86_64" in ran.output
