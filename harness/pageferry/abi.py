"""The numbers of firmware/include/hypercall.h, under the same names.

C says `STATUS_NOT_POSTED`, Python `Status.NOT_POSTED`, the console `not-posted`.
Nothing here is an independent choice: tests compare every enum with the header,
and with the debug information of the images that were built from it.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class GuestMap(IntEnum):
    """The guest-physical map, the same in every VM; addresses and sizes in bytes."""

    RAM = 0x6000_0000
    RAM_SIZE = 0x0020_0000
    PAGES = 0x6010_0000
    WINDOW = 0x3000_0000
    WINDOW_SIZE = 0x0080_0000
    ALIAS = 0x4000_0000


class Operation(IntEnum):
    """What a guest or a request asks of the hypervisor."""

    WAIT = 1
    RECOVER = 2
    POST = 3
    WITHDRAW = 4
    REMAP = 5
    SHARE = 6
    RECLAIM = 7
    RELINQUISH = 8
    COPY = 9
    ASK = 10


class Status(IntEnum):
    """The answer to every operation. All but OK leave everything as it was."""

    OK = 0
    UNKNOWN_OPERATION = 1
    BAD_REQUEST = 2
    BUSY = 3
    UNKNOWN_VM = 4
    UNKNOWN_VCPU = 5
    SAME_VM = 6
    MISALIGNED = 7
    OUT_OF_RANGE = 8
    NOT_MAPPED = 9
    NOT_OWNER = 10
    SHARED = 11
    NOT_SHARED = 12
    PROTECTED = 13
    NOT_POSTED = 14
    OCCUPIED = 15
    NO_MEMORY = 16
    STOPPED = 17

    @property
    def console_name(self) -> str:
        """The word the firmware writes for it: lower case, '-' for '_'."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def from_console(cls, word: str) -> Status:
        """The status the firmware calls `word`; ValueError if it has none of that name."""
        for status in cls:
            if status.console_name == word:
                return status
        raise ValueError(f"the firmware has no status called {word!r}")


class Command(IntEnum):
    """What the harness may ask of the agent in a guest."""

    PING = 0
    LOAD = 1
    STORE = 2
    FILL = 3
    CHECKSUM = 4
    JUMP = 5
    HYPERCALL = 6
    WATCH = 7
    SCRIBBLE = 8
    COPY = 9
    REMEMBER = 10
    RECALL = 11
    RESIDUE = 12
    REST = 13
    MISBEHAVE = 14
    LOAD_AS_USER = 15


class Outcome(IntEnum):
    """How the agent fared with a command, as its report page says."""

    NONE = 0
    DONE = 1
    FAULT = 2
    EXCEPTION = 3
    UNKNOWN_COMMAND = 4


class Access(IntFlag):
    """How a page was touched when it faulted."""

    READ = 1
    WRITE = 2
    EXECUTE = 4
