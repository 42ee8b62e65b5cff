"""Debug information to types. DWARF 4 and 5 as clang and gcc write it.

Section numbers are those of the DWARF 5 standard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, partial

from elftools.dwarf.die import DIE
from elftools.dwarf.dwarfinfo import DWARFInfo

from ..errors import ImageError
from .damage import parsing
from .types import Array, Bits, Member, Pointer, Record, Scalar, Type

DW_OP_ADDR = 0x03
DW_OP_ADDRX = 0xA1
"""Section 7.7.1: a location that is an address, or an index into .debug_addr."""

DW_ATE_FLOAT = 4
_SIGNED = (5, 6)
"""Section 7.8: encodings of base types; signed and signed_char."""

_TRANSPARENT = tuple(f"DW_TAG_{word}_type" for word in ("const", "volatile", "restrict", "atomic"))
_KEYWORDS = {
    "DW_TAG_structure_type": "struct",
    "DW_TAG_union_type": "union",
    "DW_TAG_enumeration_type": "enum",
    "DW_TAG_typedef": " ",
}


class DebugInfo:
    """The variables and types of an image. Every entry is parsed once.

    name        the image's, for errors: every method raises ImageError for a damaged one
    variables   by name, the addresses and types they have in the compilation units
    """

    def __init__(self, dwarf: DWARFInfo, name: str) -> None:
        self._name = name
        with parsing(name):
            self._read(dwarf)

    def _read(self, dwarf: DWARFInfo) -> None:
        self._address_size = dwarf.config.default_address_size
        self._named: dict[str, DIE] = {}
        self._made: dict[int, Type | None] = {}
        self.variables: dict[str, dict[int, DIE]] = {}
        for unit in dwarf.iter_CUs():
            for die in unit.get_top_DIE().iter_children():
                self._note(die)

    def _note(self, die: DIE) -> None:
        if die.tag == "DW_TAG_variable":
            # Of a variable that is declared and then defined, the first has name and type.
            whole = "DW_AT_specification"
            declared = die.get_DIE_from_attribute(whole) if whole in die.attributes else die
            address = _address(die)
            if (name := _name(declared)) and address is not None:
                self.variables.setdefault(name, {})[address] = declared
        elif keyword := _KEYWORDS.get(str(die.tag)):
            name = _name(die)
            if name and "DW_AT_declaration" not in die.attributes:
                self._named.setdefault(f"{keyword} {name}".lstrip(), die)

    def named(self, name: str) -> Type | None:
        """The type called "struct frame", "enum status" or by a typedef, if there is one."""
        die = self._named.get(name)
        with parsing(self._name):
            return None if die is None else self._make(die)

    def type_of(self, die: DIE) -> Type | None:
        """The type of a variable, member, pointer's target ...; None for void and functions."""
        if "DW_AT_type" not in die.attributes:
            return None
        with parsing(self._name):
            target = die.get_DIE_from_attribute("DW_AT_type")
            if target.offset not in self._made:
                self._made[target.offset] = self._make(target)
            return self._made[target.offset]

    def _make(self, die: DIE) -> Type | None:
        match die.tag:
            case "DW_TAG_base_type":
                encoding = _number(die, "DW_AT_encoding")
                size = _number(die, "DW_AT_byte_size")
                return Scalar(_name(die), size, encoding in _SIGNED, encoding == DW_ATE_FLOAT)
            case "DW_TAG_enumeration_type":
                return self._enumeration(die)
            case "DW_TAG_pointer_type":
                size = _number(die, "DW_AT_byte_size", self._address_size)
                return Pointer(size, cache(partial(self.type_of, die)))  # asked at every step
            case "DW_TAG_array_type":
                return self._array(die)
            case "DW_TAG_structure_type" | "DW_TAG_union_type":
                return self._record(die)
            case "DW_TAG_typedef":
                target = self.type_of(die)
                if isinstance(target, Record) and target.name in _KEYWORDS.values():
                    return replace(target, name=_name(die))  # it has no name of its own
                return target
            case "DW_TAG_subroutine_type" | "DW_TAG_unspecified_type":
                return None
            case tag if tag in _TRANSPARENT:
                return self.type_of(die)
        raise ImageError(f"debug information of a kind C does not have: {die.tag}")

    def _value_type(self, die: DIE) -> Type:
        found = self.type_of(die)
        if found is None:
            raise ImageError(f"debug information gives {_name(die) or die.tag} no type")
        return found

    def _enumeration(self, die: DIE) -> Scalar:
        names = {
            _name(child): _number(child, "DW_AT_const_value")
            for child in die.iter_children()
            if child.tag == "DW_TAG_enumerator"
        }
        underlying = self.type_of(die)
        if isinstance(underlying, Scalar):
            signed = underlying.signed
        else:
            signed = min(names.values(), default=0) < 0
        return Scalar(f"enum {_name(die)}", _number(die, "DW_AT_byte_size"), signed, names=names)

    def _array(self, die: DIE) -> Type:
        made = self._value_type(die)
        dimensions = [it for it in die.iter_children() if it.tag == "DW_TAG_subrange_type"]
        for dimension in reversed(dimensions):
            made = Array(made, _count(dimension))
        return made

    def _record(self, die: DIE) -> Type | None:
        name = f"{_KEYWORDS[str(die.tag)]} {_name(die)}".rstrip()
        if "DW_AT_declaration" in die.attributes and (whole := self._named.get(name)):
            return self._make(whole)  # the unit that defines it says more
        members = cache(partial(self._members, die))
        return Record(name, _number(die, "DW_AT_byte_size", 0), members)

    def _members(self, die: DIE) -> Mapping[str, Member]:
        with parsing(self._name):
            return {
                member.name: member
                for child in die.iter_children()
                if child.tag == "DW_TAG_member"
                for member in self._member(child)
            }

    def _member(self, die: DIE) -> Iterator[Member]:
        type_ = self._value_type(die)
        offset = _number(die, "DW_AT_data_member_location", 0)
        if not _name(die) and isinstance(type_, Record):
            yield from (inner.moved(offset) for inner in type_.members.values())
        elif "DW_AT_bit_size" in die.attributes:
            yield _bit_field(die, type_, offset)
        else:
            yield Member(_name(die), offset, type_)


def _name(die: DIE) -> str:
    attribute = die.attributes.get("DW_AT_name")
    return attribute.value.decode() if attribute else ""


def _number(die: DIE, attribute: str, default: int | None = None) -> int:
    """A constant attribute. ImageError if it is missing without a default, or computed."""
    found = die.attributes.get(attribute)
    value = default if found is None else found.value
    if not isinstance(value, int):
        raise ImageError(f"{attribute} of {_name(die) or die.tag} is {value!r}, not a number")
    return value


def _count(dimension: DIE) -> int | None:
    """How many elements: DW_AT_count (clang) or one more than DW_AT_upper_bound (gcc)."""
    for attribute, more in (("DW_AT_count", 0), ("DW_AT_upper_bound", 1)):
        found = dimension.attributes.get(attribute)
        if found is not None and isinstance(found.value, int):
            return found.value + more
    return None


def _bit_field(die: DIE, type_: Type, offset: int) -> Member:
    """A bit field, by DWARF 5 (from the beginning) or by DWARF 2 (from the end of its unit)."""
    width = _number(die, "DW_AT_bit_size")
    if "DW_AT_bit_offset" in die.attributes:
        unit = 8 * _number(die, "DW_AT_byte_size", type_.size)
        from_end = _number(die, "DW_AT_bit_offset")
        if from_end >> 63:  # clang lets a field reach beyond its unit, and writes data8
            from_end -= 1 << 64
        first = 8 * offset + unit - width - from_end
    else:
        first = 8 * offset + _number(die, "DW_AT_data_bit_offset", 0)
    return Member(_name(die), first // 8, type_, Bits(first % 8, width))


def _address(die: DIE) -> int | None:
    """Where a variable is; None if it is nowhere (optimised away, declared only)."""
    location = die.attributes.get("DW_AT_location")
    if location is None or not isinstance(location.value, list) or not location.value:
        return None
    operation, *operand = location.value
    if operation == DW_OP_ADDRX and any(byte < 0x80 for byte in operand[:-1]):
        return None  # the number ends there: the compiler keeps the variable in parts
    if operation == DW_OP_ADDR:
        return int.from_bytes(bytes(operand), "little") or None  # 0: dropped by the linker
    if operation == DW_OP_ADDRX:
        return die.cu.dwarfinfo.get_addr(die.cu, _uleb128(operand)) or None
    return None


def _uleb128(data: list[int]) -> int:
    """An unsigned number, seven bits a byte, the lowest first (section 7.6)."""
    return sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(data))
