"""What an architecture owes, read from firmware/include/arch.h, and what one has of it.

/* ... *   cpu.h   struct arch_vcpu, RAM_BASE ... */      names that a header has
/* pte.h: STAGE2_LEVELS ... *   size_t   pte_index(...)   names and functions of another
void arch_init(void);                                     code, in C or assembly
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
ARCH_H = ROOT / "firmware" / "include" / "arch.h"

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_MACRO = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b")
_FUNCTION = r"(?P<type>\w[\w \*]*?[ \*])(?P<name>\w+)\((?P<parameters>[^)]*)\)"


class Promise(NamedTuple):
    """A name that an architecture gives; of a function also its types, in words."""

    place: str
    name: str
    types: str = ""


def promises(arch_h: str) -> Iterator[Promise]:
    """All that arch.h asks of an architecture."""
    for comment in _COMMENT.findall(arch_h):
        for header, names in re.findall(r"^ \*   (\w+\.h) +(\S.*_.*)$", comment, re.MULTILINE):
            yield from (Promise(header, name) for name in re.findall(r"\w*_\w+", names))
        if opening := re.match(r"/\* (\w+\.h): (.*)", comment):
            yield from (Promise(opening[1], name) for name in _MACRO.findall(opening[2]))
            for found in re.finditer(rf"^ \*   {_FUNCTION}", comment, re.MULTILINE):
                yield Promise(opening[1], found["name"], _types(found))
        if "linker script names" in comment:
            named = re.findall(r"\bhypervisor_(?:start|end)\b", comment)
            yield from (Promise("hypervisor.ld", name) for name in named)
    for found in re.finditer(rf"^{_FUNCTION};", _COMMENT.sub("", arch_h), re.MULTILINE):
        yield Promise("code", found["name"], _types(found))


def _types(function: re.Match[str]) -> str:
    """The types of a function without the names of its parameters: "pte_t(hpa_t, unsigned)"."""
    found = []
    for parameter in function["parameters"].split(","):
        words = re.findall(r"\w+|\*", parameter)
        unnamed = len(words) == 1 or words[-1] == "*" or words[-2] == "struct"
        found.append(" ".join(words if unnamed else words[:-1]))
    words = re.findall(r"\w+|\*", function["type"])
    result = [word for word in words if word not in ("static", "inline", "_Noreturn")]
    return f"{' '.join(result)}({', '.join(found)})"


def missing(folder: Path, owed: list[Promise]) -> list[str]:
    """The names of what is promised and not found in an architecture's folder."""
    return [promise.name for promise in owed if not _has(folder, promise)]


def _has(folder: Path, promise: Promise) -> bool:
    if promise.types:
        files = [*folder.glob("*.c")] if promise.place == "code" else [folder / promise.place]
        defined = (it for file in files for it in _definitions(file) if it["name"] == promise.name)
        if any(_types(it) == promise.types for it in defined):
            return True
        labels = re.compile(rf"^{promise.name}:", re.MULTILINE)
        return promise.place == "code" and any(_finds(labels, it) for it in folder.glob("*.S"))
    # A macro, a type, a struct with its members, or a symbol that a linker script sets.
    name = promise.name
    given = rf"#define {name}\b|\btypedef .*\b{name};|\bstruct {name} \{{|\b{name} *= "
    return _finds(re.compile(given), folder / promise.place)


def _definitions(file: Path) -> Iterator[re.Match[str]]:
    text = _COMMENT.sub("", file.read_text()) if file.is_file() else ""
    return re.finditer(rf"^{_FUNCTION}\s*\{{", text, re.MULTILINE)


def _finds(pattern: re.Pattern[str], file: Path) -> bool:
    return file.is_file() and bool(pattern.search(_COMMENT.sub("", file.read_text())))


PLACES = {
    "the build": "firmware/arch/*/arch.mk",
    "the harness": "harness/pageferry/arch/*.py",
    "the firmware of the tests": "tests/system/firmware/*/parrot.S",
}
"""Where an architecture is, below the root."""


def absences(root: Path) -> list[str]:
    """Each place that lacks an architecture which another place has."""
    found = {
        place: {_name(path) for path in root.glob(pattern)} - {"__init__"}
        for place, pattern in PLACES.items()
    }
    every = set().union(*found.values())
    return [
        f"{place} lacks {name}" for place, names in found.items() for name in sorted(every - names)
    ]


def _name(path: Path) -> str:
    return path.stem if path.suffix == ".py" else path.parent.name
