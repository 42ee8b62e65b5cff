"""gdb commands about guests: `source scripts/pageferry-gdb.py`, then `hv help`.

Thin: what they answer comes from pageferry.inspect; here are gdb's memory, gdb's types
and gdb's command line. It runs in gdb's own Python, without the packages of .venv.
"""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import gdb

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harness"))

from pageferry import arch, inspect
from pageferry.address import GVA, HPA
from pageferry.errors import HarnessError, MemoryUnreadable

PIECE = 0x400
"""Bytes asked of the stub at once: QEMU's takes 2048 at most."""


class StubMemory:
    """Physical memory straight from QEMU's stub, past every cache of gdb."""

    def __init__(self, connection: gdb.RemoteTargetConnection) -> None:
        self._connection = connection

    def _ask(self, packet: str) -> bytes:
        return self._connection.send_packet(packet)

    def read(self, address: HPA, length: int) -> bytes:
        """The `length` bytes from `address` on."""
        if self._ask("Qqemu.PhyMemMode:1") != b"OK":
            raise MemoryUnreadable(address, length, "the stub has no view of physical memory")
        try:
            return b"".join(
                self._piece(at, min(PIECE, address + length - at))
                for at in range(address, address + length, PIECE)
            )
        finally:
            self._ask("Qqemu.PhyMemMode:0")

    def _piece(self, address: int, length: int) -> bytes:
        answer = self._ask(f"m{address:x},{length:x}")
        if len(answer) != 2 * length:
            raise MemoryUnreadable(HPA(address), length, f"the stub answers {answer!r}")
        return bytes.fromhex(answer.decode())

    def write(self, address: HPA, data: bytes) -> None:
        """It is only looked at."""
        raise MemoryUnreadable(address, len(data), "it is only looked at")


class GdbVariables:
    """The hypervisor's variables, of which gdb knows the types.

    They are read from physical memory too: the hypervisor maps itself there, and the
    CPU that gdb looks at may be in a guest.
    """

    def __init__(self, connection: gdb.RemoteTargetConnection) -> None:
        self._connection = connection

    def read_int(self, expression: str) -> int:
        """The value of an integer, enumeration or pointer."""
        self._connection.send_packet("Qqemu.PhyMemMode:1")
        try:
            before = ""
            for part in expression.split("->")[:-1]:
                before += part
                if not int(gdb.parse_and_eval(before)):
                    raise HarnessError(f"{before} is a null pointer: is the hypervisor up yet?")
                before += "->"
            return int(gdb.parse_and_eval(expression))
        finally:
            self._connection.send_packet("Qqemu.PhyMemMode:0")

    def size(self, expression: str) -> int:
        """How many bytes it has."""
        return int(gdb.parse_and_eval(f"sizeof({expression})"))

    def enum(self, name: str) -> Mapping[str, int]:
        """The enumerators of `enum name`."""
        return {field.name: field.enumval for field in gdb.lookup_type(f"enum {name}").fields()}


def name_code(address: GVA) -> str | None:
    """The function and line of an address, as `Image.describe` has it; None if gdb has none."""
    said = gdb.execute(f"info symbol {address:#x}", to_string=True)
    if said.startswith("No symbol"):
        return None
    found = gdb.find_pc_line(address)
    line = f" ({Path(found.symtab.filename).name}:{found.line})" if found.symtab else ""
    return f"{said.split()[0]}{line}"


def system() -> inspect.System:
    """What gdb is connected to."""
    inferior = gdb.selected_inferior()
    connection = inferior.connection
    if not isinstance(connection, gdb.RemoteTargetConnection):
        raise HarnessError("gdb is connected to no machine: make debug does it")
    name = inferior.architecture().name()
    found = [it for it in map(arch.get, arch.names()) if it.gdb_architecture == name]
    if not found:
        raise HarnessError(f"gdb's architecture {name} is none that Pageferry knows")
    return inspect.System(
        found[0], StubMemory(connection), GdbVariables(connection), name_code=name_code
    )


def number(text: str) -> int:
    """An address as a person says it to gdb: $rax, &slots, 0x500000."""
    try:
        return int(gdb.parse_and_eval(text).cast(gdb.lookup_type("unsigned long")))
    except gdb.error as error:
        raise HarnessError(f"{text!r} is no address to gdb: {error}") from None


class Hv(gdb.Command):
    """What the hypervisor and its guests are like now. All take --json."""

    __doc__ = f"{__doc__}\n\n{inspect.USAGE}"

    def __init__(self) -> None:
        super().__init__("hv", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Answer one command line."""
        arguments = shlex.split(argument)
        if arguments[:1] in ([], ["help"]):
            gdb.write(inspect.USAGE)
            return
        try:
            gdb.write(inspect.run(system(), arguments, number) + "\n")
        except HarnessError as error:
            raise gdb.GdbError(str(error)) from None


Hv()
