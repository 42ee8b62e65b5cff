"""Pageferry: two guests under a small hypervisor, watched from outside as pages change hands.

This is the whole public face. Names are imported on first use (PEP 562): gdb's
own Python loads `pageferry.inspect`, and it has none of our dependencies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .abi import Command, Status
    from .errors import (
        GuestException,
        GuestFault,
        GuestReport,
        GuestStopped,
        HarnessError,
        RequestRefused,
        WaitTimeout,
    )
    from .image import Image
    from .machine import Machine
    from .observe import Observers
    from .testbed import Door, Testbed
    from .verdict import Judgement, Verdict, judge

__all__ = [
    "Command",
    "Door",
    "GuestException",
    "GuestFault",
    "GuestReport",
    "GuestStopped",
    "HarnessError",
    "Image",
    "Judgement",
    "Machine",
    "Observers",
    "RequestRefused",
    "Status",
    "Testbed",
    "Verdict",
    "WaitTimeout",
    "judge",
]

_HOMES = {
    "Command": "abi",
    "Door": "testbed",
    "GuestException": "errors",
    "GuestFault": "errors",
    "GuestReport": "errors",
    "GuestStopped": "errors",
    "HarnessError": "errors",
    "Image": "image",
    "Judgement": "verdict",
    "Machine": "machine",
    "Observers": "observe",
    "RequestRefused": "errors",
    "Status": "abi",
    "Testbed": "testbed",
    "Verdict": "verdict",
    "WaitTimeout": "errors",
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
