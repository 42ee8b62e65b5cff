"""Snapshots of a whole machine, kept in an inherited file that has no name."""

from __future__ import annotations

from .channel import Timeout
from .errors import MonitorError
from .monitor import Monitor

_FILE = "snapshot-file"
_DISK = "snapshots"


class Snapshots:
    """Saves the state of all devices, CPUs and RAM of a stopped machine, and loads it.

    file    descriptor, inherited by QEMU under the same number, of an empty file

    The disk image is made when it is first needed; no device of the machine is
    connected to it.
    """

    def __init__(self, monitor: Monitor, file: int) -> None:
        self._monitor = monitor
        self.file = file
        self._attached = False
        self._names: set[str] = set()

    def save(self, name: str, timeout: Timeout = None) -> None:
        """Save under `name`. Raises MonitorError when there is one of that name already."""
        if not self._attached:
            self._attach(timeout)
        self._monitor.run_job("snapshot-save", self._arguments(name), timeout)
        self._names.add(name)

    def require(self, name: str) -> None:
        """MonitorError unless `save` has saved it; nothing has been touched then."""
        if name not in self._names:
            there_are = ", ".join(sorted(self._names)) or "none"
            raise MonitorError(f"no snapshot is called {name!r}; there are: {there_are}")

    def load(self, name: str, timeout: Timeout = None) -> None:
        """Load `name` into the machine, which is stopped for it.

        Raises MonitorError when it cannot be loaded.
        On x86 one that was saved while a CPU was in guest mode cannot. The machine is
        then in no defined state.
        """
        # The human monitor's command takes one round trip, a job four; it is silent
        # when all is well.
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        said = self._monitor.human_all([f'loadvm "{quoted}"'], timeout, stopped=True)[0]
        if said:
            raise MonitorError(f"loadvm {name}: {said.strip()}")

    def delete(self, name: str, timeout: Timeout = None) -> None:
        """Delete `name`. Raises MonitorError when there is none."""
        arguments = {"tag": name, "devices": [_DISK]}
        self._monitor.run_job("snapshot-delete", arguments, timeout)
        self._names.discard(name)

    def _arguments(self, name: str) -> dict[str, object]:
        return {"tag": name, "vmstate": _DISK, "devices": [_DISK]}

    def _attach(self, timeout: Timeout) -> None:
        path = f"/proc/self/fd/{self.file}"
        add = "blockdev-add"
        self._monitor.execute(
            add, {"driver": "file", "node-name": _FILE, "filename": path}, timeout
        )
        # A disk of no bytes: snapshots are stored beside its contents.
        options = {"driver": "qcow2", "file": _FILE, "size": 0}
        self._monitor.run_job("blockdev-create", {"options": options}, timeout)
        self._monitor.execute(add, {"driver": "qcow2", "node-name": _DISK, "file": _FILE}, timeout)
        self._attached = True
