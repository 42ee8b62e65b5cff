"""Pageferry: two guests under a small hypervisor, watched from outside as pages change hands.

This is the whole public face. Names are imported on first use (PEP 562): gdb's
own Python loads `pageferry.inspect`, and it has none of our dependencies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .abi import Command, Operation, Status
    from .errors import (
        GuestException,
        GuestFault,
        GuestReport,
        GuestStopped,
        HarnessError,
        RequestRefused,
        WaitTimeout,
    )
    from .guest import Guest
    from .image import Image
    from .machine import Machine
    from .observe import Observers
    from .ownership import Request, apply
    from .testbed import Door, Testbed
    from .verdict import Judgement, Verdict, judge

__all__ = [
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

_HOMES = {
    "Command": "abi",
    "Door": "testbed",
    "Guest": "guest",
    "GuestException": "errors",
    "GuestFault": "errors",
    "GuestReport": "errors",
    "GuestStopped": "errors",
    "HarnessError": "errors",
    "Image": "image",
    "Judgement": "verdict",
    "Machine": "machine",
    "Observers": "observe",
    "Operation": "abi",
    "Request": "ownership",
    "RequestRefused": "errors",
    "Status": "abi",
    "Testbed": "testbed",
    "Verdict": "verdict",
    "WaitTimeout": "errors",
    "apply": "ownership",
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
