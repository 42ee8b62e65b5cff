"""A machine under gdb, synchronous: break, run, look.

    gdb = machine.debugger()
    with gdb.breakpoint("request_done", "door == DOOR_CONSOLE"):
        gdb.cont()
        stop = gdb.wait()
        gdb.register("rip"), gdb.value("request->sequence"), stop.frame.line

All CPUs stop and run together. Every wait has a deadline and ends at once when gdb, the
emulator or the firmware is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from ..address import HPA
from ..channel import Channel, Deadline, Needs, Timeout
from ..child import GRACE
from ..errors import DebuggerError, HarnessError, WaitTimeout
from ..memory import BOTTOM
from ..wire.gdbmi import Notice, Result, quoted
from .breakpoint import WATCH, Breakpoint
from .memory import GdbMemory, write_command
from .process import Gdb
from .steps import Steps
from .stops import Stop
from .values import find_cpus, register_numbers
from .views import Command, Views, on_console

PROGRAM = "gdb-multiarch"
"""Debian's gdb for every architecture; its package has the same name."""


class Debugger(Steps):
    """gdb, connected to a stub. To be closed by its owner, or by a `with`.

    kernel      ELF file whose symbols it knows
    connection  what gdb's `target remote` takes: a path of a socket, HOST:PORT, a device
    base, size  where the machine's memory is, for `memory`; size None: not known
    fds         descriptors gdb inherits under the same numbers, for `connection`
    program     gdb
    ask_again   seconds after which an interruption that was not heard of is asked for again

    Connecting stops the machine. Raises DebuggerError if there is no such program, or no
    stub, and what ends a wait.
    """

    def __init__(
        self,
        channel: Channel,
        kernel: Path | str,
        connection: str,
        *,
        base: HPA = BOTTOM,
        size: int | None = None,
        fds: Sequence[int] = (),
        program: str = PROGRAM,
        ask_again: float = 0.05,
        timeout: Timeout = None,
    ) -> None:
        self._channel = channel
        self._ask_again = ask_again
        self._stop: Stop | None = None
        self.closed = False
        """Whether it was closed. One that ended by itself is not."""
        self.memory = GdbMemory(self._execute_physical, lambda: self.running, base, size)
        try:
            self._gdb = Gdb(channel, [program, str(kernel)], fds=fds, heard=self._hear)
        except OSError as error:
            why = f"cannot start {program}, of Debian's package {PROGRAM}: {error.strerror}"
            raise DebuggerError(why) from error
        self._views = Views(self._gdb)
        try:
            deadline = Deadline.after(timeout)
            self.execute(f"-target-select remote {connection}", deadline)
            self.wait(deadline, needs=Needs.PROCESS)
            self._cpus = find_cpus(self.execute)
            self._registers = register_numbers(self.execute)
        except BaseException:
            self._gdb.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the machine run without any breakpoint, and end gdb. Twice is harmless."""
        if self._gdb.gone is None:
            with suppress(HarnessError):  # it is ended in any case
                self.interrupt()
                self._gdb.leave()
                self.execute("-target-detach")
        self.kill()

    def kill(self) -> None:
        """End gdb; the machine stays as it is. Twice is harmless."""
        self.closed = True
        self._gdb.close()

    def _hear(self, notice: Notice) -> None:
        """On the loop thread, while the channel is changing."""
        if notice.kind == "running":
            self._stop = None
        elif notice.kind == "stopped" and "frame" in notice.payload:
            self._stop = Stop.of(notice.payload)
        self._channel.standing = self._stop is not None

    @property
    def pid(self) -> int:
        """gdb's process id."""
        return self._gdb.pid

    @property
    def gone(self) -> bool:
        """Whether gdb has ended. The machine is then to be discarded."""
        return self._gdb.gone is not None

    def require(self, awaited: str = "") -> None:
        """Raise DebuggerError, which says how gdb ended, if it has."""
        self._gdb.require(awaited)

    def execute(self, command: str, timeout: Timeout = None) -> dict[str, Any]:
        """Execute an MI command, "-break-list" say, and return its result.

        Raises DebuggerError when gdb refuses it or is gone, and what ends a wait.
        """
        return self._execute(Command(command), timeout)[0].payload

    def execute_standing(self, command: str, timeout: Timeout = None) -> dict[str, Any]:
        """The same, for which a machine that runs is stopped for a moment.

        It goes on also when gdb refuses the command, and after Ctrl-C, but not from a stop
        that came just then by itself: that is there to be waited for.
        """
        deadline = Deadline.after(timeout)
        runs = self.running
        try:
            goes_on = runs and self.interrupt(deadline).interrupted
            answer = self.execute(command, deadline)
            if goes_on:
                self.cont()
        except BaseException:  # Ctrl-C too, maybe before it stood
            if runs:
                with suppress(HarnessError):
                    if self.interrupt(GRACE).interrupted:
                        self.cont()
            raise
        return answer

    def command(self, line: str, timeout: Timeout = None) -> str:
        """Execute a command as a person types it, and return what it prints, the machine's
        answer to `monitor` too."""
        return self._execute(Command(on_console(line)), timeout)[1]

    def _execute_physical(self, command: str) -> dict[str, Any]:
        return self._execute(Command(command, physical=True))[0].payload

    def _execute(self, command: Command, timeout: Timeout = None) -> tuple[Result, str]:
        return self._views.execute_all([command], timeout, standing=not self.running)[0]

    # Running and stopping

    @property
    def running(self) -> bool:
        """Whether the machine runs, as far as gdb knows."""
        return self._stop is None

    @property
    def stop(self) -> Stop | None:
        """Where it stands; None while it runs."""
        return self._stop

    def cont(self) -> None:
        """Let all CPUs run. Harmless if they do.

        From a breakpoint that remains they first leave it by a step of their own, as gdb's
        may not leave it (`step_instruction`); a breakpoint they hit by that is a stop.
        """
        if not self.running and self._leave():
            self._resume(self._onward())

    def _onward(self) -> Command:
        """Lets all CPUs run. gdb passes over a breakpoint where it stands, as one that was
        told; an interruption that came with a hit has hidden it, and after a jump it comes."""
        if (stop := self._stop) is None or not stop.interrupted:
            return Command("-exec-continue")
        return Command(f"-exec-jump --thread {stop.thread} --frame 0 *$pc")  # whatever is selected

    def _resume(self, *commands: Command) -> list[tuple[Result, str]]:
        """Execute commands of which the last lets it run. That it does is gdb's to say."""
        try:
            return self._views.execute_all(commands, standing=True)
        except HarnessError:
            raise
        except BaseException:  # Ctrl-C: gdb may be about to say it
            with suppress(HarnessError):
                self._gdb.execute("-gdb-show confirm", GRACE)
            raise

    def evaluate_and_cont(self, expression: str) -> str:
        """`evaluate` where it stands, and `cont`, with no pause for the value."""
        if self._stop is None or self._stop.at_breakpoint:  # which is to be stepped off first
            value = self.evaluate(expression)
            self.cont()
            return value
        evaluate = Command(f"-data-evaluate-expression {quoted(expression)}")
        found = self._resume(evaluate, self._onward())
        return str(found[0][0].payload["value"])

    def interrupt(self, timeout: Timeout = None) -> Stop:
        """Stop all CPUs, if they run, and say where.

        It is asked for until they stand: QEMU drops it where a CPU has just hit a breakpoint,
        and gdb lets it go on if the condition is false.
        """
        deadline = Deadline.after(timeout)
        while self.running and deadline.left:
            self._ask_to_stop(deadline)
            with suppress(WaitTimeout):
                self.wait(
                    Deadline.exactly(min(self._ask_again, deadline.left)), needs=Needs.PROCESS
                )
        return self.wait(deadline, needs=Needs.PROCESS)

    def _ask_to_stop(self, deadline: Deadline) -> None:
        try:
            self.execute("-exec-interrupt", deadline)
        except DebuggerError:
            if self.running:  # else it has just stopped by itself
                raise

    def wait(self, timeout: Timeout = None, *, needs: Needs = Needs.FIRMWARE) -> Stop:
        """Wait for the machine to stop; at once if it stands.

        Raises WaitTimeout, after which it still runs, DebuggerError when gdb is gone, and
        what else ends a wait: a panic of the firmware too.
        """
        awaited = "the machine to stop in gdb"

        def stopped() -> Stop | None:
            stop = self._stop
            if stop is None:
                self.require(awaited)
            elif needs is Needs.FIRMWARE and not stop.explained:
                return None  # what explains it comes over another wire
            return stop

        return self._channel.await_fact(stopped, awaited, timeout, needs=needs)

    def run_to(self, where: str, condition: str = "", timeout: Timeout = None) -> Stop:
        """Let it run until a CPU gets `where`; other breakpoints stop it too.

        After a timeout it runs on, without the breakpoint.
        """
        deadline = Deadline.after(timeout)
        until = self.breakpoint(where, condition, temporary=True)
        self.cont()
        return self._wait_at_temporary(lambda: until, where, deadline)

    def write_and_run_to(
        self, address: HPA, data: bytes, where: str, condition: str, timeout: Timeout = None
    ) -> Stop:
        """Put `data` at a physical address, then as `run_to`, with no pause for results.

        The machine stands, and gdb can refuse nothing of it: it would run all the same."""
        self._leave()
        insert = f"-break-insert -t -c {quoted(condition)} {quoted(where)}"
        write = Command(write_command(address, data), physical=True)
        inserted = self._resume(write, Command(insert), self._onward())[1][0]
        until = partial(self._inserted, inserted)  # which is parsed if it is to be deleted
        return self._wait_at_temporary(until, where, Deadline.after(timeout))

    def _inserted(self, result: Result) -> Breakpoint:
        return Breakpoint(int(result.payload["bkpt"]["number"]), self)

    def _wait_at_temporary(
        self, until: Callable[[], Breakpoint], where: str, deadline: Deadline
    ) -> Stop:
        """Wait; a temporary breakpoint that did not bring the stop about is deleted."""
        try:
            stop = self.wait(deadline)
        except WaitTimeout as error:
            with suppress(HarnessError):  # of an emulator that hangs, say
                until().delete(GRACE)
            raise WaitTimeout(f"the machine to reach {where}", error.seconds, error.seen) from error
        if not stop.temporary:
            with suppress(DebuggerError):  # it was hit as well
                until().delete()
        return stop

    # Breakpoints

    def breakpoint(
        self, where: str, condition: str = "", *, temporary: bool = False, hardware: bool = False
    ) -> Breakpoint:
        """Stop where `where` is: "request_done", "transfer.c:63", "*0x200d60".

        condition  a C expression, evaluated there at every hit: the machine stops for it

        It matches the program counter in every address space. DebuggerError if there is
        no such place.
        """
        options = "-t " * temporary + "-h " * hardware
        options += f"-c {quoted(condition)} " if condition else ""
        answer = self.execute_standing(f"-break-insert {options}{quoted(where)}")
        return Breakpoint(int(answer["bkpt"]["number"]), self)

    def watchpoint(self, expression: str, access: str = "write") -> Breakpoint:
        """Stop when the memory of a C expression is accessed: "write", "read", "access".

        For reads the whole access counts, for writes a changed value.

        Delete it where it has stopped the machine. One that is deleted while the machine
        runs, and hit in that moment, is not forgotten by QEMU 7.2: at a later fault it looks
        at what is left of it, and a RISC-V CPU may take a breakpoint exception. For the same
        reason the pool of the pytest plugin ends a QEMU that had one from here.
        """
        self._channel.watched = True
        answer = self.execute_standing(f"-break-watch {WATCH[access]}{quoted(expression)}")
        made = next(iter(answer.values()))
        return Breakpoint(int(made["number"]), self)

    def delete_breakpoints(self) -> None:
        """Remove all breakpoints and watchpoints, of whomever."""
        self.execute_standing("-break-delete")
        self._was_deleted()

    def delete(self, number: int, timeout: Timeout = None) -> None:
        """Remove the breakpoint or watchpoint of this number. DebuggerError if there is none."""
        self.execute_standing(f"-break-delete {number}", timeout)
        self._was_deleted(number)

    def _was_deleted(self, number: int | None = None) -> None:
        """A breakpoint that is gone is not stepped off: the other CPUs would run meanwhile, and
        if one of them came to a breakpoint, QEMU 7.2 would keep the step for when all go on."""
        stop = self._stop
        if stop is not None and stop.breakpoint is not None and number in (None, stop.breakpoint):
            self._stop = replace(stop, temporary=True)

    # For a machine that is put back to a snapshot

    def take_control(self, timeout: Timeout = None) -> None:
        """Stop the machine and delete every breakpoint: before a snapshot is loaded.

        Raises DebuggerError if gdb is gone."""
        self.require("control of the machine")
        stop = self.interrupt(timeout)
        self.delete_breakpoints()
        # Nothing to step off and nothing hidden where it will be.
        self._stop = replace(stop, reason="", signal=None, temporary=True)

    def forget(self) -> None:
        """Drop what gdb remembers of a stopped machine: after a snapshot was loaded."""
        for cache in ("register-cache", "dcache"):
            self.command(f"maintenance flush {cache}")
