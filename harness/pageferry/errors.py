"""Everything that can go wrong, drawn before it was written.

    HarnessError(ended)                  the bench failed; a test never expects one
      WaitTimeout(awaited, seconds)      a fact did not come true within its deadline
        NotReady                         ... and the fact was "both guests wait for work"
      QemuMissing                        no such program
      QemuDied(status, stderr)           the emulator ended by itself or was killed
      ChannelClosed                      console, monitor or debugger hung up
      ProtocolError                      bytes on a wire that mean nothing
      MonitorError                       QMP answered with an error
      TargetLacks(capability)            a board has no monitor, say
      DebuggerError                      gdb answered with an error, or is gone
      FirmwarePanic(line)                the hypervisor gave up
      MachineReset                       the machine started again, unasked
      ImageError                         not an ELF of ours, or no such symbol
      MemoryUnreadable(address, length)  physical memory that is not there
    GuestReport                          the system answered; a test may expect one
      RequestRefused(status, text)       the hypervisor said no, by name
      GuestFault(vm, gpa, access)        a guest touched what stage 2 denies it
      GuestException(vm, gva, vector)    a guest's own CPU exception
      GuestStopped(vm, reason)           a guest cannot go on

Whoever waits gives `awaited` and `seen`, so that the message says what was
awaited, what ended it, and the last lines seen. Every error survives pickling
(pytest-xdist sends them between processes).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # names in annotations only: at run time this module stands alone
    from .abi import Access, Status
    from .address import GPA, GVA, HPA

LAST_LINES = 20
"""How many lines of what was seen a message shows; the attribute keeps them all."""


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """`text` with its control characters, but for tabs, as \\x1b: a terminal obeys none."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _rebuild(kind: type[_Told], message: str, state: dict[str, Any]) -> _Told:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class _Told(Exception):
    """An error with one message, pickled without calling its constructor again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.__dict__.copy())


def _tail(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return f"\n{title}: nothing"
    shown = lines[-LAST_LINES:]
    return f"\n{title}:" + "".join(f"\n    {printable(line)}" for line in shown)


class HarnessError(_Told):
    """The bench failed.

    ended    what happened, as a clause: "the console closed"
    awaited  the fact that was awaited meanwhile, "" when nobody waited
    seen     the lines seen so far, oldest first
    """

    def __init__(self, ended: str, awaited: str = "", seen: Sequence[str] = ()) -> None:
        self.ended = ended
        self.awaited = awaited
        self.seen = tuple(seen)
        message = ended
        if awaited:
            message = f"waiting for {awaited}: {ended}" + _tail("last lines seen", self.seen)
        elif seen:
            message += _tail("last lines seen", self.seen)
        super().__init__(message)


class WaitTimeout(HarnessError):
    """The fact `awaited` did not come true within `seconds`.

    standing  whether the machine had been stopped, and could not bring it about
    """

    def __init__(
        self, awaited: str, seconds: float, seen: Sequence[str] = (), *, standing: bool = False
    ) -> None:
        stands = ", for the machine was stopped; `cont` lets it run" if standing else ""
        super().__init__(f"nothing in {seconds:g} s{stands}", awaited, seen)
        self.seconds = seconds
        self.standing = standing


class NotReady(WaitTimeout):
    """The firmware did not get as far as two guests that wait for work."""


class QemuMissing(HarnessError):
    """The emulator or what it boots with is not installed; `ended` names it and its package."""


class QemuDied(HarnessError):
    """The emulator ended. `status` as in `Popen.returncode`: negative is a signal."""

    def __init__(
        self, status: int, stderr: str = "", awaited: str = "", seen: Sequence[str] = ()
    ) -> None:
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        said = _tail("its standard error", stderr.splitlines()) if stderr else ""
        super().__init__(f"QEMU {how}{said}", awaited, seen)
        self.status = status
        self.stderr = stderr


class ChannelClosed(HarnessError):
    """A wire was hung up at the other end, or is closed at ours."""


class ProtocolError(HarnessError):
    """A peer sent what its protocol does not have; `ended` quotes it."""


class MonitorError(HarnessError):
    """The monitor refused a command; `ended` has the command and its answer."""


class TargetLacks(HarnessError):
    """What tests run on does not have the named `capability`: a test that needs it is skipped."""

    def __init__(self, capability: str) -> None:
        super().__init__(f"target lacks: {capability}")
        self.capability = capability


class DebuggerError(HarnessError):
    """gdb refused a command, cannot be started, or ended; `ended` says which."""


class FirmwarePanic(HarnessError):
    """The hypervisor panicked; `line` is its own last word, as sent."""

    def __init__(self, line: str, awaited: str = "", seen: Sequence[str] = ()) -> None:
        super().__init__(f"the firmware panicked: {printable(line)}", awaited, seen)
        self.line = line


class MachineReset(HarnessError):
    """The machine was reset though nobody asked for it (a triple fault, say)."""


class ImageError(HarnessError):
    """The file is no image of ours, or has no such symbol, type or member."""


class MemoryUnreadable(HarnessError):
    """`length` bytes at `address` (physical) could not be read or written."""

    def __init__(self, address: HPA, length: int, why: str) -> None:
        super().__init__(f"no {length} bytes at {address:#x}: {why}")
        self.address = address
        self.length = length
        self.why = why


def guest_name(vm: int, vcpu: int = 0) -> str:
    """A guest as requests and messages call it: "1" by its first vCPU, "1.1" by its second."""
    return f"{vm}.{vcpu}" if vcpu else f"{vm}"


class GuestReport(_Told):
    """The system under test answered, and the answer is not success."""


class RequestRefused(GuestReport):
    """The hypervisor refused, by the named `status`; `text` is its explanation."""

    def __init__(self, status: Status, text: str = "") -> None:
        super().__init__(f"refused as {status.console_name}" + (f": {text}" if text else ""))
        self.status = status
        self.text = text


class GuestFault(GuestReport):
    """A stage-2 fault: VM `vm` touched `gpa` with an `access` it does not have.

    `doing` is what its agent was asked, "" when it was not asked anything; `vcpu` is which of
    the VM's did it.
    """

    def __init__(self, vm: int, gpa: GPA, access: Access, doing: str = "", vcpu: int = 0) -> None:
        what = f" ({doing})" if doing else ""
        who = f"guest {guest_name(vm, vcpu)}"
        super().__init__(f"{who} faulted at GPA {gpa:#x} on {access.name or access:}{what}")
        self.vm = vm
        self.vcpu = vcpu
        self.gpa = gpa
        self.access = access
        self.doing = doing


class GuestException(GuestReport):
    """An exception of VM `vm`'s own CPU: `vector`, with `gva` as the address it reports.

    Only a page fault says an address there; `doing` and `vcpu` as in GuestFault.
    """

    def __init__(self, vm: int, gva: GVA, vector: int, doing: str = "", vcpu: int = 0) -> None:
        what = f" ({doing})" if doing else ""
        who = f"guest {guest_name(vm, vcpu)}"
        super().__init__(f"{who} took exception {vector} at GVA {gva:#x}{what}")
        self.vm = vm
        self.vcpu = vcpu
        self.gva = gva
        self.vector = vector
        self.doing = doing


class GuestStopped(GuestReport):
    """A vCPU of VM `vm` does not run any more, for the `reason` the hypervisor gave.

    where  what is known of where it was, for the message
    """

    def __init__(self, vm: int, reason: str, vcpu: int = 0, where: str = "") -> None:
        told = f"{reason} ({where})" if where else reason
        super().__init__(f"guest {guest_name(vm, vcpu)} stopped: {told}")
        self.vm = vm
        self.vcpu = vcpu
        self.reason = reason
