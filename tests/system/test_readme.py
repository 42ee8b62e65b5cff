"""What the README shows is what happens."""

import html
import re
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from pageferry import Testbed
from pageferry.cli import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def test_the_test_in_the_readme_passes(bed: Testbed) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, Callable[[Testbed], None]] = {}
    exec(code, names)
    names["test_a_page_that_was_remapped_is_gone"](bed)


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
