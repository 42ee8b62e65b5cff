"""C types as the debug information describes them, and what their bytes mean.

Little-endian only. Sizes and offsets are in bytes, bit offsets count from the
least significant bit of the first byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import ImageError

Value = int | float | dict[str, "Value"] | list["Value"]
"""A number, or a structure by member name, or an array."""

_FLOATS = {4: "<f", 8: "<d"}


@dataclass(frozen=True)
class Bits:
    """Where a bit field lies: from bit `first` of the byte it starts in, `width` bits."""

    first: int
    width: int

    @property
    def size(self) -> int:
        """Bytes it touches."""
        return (self.first + self.width + 7) // 8


@dataclass(frozen=True)
class Scalar:
    """A number: integer, boolean, character, enumeration or floating point."""

    name: str
    size: int
    signed: bool = False
    floating: bool = False
    names: Mapping[str, int] = field(default_factory=dict, compare=False)
    """The enumerators, if it is an enumeration."""

    def decode(self, data: bytes, bits: Bits | None = None) -> int | float:
        """The number that `data` holds, or the bit field in it."""
        if self.floating:
            number: float = struct.unpack(_FLOATS[self.size], data)[0]
            return number
        if bits is None:
            return int.from_bytes(data, "little", signed=self.signed)
        raw = int.from_bytes(data, "little") >> bits.first & ((1 << bits.width) - 1)
        negative = self.signed and raw >> (bits.width - 1)
        return raw - (1 << bits.width) if negative else raw

    def encode(self, value: int, data: bytes, bits: Bits | None = None) -> bytes:
        """`data` with `value` in it. ImageError if the type does not have that value."""
        if self.floating:
            return struct.pack(_FLOATS[self.size], value)
        width = bits.width if bits else 8 * self.size
        lowest, beyond = (-1 << (width - 1), 1 << (width - 1)) if self.signed else (0, 1 << width)
        if not lowest <= value < beyond:
            raise ImageError(f"{value:#x} does not fit {self}, {width} bits")
        mask = (1 << width) - 1
        shift = bits.first if bits else 0
        rest = int.from_bytes(data, "little") & ~(mask << shift)
        return (rest | (value & mask) << shift).to_bytes(len(data), "little")

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Pointer:
    """An address. `target` is None for void * and for functions."""

    size: int
    target: Callable[[], Type | None]

    def decode(self, data: bytes) -> int:
        """The address it holds."""
        return int.from_bytes(data, "little")

    def __str__(self) -> str:
        return f"{self.target() or 'void'} *"


@dataclass(frozen=True)
class Array:
    """`count` elements, or None: as many as its owner knows (a flexible member)."""

    element: Type
    count: int | None

    @property
    def size(self) -> int:
        """Bytes; 0 when the count is not known."""
        return self.element.size * (self.count or 0)

    def decode(self, data: bytes) -> list[Value]:
        """Every element."""
        step = self.element.size
        return [decode(self.element, data, step * number) for number in range(self.count or 0)]

    def __str__(self) -> str:
        return f"{self.element}[{'' if self.count is None else self.count}]"


@dataclass(frozen=True)
class Member:
    """A member of a structure, `offset` bytes from its beginning."""

    name: str
    offset: int
    type: Type
    bits: Bits | None = None

    def moved(self, by: int) -> Member:
        """The same, `by` bytes further on: seen from the structure around it."""
        return Member(self.name, self.offset + by, self.type, self.bits)


@dataclass(frozen=True)
class Record:
    """A structure or union. Members of anonymous members count as its own."""

    name: str
    size: int
    _members: Callable[[], Mapping[str, Member]]

    @property
    def members(self) -> Mapping[str, Member]:
        """By name, in the order of declaration."""
        return self._members()

    def member(self, name: str) -> Member:
        """The member of that name; ImageError names those that exist."""
        found = self.members.get(name)
        if found is None:
            known = ", ".join(self.members) or "none (it is only declared)"
            raise ImageError(f"no member {name!r} in {self}; it has {known}")
        return found

    def decode(self, data: bytes) -> dict[str, Value]:
        """Every member; those of a union are the same bytes read in different ways."""
        return {
            name: decode(it.type, data, it.offset, it.bits) for name, it in self.members.items()
        }

    def __str__(self) -> str:
        return self.name


Type = Scalar | Pointer | Array | Record


def decode(type_: Type, data: bytes, at: int = 0, bits: Bits | None = None) -> Value:
    """What the bytes of `data` from `at` on mean as a value of `type_`."""
    if isinstance(type_, Scalar):
        return type_.decode(data[at : at + (bits.size if bits else type_.size)], bits)
    return type_.decode(data[at : at + type_.size])
