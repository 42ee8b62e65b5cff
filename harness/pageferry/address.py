"""Three kinds of address, so that mixing them does not pass the type checker.

GVA   guest-virtual     what the guest's program uses
 |    stage 1: the guest's own table
GPA   guest-physical    names a page of a VM
 |    stage 2: the hypervisor's table
HPA   host-physical     names a frame of the machine
"""

import re
from typing import Any, NewType, TypeVar, cast

GVA = NewType("GVA", int)
GPA = NewType("GPA", int)
HPA = NewType("HPA", int)

Address = int
"""One of them, where what is said holds for each."""

Word = int
"""64 bits as they are in memory: an entry of a table."""

_Address = TypeVar("_Address", bound=int)
_KINDS = re.compile(r"\b(?:GVA|GPA|HPA|Address|Frame|Word)\b")

PAGE_SIZE = 4096
"""Bytes of a page and of a frame, on every architecture."""


def page_of(address: _Address) -> _Address:
    """The address (of the same kind) of the first byte of the page `address` lies in."""
    return cast(_Address, address - address % PAGE_SIZE)


def is_aligned(address: int) -> bool:
    """Whether `address` is the first byte of a page."""
    return address % PAGE_SIZE == 0


def in_hex(value: Any) -> str:
    """The `__repr__` of a dataclass or named tuple whose addresses, by annotation, are read."""
    kinds: dict[str, Any] = {}
    for each in reversed(type(value).__mro__):
        kinds |= vars(each).get("__annotations__", {})
    shown = []
    for name, kind in kinds.items():
        held = getattr(value, name)
        is_address = isinstance(held, int) and _KINDS.search(str(kind))
        shown.append(f"{name}={held:#x}" if is_address else f"{name}={held!r}")
    return f"{type(value).__qualname__}({', '.join(shown)})"
