"""Three kinds of address, so that mixing them does not pass the type checker.

GVA   guest-virtual     what the guest's program uses
 |    stage 1: the guest's own table
GPA   guest-physical    names a page of a VM
 |    stage 2: the hypervisor's table
HPA   host-physical     names a frame of the machine
"""

import re
from dataclasses import fields
from typing import Any, NewType, TypeVar, cast

GVA = NewType("GVA", int)
GPA = NewType("GPA", int)
HPA = NewType("HPA", int)

_Address = TypeVar("_Address", bound=int)
_KINDS = re.compile(r"\b(?:GVA|GPA|HPA|Frame)\b")

PAGE_SIZE = 4096
"""Bytes of a page and of a frame, on every architecture."""


def page_of(address: _Address) -> _Address:
    """The address (of the same kind) of the first byte of the page `address` lies in."""
    return cast(_Address, address - address % PAGE_SIZE)


def is_aligned(address: int) -> bool:
    """Whether `address` is the first byte of a page."""
    return address % PAGE_SIZE == 0


def in_hex(value: Any) -> str:
    """The `__repr__` of a dataclass whose addresses, by their annotations, are to be read."""
    shown = []
    for field in fields(value):
        held = getattr(value, field.name)
        is_address = isinstance(held, int) and _KINDS.search(str(field.type))
        shown.append(f"{field.name}={held:#x}" if is_address else f"{field.name}={held!r}")
    return f"{type(value).__qualname__}({', '.join(shown)})"
