"""What an architecture's invalidation protocol looks like to the TCG plugin, as data.

The plugin sees which instruction was executed and where a store went, and what is in memory
afterwards; it does not see operands of instructions, nor what was written to a device. An
architecture says which of these mean what to the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .address import HPA
from .protocol import Event, Flush

Meaning = Callable[[int, int, int], Event]
"""Makes an event of its number, CPU and code: the event's class, or a `partial` of it."""


@dataclass(frozen=True)
class Instruction:
    """An instruction of the hypervisor or of platform firmware.

    mask, value  of its first 8 bytes as a little-endian number
    means        the event that it is, None: none by itself
    enters       a guest is entered here, the one of the control block, even if an interrupt
                 ends its run before its first instruction. Not where there is no control
                 block: who ran is told by the code that ran, and a guest that executed
                 nothing was neither entered nor left
    """

    name: str
    mask: int
    value: int
    means: Meaning | None = None
    enters: bool = False


@dataclass(frozen=True)
class Device:
    """A register in memory; `means` is the event that a store there is."""

    name: str
    address: HPA
    means: Meaning


@dataclass(frozen=True)
class ControlBlock:
    """A structure in memory from which the CPU enters a guest.

    expression      the image's name for it, with {vm} and {vcpu}
    tag, flush, root, always_written
                    offset and bytes of the guest's tag, of what to flush at entry, of the
                    root of stage 2, of a field that is written before each entry: the block
                    that a CPU wrote last is the one it enters
    flushes         what the values of `flush` mean
    """

    expression: str
    tag: tuple[int, int]
    flush: tuple[int, int]
    root: tuple[int, int]
    always_written: tuple[int, int]
    flushes: Mapping[int, Flush]

    @property
    def fields(self) -> tuple[tuple[int, int], ...]:
        """Offset and bytes of all that is looked at."""
        return self.tag, self.flush, self.root, self.always_written


@dataclass(frozen=True)
class Traces:
    """What there is to be recorded, and what it means.

    instructions    of which the first that fits counts
    devices         registers whose stores matter
    control_block   None: what a guest is entered with is in registers, which the plugin does
                    not see; who runs is then told by the code that runs
    invalidated_by  the image's name, with {vm}, for a variable whose change tells that VM's
                    CPUs to flush before they enter it again; None: there is none
    stores_in_order whether table walkers of other CPUs see stores without a barrier
    """

    instructions: tuple[Instruction, ...]
    devices: tuple[Device, ...] = ()
    control_block: ControlBlock | None = None
    invalidated_by: str | None = None
    stores_in_order: bool = False
