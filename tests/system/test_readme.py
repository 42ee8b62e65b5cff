"""What the README shows is what happens."""

import re
from collections.abc import Callable
from pathlib import Path

from pageferry import Testbed

README = Path(__file__).parents[2] / "README.md"


def test_the_test_in_the_readme_passes(arch: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, Callable[[], None]] = {}
    exec(code, names)
    names["test_a_page_that_was_remapped_is_gone"]()


def test_the_console_answers_as_in_the_readme(bed: Testbed) -> None:
    typed = re.findall(r"^ +> (\d+ remap .*)\n +< (.*)$", README.read_text(), re.MULTILINE)
    assert len(typed) == 2
    for line, answer in typed:
        bed.machine.console.send_line(line)
        bed.machine.console.expect(re.escape(f"< {answer}"))
