"""gdb as a capability of a machine: QEMU's stub or a board's, spoken to over MI.

process.py    the program: commands matched by their token, its every way to end
stub.py       a listening socket without a name, for the emulator's side
stops.py      where the machine stopped, and what a person calls that place
memory.py     physical memory, through the stub
views.py      commands, each with physical addresses or the CPU's
values.py     registers and C expressions
steps.py      how a CPU that stands goes on by a step
core.py       what a test speaks to: breakpoints, running and stopping
"""

from .breakpoint import Breakpoint
from .core import Debugger
from .stops import Frame, Stop
from .stub import Stub

__all__ = ["Breakpoint", "Debugger", "Frame", "Stop", "Stub"]
