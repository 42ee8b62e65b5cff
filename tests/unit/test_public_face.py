"""The package's front door: small, pinned, and closed until someone knocks."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pageferry

FACE = Path(pageferry.__file__)
PUBLIC = [
    "Command",
    "Door",
    "Guest",
    "GuestException",
    "GuestFault",
    "GuestReport",
    "GuestStopped",
    "HarnessError",
    "Image",
    "Judgement",
    "Machine",
    "Observers",
    "Operation",
    "Request",
    "RequestRefused",
    "Status",
    "Testbed",
    "Verdict",
    "WaitTimeout",
    "apply",
    "judge",
]


def names_for_type_checkers() -> set[str]:
    """The names imported under `if TYPE_CHECKING`."""
    (block,) = [node for node in ast.parse(FACE.read_text()).body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports for alias in node.names}


def test_the_public_names_are_these() -> None:
    assert pageferry.__all__ == PUBLIC


def test_what_dir_lists_is_what_is_public() -> None:
    assert dir(pageferry) == PUBLIC


def test_type_checkers_see_the_same_names() -> None:
    assert names_for_type_checkers() == set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(pageferry, name).__name__ == name


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'Nonsense'"):
        pageferry.Nonsense  # noqa: B018


def test_importing_the_package_imports_no_module_of_it() -> None:
    program = "import sys, pageferry; print(*[m for m in sys.modules if 'pageferry.' in m])"
    result = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(FACE.parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == []


def test_the_package_says_that_it_is_typed() -> None:
    assert (FACE.parent / "py.typed").is_file()
