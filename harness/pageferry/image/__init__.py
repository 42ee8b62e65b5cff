"""What an ELF file and its debug information say: symbols, types, lines, values.

    elf.py         the file: symbols, sections, source lines
    dwarf.py       debug information to types (through pyelftools)
    types.py       the types, and what their bytes mean
    expression.py  "vms[1].vcpus[0].arch.vmcb->save.cr3", taken apart
    reader.py      expression + image + memory: typed reading and writing

No layout is written twice: a test that wants a field names it as C does.
"""

from .elf import Image
from .reader import Reader

__all__ = ["Image", "Reader"]
