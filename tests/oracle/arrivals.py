"""Where an interrupt of the hypervisor's has arrived, and which: by architecture."""

from dataclasses import dataclass

from tests.oracle.operands import Instruction, OfArch, of_none


@dataclass(frozen=True)
class Arrival:
    """Of the console's: places, and a condition there.

    end    the instruction in these functions that ends it, if nothing is known before; its operand
           is {register}
    ticks  what is to be 0 for the control CPU not to look without being told, if the interrupt
           that has it look is taken first: the debugger looks at each, so that it is always due
    """

    places: tuple[str, ...]
    condition: str = ""
    end: Instruction | None = None
    ticks: str = ""


STUB = "*((long)&trap_stubs + 16 * {})"

ARRIVALS = {
    "x86_64": Arrival((STUB.format(33),)),
    "aarch64": Arrival(  # MSR ICC_EOIR1_EL1
        ("acknowledge_interrupt", "arch_idle"),
        "$x{register} == 33",
        Instruction(0xFFFF_FFE0, 0xD518_CC20, of_none),
        "ticks[0]",
    ),
    "riscv64": Arrival(("acknowledge",), "interrupt == 9"),
}


@dataclass(frozen=True)
class Unmaskable(OfArch):
    """An interrupt that comes though they are closed: where, and QEMU's command for it."""

    place: str
    command: str


UNMASKABLE = [Unmaskable("x86_64", STUB.format(2), "inject-nmi")]


@dataclass(frozen=True)
class Handler(OfArch):
    """Where a fault of the hypervisor's own leads: the register that tells it, and the name."""

    register: str
    name: str


HANDLERS = [
    Handler("aarch64", "$VBAR_EL2", "trap_vectors"),
    Handler("riscv64", "$stvec", "hart_trap"),
]
"""No register tells it on x86-64."""


@dataclass(frozen=True)
class Timer(OfArch):
    """Of the tick: `handler`, where it arrives and is set again by the instruction `sets`, if
    `condition`; and the physical address of the time."""

    handler: str
    sets: Instruction
    condition: str
    time: int


TIMERS = [  # ECALL of SBI 1.0, chapter 6; MTIME of ACLINT 1.0, 2.1, where QEMU's virt has it
    Timer(
        "riscv64",
        "acknowledge",
        Instruction(0xFFFF_FFFF, 0x73, of_none),
        "$a7 == 0x54494d45",
        0x200_BFF8,
    )
]
"""Which QEMU 7.2 sets back below zero when it loads a snapshot."""
