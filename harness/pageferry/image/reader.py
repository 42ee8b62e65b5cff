"""Typed access to an image's variables in some memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..address import HPA, PAGE_SIZE
from ..errors import ImageError
from ..memory import PhysicalMemory
from .damage import parsing
from .expression import Arrow, Dot, Index, Step, parse
from .types import Array, Bits, Pointer, Record, Scalar, Type, decode

if TYPE_CHECKING:
    from .elf import Image


@dataclass(frozen=True)
class _Place:
    """Something in memory: where, what type, and which bits of it if not all."""

    address: int
    type: Type
    bits: Bits | None = None

    @property
    def size(self) -> int:
        return self.bits.size if self.bits else self.type.size


@dataclass(frozen=True)
class _Way:
    """To a place, through pointers: what the image alone tells, found once.

    start  a variable's part: the first pointer, or the place itself
    hops   what follows a pointer, addressed from where that leads, and the pointer's text
    """

    start: _Place
    hops: tuple[tuple[_Place, str], ...]


class Reader:
    """Reads and writes variables by expression, "vms[1].vcpus[0].arch.vmcb->save.cr3".

    Made by `Image.bind`. Every method raises ImageError for an expression that the
    image has not, naming what it has, and MemoryUnreadable; also what `translate`
    raises. Addresses are the image's own, which `translate` makes physical.
    """

    def __init__(
        self, image: Image, memory: PhysicalMemory, translate: Callable[[int], HPA]
    ) -> None:
        self._image = image
        self._memory = memory
        self._translate = translate
        self._plans: dict[str, _Way] = {}

    def read(self, expression: str) -> Any:
        """Its value: a number, a dict by member, a list of elements. Enumerations are numbers."""
        place = self._find(expression)
        data = self._bytes(place)
        with parsing(self._image.name):
            return decode(place.type, data, 0, place.bits)

    def read_int(self, expression: str) -> int:
        """The value of an integer, enumeration or pointer."""
        value = self.read(expression)
        if not isinstance(value, int):
            raise ImageError(f"{expression!r} is {self._find(expression).type}, not an integer")
        return value

    def read_struct(self, expression: str) -> dict[str, Any]:
        """The value of a structure or union, by member."""
        value = self.read(expression)
        if not isinstance(value, dict):
            raise ImageError(f"{expression!r} is {self._find(expression).type}, not a structure")
        return value

    def read_bytes(self, expression: str) -> bytes:
        """The bytes of it, as they are in memory."""
        return self._bytes(self._find(expression))

    def write(self, expression: str, value: int) -> None:
        """Give a number, enumeration, pointer or bit field a new value."""
        place = self._find(expression)
        if isinstance(place.type, Pointer):
            data = Scalar(str(place.type), place.size).encode(value, bytes(place.size))
        elif isinstance(place.type, Scalar):
            data = place.type.encode(value, self._bytes(place), place.bits)
        else:
            raise ImageError(f"{expression!r} is {place.type}: only numbers can be written")
        for physical, start, length in self._pieces(place):
            self._memory.write(physical, data[start : start + length])

    def address(self, expression: str) -> int:
        """Where it is, as an address of the image; of a bit field its first byte."""
        return self._find(expression).address

    def size(self, expression: str) -> int:
        """How many bytes it has."""
        return self._find(expression).size

    def enum(self, name: str) -> dict[str, int]:
        """The enumerators of `enum name`; see `Image.enum`."""
        return self._image.enum(name)

    def _find(self, expression: str) -> _Place:
        if expression not in self._plans:
            self._plans[expression] = self._plan(expression)
        way = self._plans[expression]
        place = way.start
        for there, before in way.hops:
            place = _Place(self._target(place, before) + there.address, there.type, there.bits)
        return place

    def _plan(self, expression: str) -> _Way:
        variable, steps = parse(expression)
        places, pointers = [_Place(*self._image.variable(variable))], []
        for step, before in steps:
            place = places[-1]
            if isinstance(place.type, Pointer) and not isinstance(step, Dot):
                places.append(_pointed_at(place.type, step, before))
                pointers.append(before)
            else:
                places[-1] = _follow(place, step, before)
        return _Way(places[0], tuple(zip(places[1:], pointers, strict=True)))

    def _target(self, place: _Place, before: str) -> int:
        address = decode(place.type, self._bytes(place))
        assert isinstance(address, int)
        if address == 0:
            raise ImageError(f"{before!r} is a null pointer")
        return address

    def _bytes(self, place: _Place) -> bytes:
        if place.address % PAGE_SIZE + place.size <= PAGE_SIZE:
            return self._memory.read(self._translate(place.address), place.size)
        return b"".join(
            self._memory.read(physical, length) for physical, _, length in self._pieces(place)
        )

    def _pieces(self, place: _Place) -> Iterator[tuple[HPA, int, int]]:
        """Page by page: the physical address, how far into the place, how many bytes."""
        start = 0
        while start < place.size:
            here = place.address + start
            length = min(place.size - start, PAGE_SIZE - here % PAGE_SIZE)
            yield self._translate(here), start, length
            start += length


def _follow(place: _Place, step: Step, before: str) -> _Place:
    """One step on within what is at `place`, to which the text `before` has led."""
    match step, place.type:
        case Dot(name), Record() as record:
            return _member(place.address, record, name)
        case Index(number), Array() as array:
            if array.count is not None and number >= array.count:
                raise ImageError(f"{before!r} has {array.count} elements, none is {number}")
            return _Place(place.address + number * array.element.size, array.element)
        case Dot(name), Pointer():
            raise ImageError(f"{before!r} is a pointer: write {before}->{name}")
    raise _not_so(place.type, step, before)


def _pointed_at(pointer: Pointer, step: Step, before: str) -> _Place:
    """What a step through a pointer leads to, addressed from where the pointer points."""
    match step, pointer.target():
        case Arrow(name), Record() as record:
            return _member(0, record, name)
        case Index(number), target if target is not None:
            return _Place(number * target.size, target)
    raise _not_so(pointer, step, before)


def _not_so(found: Type, step: Step, before: str) -> ImageError:
    kinds = {Index: "an array", Arrow: "a pointer to a structure"}
    return ImageError(f"{before!r} is {found}, not {kinds.get(type(step), 'a structure')}")


def _member(address: int, record: Record, name: str) -> _Place:
    member = record.member(name)
    return _Place(address + member.offset, member.type, member.bits)
