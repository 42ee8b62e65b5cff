"""What the README shows is what happens."""

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from pageferry import Testbed
from pageferry.cli import main
from pageferry.oracle import Oracle
from pageferry.testbed import firmware_directory

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def python_code(part: str) -> str:
    """The block of the README that has this in it."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (code,) = (block for block in blocks if part in block)
    return str(code)


@pytest.mark.parametrize(
    "name", ["test_a_page_that_was_remapped_is_gone", "test_the_records_say_the_same"]
)
def test_the_tests_in_the_readme_pass(bed: Testbed, name: str) -> None:
    names: dict[str, Callable[[Testbed], None]] = {}
    exec(python_code(name), names)
    names[name](bed)


@pytest.mark.needs("plugin")
@pytest.mark.pageferry(cpus=3)
def test_the_test_with_the_plugin_in_the_readme_passes(testbed: Testbed, oracle: Oracle) -> None:
    names: dict[str, Callable[[Testbed, Oracle], None]] = {}
    exec(python_code("Oracle"), names)
    names["test_no_rule_of_invalidation_is_broken"](testbed, oracle)


def test_a_machine_is_started_as_in_the_readme(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = (firmware_directory(arch) / "hypervisor.elf").absolute()
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "my.elf").symlink_to(kernel)
    monkeypatch.chdir(tmp_path)
    code = python_code("with Machine").replace("early", "hypervisor_main")
    exec(re.sub(r'arch\.get\(".*?"\)', f'arch.get("{arch}")', code), {})


def test_the_console_answers_as_in_the_readme(bed: Testbed) -> None:
    typed = re.findall(r"^ +> (\d+ remap .*)\n +< (.*)$", README.read_text(), re.MULTILINE)
    assert len(typed) == 2
    for line, answer in typed:
        bed.machine.console.send_line(line)
        bed.machine.console.expect(without_addresses(re.escape(f"< {answer}"), "0x[0-9a-f]+"))


def without_addresses(text: str, instead: str = "0x...") -> str:
    """The README shows those of one architecture."""
    return re.sub(r"0x[0-9a-f]+", lambda _: instead, text)


def words(picture: Path) -> list[str]:
    """The text of a picture, without what depends on the build: versions, counts, addresses."""
    shown = re.findall(r">([^<>]+)</text>", picture.read_text())
    lines = [html.unescape(text).replace("\xa0", " ").strip() for text in shown]
    kept = [line for line in lines if not re.search(r"instructions  |QEMU|^[\d,]+$", line)]
    return [re.sub(r" +", " ", without_addresses(line)) for line in kept]


def test_the_picture_is_of_what_is_printed_now(arch: str, tmp_path: Path) -> None:
    new = tmp_path / "run.svg"
    output = str(tmp_path / "result.json")
    ran = CliRunner().invoke(main, ["run", "--arch", arch, "--svg", str(new), "--output", output])
    assert ran.exit_code == 0, ran.output
    assert words(new) == words(ROOT / "docs" / "run.svg")
