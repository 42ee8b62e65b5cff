"""Who may know whom. Read from the sources, so that an import inside a function counts too."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "harness"
PACKAGE = HARNESS / "pageferry"
FIRMWARE = ROOT / "firmware"

# A part knows only those before it. A part is a module or a folder of the
# package; within a folder the modules know each other. Some are still to come.
PURE = [
    *"errors address abi pattern memory tables paging holdings ownership ledger verdict".split(),
    *"protocol traces".split(),
]
STANDARD_LIBRARY_ONLY = [*PURE, "arch", "inspect"]
ORDER = [
    *STANDARD_LIBRARY_ONLY,
    *"image wire".split(),
    *"journal loop channel child console monitor snapshot manifest debugger".split(),
    *"recorder emulator machine target".split(),
    *"guest books census gdb_door testbed oracle observe settings pool".split(),
]
FACES = ["pytest_plugin", "cli", "report"]


@dataclass(frozen=True)
class Import:
    """One import: who, of whom, where, and whether only a type checker sees it."""

    part: str
    of: str
    where: str
    for_types_only: bool


def part_of(module: str) -> str:
    """The part a dotted name lies in: pageferry.wire.console -> wire."""
    return module.split(".")[1] if "." in module else ""


def parts() -> set[str]:
    """Every part there is."""
    return {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()} - {
        "__init__",
        "__pycache__",
    }


def imported_names(node: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """The absolute dotted names that one statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = module.split(".")
        base = base[: len(base) - node.level + is_package] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        # `from . import abi` imports pageferry.abi; `from .abi import Status` the same.
        yield from (f"{source}.{alias.name}" for alias in node.names)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports() -> list[Import]:
    """Every import statement in the package but those of its lazy front door."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        dotted = path.relative_to(HARNESS).with_suffix("").parts
        is_package = dotted[-1] == "__init__"
        module = ".".join(dotted[:-1] if is_package else dotted)
        if module == "pageferry":
            continue
        tree = ast.parse(path.read_text(), str(path))
        blocks = [node for node in ast.walk(tree) if is_type_checking(node)]
        for_types = {id(inner) for block in blocks for inner in ast.walk(block)}
        for node in ast.walk(tree):
            for name in imported_names(node, module, is_package):
                where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
                found.append(Import(part_of(module), name, where, id(node) in for_types))
    return found


def is_allowed(it: Import) -> bool:
    """Tell whether an import of our own modules follows the order."""
    of = part_of(it.of)
    if it.part in FACES or it.part == of:
        return True
    if not {it.part, of} <= set(ORDER):
        return False
    # The signature of an error may name the types of its neighbours.
    among_pure_types = it.for_types_only and it.part in PURE and of in PURE
    return among_pure_types or ORDER.index(of) < ORDER.index(it.part)


def test_every_part_of_the_package_has_its_place_in_the_order() -> None:
    assert parts() <= {*ORDER, *FACES}


def test_a_part_imports_only_what_comes_before_it() -> None:
    ours = [it for it in imports() if it.of.split(".")[0] == "pageferry"]
    assert [f"{it.where} imports {it.of}" for it in ours if not is_allowed(it)] == []


def test_everything_through_inspect_is_standard_library_only() -> None:
    allowed = {*sys.stdlib_module_names, "pageferry"}
    strict = [it for it in imports() if it.part in STANDARD_LIBRARY_ONLY]
    foreign = [it for it in strict if it.of.split(".")[0] not in allowed]
    assert [f"{it.where} imports {it.of}" for it in foreign] == []


@pytest.mark.parametrize("part", [name for name in STANDARD_LIBRARY_ONLY if name in parts()])
def test_a_python_without_site_packages_can_import_the_pure_part(part: str) -> None:
    result = subprocess.run(
        [sys.executable, "-S", "-c", f"import pageferry.{part}"],
        env={**os.environ, "PYTHONPATH": str(HARNESS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def c_files(*folders: str) -> list[Path]:
    """C and assembly under the folders of firmware/."""
    files = [path for folder in folders for path in (FIRMWARE / folder).rglob("*")]
    return sorted(path for path in files if path.suffix in {".c", ".h", ".S"})


def lines_that_match(paths: list[Path], pattern: str) -> list[str]:
    """Every line in which the pattern occurs, as file:line: text."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_the_guest_includes_hypercall_h_and_nothing_of_the_hypervisor_s() -> None:
    guest = [*c_files("guest"), *sorted((FIRMWARE / "arch").glob("*/guest*.[cSh]"))]
    its_own = r'"hypercall\.h"|"\.\./\.\./guest/\w+\.h"|<std(int|bool|def)\.h>'
    other = rf"^\s*#\s*include\s+(?!{its_own})"
    assert lines_that_match(guest, other) == []


def test_hypercall_h_drags_in_no_other_header_of_ours() -> None:
    header = [FIRMWARE / "include/hypercall.h"]
    assert lines_that_match(header, r'^\s*#\s*include\s+"') == []


def test_core_reaches_an_architecture_only_by_include_path() -> None:
    files = c_files("core", "include", "guest", "plugin")
    assert lines_that_match(files, r"#\s*include.*(arch/|\.\.)") == []


def test_no_firmware_outside_arch_asks_which_architecture_it_is() -> None:
    files = c_files("core", "include", "guest", "plugin")
    conditional = r"^\s*#\s*(el)?if.*(x86|amd64|i386|aarch64|arm|riscv)"
    assert lines_that_match(files, conditional) == []
