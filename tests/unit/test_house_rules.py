"""Rules of the house that a linter does not know."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ["firmware", "harness", "scripts", "tests", ".ci"]
SUFFIXES = {".py", ".c", ".h", ".S", ".ld", ".mk", ".sh", ".md", ".toml", ""}
LONGEST_FILE = 400  # lines: what can be read whole in one sitting


def files() -> list[Path]:
    """Every file that somebody wrote."""
    found = [path for path in ROOT.iterdir() if path.suffix in SUFFIXES]
    found += [path for folder in SOURCES for path in (ROOT / folder).rglob("*")]
    return sorted(path for path in found if path.is_file() and path.suffix in SUFFIXES)


@cache
def python_nodes(folder: str) -> list[tuple[Path, ast.AST]]:
    """Every syntax node of the Python under a folder."""
    files = sorted((ROOT / folder).rglob("*.py"))
    return [(path, node) for path in files for node in ast.walk(ast.parse(path.read_text()))]


def place(path: Path, node: ast.AST) -> str:
    """Where a node is, as file:line."""
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def architectures() -> set[str]:
    """The names of those that exist and of those to come."""
    return {path.parent.name for path in ROOT.glob("firmware/arch/*/arch.mk")} | {
        "x86_64",
        "aarch64",
        "riscv64",
    }


def is_constant(node: ast.AST, values: set[str]) -> bool:
    return isinstance(node, ast.Constant) and node.value in values


def test_no_module_outside_arch_compares_with_the_name_of_an_architecture() -> None:
    names = architectures()
    compared = [
        place(path, node)
        for path, node in python_nodes("harness")
        if isinstance(node, ast.Compare | ast.MatchValue)
        and any(is_constant(part, names) for part in ast.walk(node))
        and path.parent.name != "arch"
    ]
    assert compared == []


def test_the_makefile_has_no_condition_on_an_architecture() -> None:
    conditions = [
        line
        for line in (ROOT / "Makefile").read_text().splitlines()
        if re.match(r"\s*(else\s+)?if", line) and any(name in line for name in architectures())
    ]
    assert conditions == []


# What a CPU's people call it, its extensions, its boards and its registers.
OF_ONE_ARCHITECTURE = re.compile(
    r"x86|amd64|i386|svm|vmcb|pvh|microvm|aarch64|arm64|armv|psci|riscv|opensbi|sv39"
    r"|\b(?:[re][a-d]x|[re][sd]i|[re]ip|[re]sp|cr[0-4]|el[0-3]|ttbr\w*|hpfar\w*|satp|hgatp)\b",
    re.IGNORECASE,
)
LITERAL_ADDRESS = re.compile(r"\b0x[0-9a-f_]{5,}", re.IGNORECASE)


@pytest.mark.parametrize(
    "pattern", [OF_ONE_ARCHITECTURE, LITERAL_ADDRESS], ids=["name of an architecture", "address"]
)
def test_no_system_test_has_a(pattern: re.Pattern[str]) -> None:
    """They come from the image, the guest and the descriptor: the tests are the same for all."""
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "tests" / "system").glob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert hits == []


@pytest.mark.parametrize("line", ["say x86_64", "p $rip", "EIP=", "HPA(0x20_0000)", "0x60100000"])
def test_what_is_of_one_architecture_is_recognized(line: str) -> None:
    assert OF_ONE_ARCHITECTURE.search(line) or LITERAL_ADDRESS.search(line)


def test_nobody_waits_for_time_to_pass() -> None:
    sleeping = [
        place(path, node)
        for folder in ("harness", "tests", "scripts")
        for path, node in python_nodes(folder)
        if (isinstance(node, ast.Attribute) and node.attr == "sleep")
        or (isinstance(node, ast.ImportFrom) and "sleep" in {it.name for it in node.names})
    ]
    assert sleeping == []


# Written so that no pattern matches its own line.
@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"(?<![\w.])/(?:work|root|home|Users)/\w", id="path of one machine"),
        pytest.param(r"(?<![\w.])/(?:tmp)/\w", id="path that others can guess"),
        pytest.param(r"pypi\.(?:org|io)|pythonhosted\.|deb\.debian\.", id="package registry"),
        pytest.param(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b", id="work left to do"),
    ],
)
def test_no_file_names_a(pattern: str) -> None:
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert hits == []


def test_every_file_can_be_read_in_one_sitting() -> None:
    lengths = {str(it.relative_to(ROOT)): it.read_text().count("\n") for it in files()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}
