"""A stub asked by gdb's packets themselves, without gdb: as fast as that wire gets.

    $m200000,1000#07  ->            GDB manual, appendix E, "Remote Protocol"
                      <-  +$f30f1efa...#c5

Only for comparison: nothing here finds out that a packet was lost.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import DebuggerError

CHUNK = 1 << 16
SECONDS = 5.0
"""Longer than any answer takes."""


LONGEST = 2048
"""Bytes that QEMU's stub gives in one answer, with two characters each."""


class Packets:
    """The wire to a stub. The machine stands: connecting stops one that runs, and is told
    in the first answer."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire

    def ask(self, packet: str) -> str:
        """What the stub answers. Raises DebuggerError when it hangs up, OSError."""
        self._wire.sendall(f"+${packet}#{sum(packet.encode()) % 256:02x}".encode())
        said = b""
        while said[-3:-2] != b"#":
            more = self._wire.recv(CHUNK)
            if not more:
                raise DebuggerError("the stub hung up")
            said += more
        return said[said.index(b"$") + 1 : -3].decode()

    def read(self, address: int, length: int) -> bytes:
        """Memory as the stub sees it now; ValueError if it refuses."""
        starts = range(address, address + length, LONGEST)
        parts = (self.ask(f"m{at:x},{min(LONGEST, address + length - at):x}") for at in starts)
        return b"".join(map(bytes.fromhex, parts))


@contextmanager
def physical_memory(path: str) -> Iterator[Packets]:
    """The stub at `path`, which takes addresses for physical ones meanwhile.

    Raises OSError for what is no such socket, DebuggerError if it has no such view.
    """
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(SECONDS)
        wire.connect(path)
        packets = Packets(wire)
        if packets.ask("Qqemu.PhyMemMode:1") != "OK":
            raise DebuggerError("the stub has no view of physical memory, or the machine ran")
        yield packets
        packets.ask("Qqemu.PhyMemMode:0")
