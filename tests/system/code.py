"""Where an instruction stands in a machine's memory."""

from tests.oracle.operands import Instruction

from pageferry import Machine
from pageferry.address import HPA

CODE = 256
"""Bytes of a function that are searched."""


def find(
    machine: Machine,
    wanted: Instruction,
    function: str = "arch_invalidate",
    size: int = CODE,
    step: int = 2,
) -> dict[int, int]:
    """Every place of it, and what stands there: a compiler may have made several of one.

    `size` bytes of the function are searched, and instructions begin at multiples of `step`.
    """
    start = machine.image.symbol(function)
    code = machine.memory.read(HPA(start), size)
    words = {at: int.from_bytes(code[at : at + 4], "little") for at in range(0, size - 4, step)}
    return {start + at: it for at, it in words.items() if it & wanted.mask == wanted.value}
