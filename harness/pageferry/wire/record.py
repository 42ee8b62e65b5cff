"""What the TCG plugin has written down: bytes to records (firmware/plugin/record.h).

    0                    header: see `Header`
    WATCH                one byte of watch bits for each 8 bytes of RAM
    ... RAM size / 8     records, 32 bytes each

    address 8 | value 8 | code 8 | since 4 | kind 1 | cpu 1 | detail 1 | zero 1

Every address is host-physical. Records are numbered from 0 in the order over all CPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum, IntFlag
from struct import Struct
from typing import NamedTuple

WATCH = 4096
"""Where the watch bits begin."""

UNIT = 8
"""Bytes of RAM that are watched together."""

CPU_LIMIT = 8

HEADER_START = Struct("<IIQQQ")
"""What the harness may set."""

HEADER = Struct("<IIQQQ8Q")
RECORD = Struct("<QQQIBBBx")


class Watch(IntFlag):
    """What is recorded about a unit of RAM."""

    STORES = 1
    ACCESSES = 2


class Kind(IntEnum):
    """What a record is about."""

    STORE = 1
    DEVICE = 2
    INSTRUCTION = 3
    RUN = 4
    LEAVE = 5
    ACCESS = 6


class Header(NamedTuple):
    """The state of the recording; `changes` and `happenings` count for ever."""

    recording: bool
    lost: int
    records: int
    changes: int
    happenings: int
    guest_code: tuple[int, ...]


class Record(NamedTuple):
    """One record; what a field means depends on the kind, see record.h."""

    number: int
    kind: Kind
    cpu: int
    address: int
    value: int
    code: int
    since: int
    detail: int


def parse_header(data: bytes) -> Header:
    """The header, from the first bytes of the file."""
    recording, lost, records, changes, happenings, *guest_code = HEADER.unpack_from(data)
    return Header(bool(recording), lost, records, changes, happenings, tuple(guest_code))


def parse(data: bytes) -> Iterator[Record]:
    """Every record of `data`, which is a whole number of them. ValueError for an unknown kind."""
    kinds = list(Kind)
    for number, fields in enumerate(RECORD.iter_unpack(data)):
        address, value, code, since, kind, cpu, detail = fields
        if not 1 <= kind <= len(kinds):
            raise ValueError(f"record {number} is of kind {kind}, which is none")
        yield Record(number, kinds[kind - 1], cpu, address, value, code, since, detail)
