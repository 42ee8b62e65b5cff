"""The door that needs no wire to the firmware: gdb fills in the slot and reads the answer.

    stop everything    write slots[DOOR_GDB]    run to request_done    read the request

It works while both guests run, while CPU 0 is idle, and with no console at all: CPU 0
looks at the slots every tick.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from .abi import Status
from .address import HPA, in_hex
from .channel import Deadline, Timeout
from .child import GRACE
from .debugger import Debugger, Stop
from .errors import DebuggerError, HarnessError, WaitTimeout
from .machine import Machine
from .wire.gdbmi import unescape

ANSWERED = "request_done"
"""The function of the firmware that every answer passes."""

_REQUEST = re.compile(
    r"\bstatus = STATUS_(?P<status>\w+), frame = \{value = (?P<frame>\d+)\}, "
    r'text = 0x[0-9a-f]+ (?:<\w+\+?\d*> )?"(?P<text>.*)"'
)
_HEAD = ("sequence", "operation", "vm", "vcpu")
"""What of a request comes before the arguments."""

_sequence = count(1)
"""Request numbers of this door. Never restarted, so that a late answer matches nothing."""


@dataclass(frozen=True)
class SlotAnswer:
    """What `struct request` says when it is answered; `frame` is None for 0."""

    status: Status
    text: str
    frame: HPA | None

    __repr__ = in_hex


class GdbDoor:
    """Requests to the firmware of a machine through its debugger, one at a time: a thread
    waits for another's, and for a restore."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._number = machine.image.enum("door")["DOOR_GDB"]
        self._states = machine.image.enum("slot_state")
        layout = machine.image.bind(machine.memory)
        slot = f"slots[{self._number}]"
        self._address = HPA(layout.address(slot))
        self._size = layout.size(slot)
        self._arguments = layout.size(f"{slot}.request.argument") // 8
        fields = ["state", *(f"request.{name}" for name in _HEAD)]
        fields += [f"request.argument[{place}]" for place in range(self._arguments)]
        self._fields = [
            (layout.address(f"{slot}.{name}") - self._address, layout.size(f"{slot}.{name}"))
            for name in fields
        ]

    def request(
        self,
        operation: int,
        vm: int,
        arguments: Sequence[int],
        timeout: Timeout = None,
        *,
        vcpu: int = 0,
    ) -> SlotAnswer:
        """Any operation in the name of `vm`, by that of its vCPUs, and its answer.

        The machine runs afterwards if it did before, and otherwise stands at the answer;
        after Ctrl-C it runs or stands as before, and the request may be done or not. Raises
        ValueError for more arguments than a slot has, WaitTimeout, DebuggerError when it
        stopped for another reason before the answer, and what else ends a wait.
        """
        if len(arguments) > self._arguments:
            raise ValueError(f"a slot has {self._arguments} arguments, not {len(arguments)}")
        padding = [0] * (self._arguments - len(arguments))
        with self._machine.channel.turn:
            return self._request([operation, vm, vcpu, *arguments, *padding], timeout)

    def _request(self, words: Sequence[int], timeout: Timeout) -> SlotAnswer:
        gdb = self._machine.debugger()
        ran = gdb.running
        sequence = next(_sequence)
        # The number is true: it says whose breakpoint it is, and costs gdb no look at memory.
        condition = f"door == {self._number} && {sequence}"
        try:
            deadline = Deadline.after(timeout)
            slot = self._free_slot(gdb, ran, deadline)
            stop = self._submit(gdb, slot, [sequence, *words], condition, deadline)
            if stop.frame.function != ANSWERED:
                raise DebuggerError(f"before request {sequence} was answered: {stop}")
            found = gdb.evaluate_and_cont("*request") if ran else gdb.evaluate("*request")
        except HarnessError:
            raise
        except BaseException:  # Ctrl-C
            with suppress(HarnessError):
                self._abandon(gdb, condition)
                if ran:
                    gdb.cont()
            raise
        return _answer(found, sequence)

    def _submit(
        self,
        gdb: Debugger,
        slot: bytearray,
        words: Sequence[int],
        condition: str,
        deadline: Deadline,
    ) -> Stop:
        """Put a request into the slot and let the machine run until it is answered."""
        values = [self._states["SLOT_SUBMITTED"], *words]
        for (offset, size), value in zip(self._fields, values, strict=True):
            slot[offset : offset + size] = value.to_bytes(size, "little")
        first = f"*{ANSWERED}"  # its first instruction, where every argument still is
        return gdb.write_and_run_to(self._address, bytes(slot), first, condition, deadline)

    def _free_slot(self, gdb: Debugger, runs: bool, deadline: Deadline) -> bytearray:
        """Stop the machine, if it runs, when the hypervisor is through with the slot; its bytes."""
        free = (self._states["SLOT_FREE"], self._states["SLOT_DONE"])
        offset, size = self._fields[0]
        self._stand(gdb, runs, deadline)
        while True:
            slot = bytearray(gdb.memory.read(self._address, self._size))
            if int.from_bytes(slot[offset : offset + size], "little") in free:
                return slot
            gdb.cont()  # for a moment: it was stopped between the answer and its end
            try:
                self._stand(gdb, True, deadline)
            except WaitTimeout as error:
                awaited = "the slot of gdb's door to be free"
                raise WaitTimeout(awaited, error.seconds, error.seen) from error

    def _stand(self, gdb: Debugger, ran: bool, deadline: Deadline) -> None:
        """Stop the machine, unless it stops by itself just then: somebody waits for that."""
        stop = gdb.interrupt(deadline)
        if ran and stop.explained and not stop.interrupted:
            raise DebuggerError(f"before the request was answered: {stop}")

    def _abandon(self, gdb: Debugger, condition: str) -> None:
        """Stop the machine, without the breakpoint of a request that Ctrl-C has ended."""
        gdb.interrupt(GRACE)
        listed = gdb.execute("-break-list")["BreakpointTable"]["body"]
        for found in (it.get("bkpt", it) for it in listed):
            if found.get("cond") == condition:
                gdb.execute(f"-break-delete {found['number']}")


def _answer(request: str, sequence: int) -> SlotAnswer:
    """From the `struct request` of this sequence as gdb writes it."""
    found = _REQUEST.search(request)
    if found is None or not request.startswith(f"{{sequence = {sequence}, "):
        raise DebuggerError(f"no answer to request {sequence}: {request}")
    frame = int(found["frame"])
    status = Status[found["status"]]
    return SlotAnswer(status, unescape(found["text"]), HPA(frame) if frame else None)
