"""Where the emulator waits for a debugger: a listening socket that has lost its name.

A unix socket is found by its inode. Once an O_PATH descriptor of it is held, the name
can go before anybody else has seen it, and whoever has the descriptor, or may look
into /proc/PID/fd of a process that has it, connects through that. Nothing is left on
disk, no name is too long for the socket's address, nobody meets it by accident.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from tempfile import mkdtemp


class Stub:
    """A listening socket for the emulator, and the way to it. To be closed by its owner.

    listener  descriptor that the emulator inherits and accepts connections on
    door      descriptor by which /proc/PID/fd/DOOR of any holder is the socket
    """

    def __init__(self) -> None:
        with ExitStack() as opening:
            listening = opening.enter_context(socket.socket(socket.AF_UNIX))
            with ExitStack() as naming:  # what it does needs no file to be opened
                folder = mkdtemp(prefix="pageferry-")
                naming.callback(os.rmdir, folder)
                # Bound through a descriptor: that path is short wherever the folder is.
                inside = os.open(folder, os.O_PATH | os.O_DIRECTORY)
                naming.callback(os.close, inside)
                name = f"/proc/self/fd/{inside}/gdb"
                listening.bind(name)
                naming.callback(os.unlink, name)
                self.door = os.open(name, os.O_PATH)
                opening.callback(os.close, self.door)
            listening.listen(1)
            self.listener = listening.fileno()
            self._owned = opening.pop_all()

    def close(self) -> None:
        """Close both here; who has inherited them keeps them. Closing twice is harmless."""
        self._owned.close()
