"""What a CPU denies guests one by one, by a bit each, that are in memory: x86-64 has such maps."""

from dataclasses import dataclass

from tests.oracle.operands import OfArch


@dataclass(frozen=True)
class Denied(OfArch):
    """`bits` are all of them, as an expression; a guest may what a clear one stands for."""

    bits: str


# I/O ports and model-specific registers (AMD64 APM vol. 2, 15.10.1 and 15.11)
DENIED = [Denied("x86_64", "io_permissions"), Denied("x86_64", "msr_permissions")]
