"""`pageferry bench` measures on the running machine."""

import json
from pathlib import Path

from click.testing import CliRunner

from pageferry.cli import FAILED, main


def test_a_bench_prints_its_figures_and_writes_them(arch: str, tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    options = ["--arch", arch, "--rounds", "2", "--output", str(output)]
    ran = CliRunner().invoke(main, ["bench", *options])
    assert ran.exit_code == 0, ran.output
    told = json.loads(output.read_text())
    names = {figure["name"]: figure for figure in told["figures"]}
    assert names["restore, both guests answer"]["spread"]["n"] == 4
    assert names["remap, as the guest sees it"]["met"] is True
    assert "remap, as the guest sees it" in ran.output


def test_a_bench_without_an_emulator_gives_status_2(arch: str) -> None:
    ran = CliRunner().invoke(main, ["bench", "--arch", arch, "--qemu", "qemu-system-none"])
    assert ran.exit_code == FAILED
    assert "qemu-system-none" in ran.output
