"""Pageferry: two guests under a small hypervisor, watched from outside as pages change hands.

This is the whole public face. Names are imported on first use (PEP 562): gdb's
own Python loads `pageferry.inspect`, and it has none of our dependencies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import GuestFault, GuestReport, GuestStopped, HarnessError, RequestRefused
    from .image import Image
    from .machine import Machine
    from .observe import Observers
    from .testbed import Door, Testbed
    from .verdict import Verdict, judge

__all__ = [
    "Door",
    "GuestFault",
    "GuestReport",
    "GuestStopped",
    "HarnessError",
    "Image",
    "Machine",
    "Observers",
    "RequestRefused",
    "Testbed",
    "Verdict",
    "judge",
]

_HOMES = {
    "Door": "testbed",
    "GuestFault": "errors",
    "GuestReport": "errors",
    "GuestStopped": "errors",
    "HarnessError": "errors",
    "Image": "image",
    "Machine": "machine",
    "Observers": "observe",
    "RequestRefused": "errors",
    "Testbed": "testbed",
    "Verdict": "verdict",
    "judge": "verdict",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return __all__
