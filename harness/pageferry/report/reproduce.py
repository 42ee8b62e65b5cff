"""The script that brings a failed test's machine up again: QEMU stopped, gdb attached."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from ..debugger.process import PATIENCE
from .debugging import REQUIRE_MACHINE, SCRIPT

SNAPSHOT = "failure"
"""The name of the snapshot that is taken when a test has failed."""

RAM_FILE = "ram.bin"
SNAPSHOT_FILE = "snapshot.qcow2"

_WIRES = ("id=console", "id=monitor", "id=gdb", "chardev=monitor")
_SCRIPT = """#!/bin/sh
# {test}
#
#   ./reproduce.sh                    gdb, as the test has left the machine; ends QEMU too
#   ./reproduce.sh -batch -ex bt      any arguments of gdb
#   GDB=gdb ./reproduce.sh            another gdb than gdb-multiarch
{ours}#
# What the console says after `continue` goes to console-restored.log.
#
# Registers, devices and RAM come from {snapshot_file}. If QEMU cannot load that (on x86
# when a CPU was in guest mode), there is RAM without registers: they are in registers.txt.
set -eu
cd "$(dirname "$0")"

emulator() {{
    exec setpriv --pdeathsig KILL {qemu} \\
        {common} "$@"
}}
restored() {{
    emulator {restored} "$@"
}}
only_ram() {{
    emulator {only_ram} "$@"
}}
can_restore() {{
    [ -f {snapshot_file} ] &&
        echo quit | restored -chardev null,id=console -monitor stdio >/dev/null
}}
gdb() {{
    connect="target remote | exec ./reproduce.sh $1"
    shift
    [ ! -f {hv} ] || set -- -ex 'source {hv}' "$@"
    [ ! -f agent.elf ] || set -- -ex 'add-symbol-file agent.elf' "$@"
    # QEMU is gdb's own. Told that it was there before, gdb would let it run on at the end,
    # and wait five seconds for it to end by itself.
    exec "${{GDB:-gdb-multiarch}}" -q -nx -iex 'set confirm off' -iex 'set auto-load off' \
        -iex 'set remote query-attached-packet off' -iex 'set {patience}' {kernel} \
        -ex "$connect" -ex {require_machine} "$@"
}}

if [ "${{1-}}" = --restored ]; then
    restored -gdb stdio -chardev file,id=console,path=console-restored.log
elif [ "${{1-}}" = --only-ram ]; then
    only_ram -gdb stdio -chardev null,id=console
elif can_restore; then
    gdb --restored "$@"
else
    echo "reproduce.sh: QEMU cannot load the snapshot; only RAM is what it was" >&2
    gdb --only-ram "$@"
fi
"""

_OURS = """#   (gdb) hv guests                   what the tables say; `hv help`
#
# pageferry inspect --arch {arch} --ram {ram_file} --kernel {kernel} guests
# answers from RAM alone who has which frame, without QEMU.
"""


def script(
    test: str, arch: str, command: Sequence[str], kernel: str, ram: int, *, ours: bool
) -> str:
    """The text of the script.

    command  what QEMU was started with
    kernel   the name of its kernel's copy, beside the script
    ram      bytes of RAM
    ours     whether the kernel is our hypervisor, of which more can be asked
    """
    qemu, *arguments = command
    kept = [word for option in _options(arguments) if _is_kept(option) for word in option]
    backend = f"id=ram,size={ram}"
    disk = f"driver=qcow2,node-name=snapshots,file.driver=file,file.filename={SNAPSHOT_FILE}"
    restored = [
        *("-object", f"memory-backend-ram,{backend}", "-kernel", kernel),
        *("-blockdev", disk, "-loadvm", SNAPSHOT),
    ]
    # Without a kernel, for its loader would write over what is to be looked at. Private:
    # whatever is done here, the file stays as it is.
    only_ram = ["-object", f"memory-backend-file,{backend},mem-path={RAM_FILE},share=off"]
    return _SCRIPT.format(
        test=test.replace("\n", " "),
        qemu=shlex.quote(qemu),
        common=shlex.join(kept),
        restored=shlex.join(restored),
        only_ram=shlex.join(only_ram),
        kernel=shlex.quote(kernel),
        snapshot_file=SNAPSHOT_FILE,
        ours=_OURS.format(arch=arch, ram_file=RAM_FILE, kernel=shlex.quote(kernel)) if ours else "",
        hv=SCRIPT,
        patience=PATIENCE,
        require_machine=shlex.quote(REQUIRE_MACHINE),
    )


def _options(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Each option with its values."""
    option: list[str] = []
    for word in arguments:
        if word.startswith("-") and option:
            yield option
            option = []
        option.append(word)
    if option:
        yield option


def _is_kept(option: list[str]) -> bool:
    """Whether it is about the machine, and not about its wires or where its RAM comes from."""
    name, *values = option
    said = {word for value in values for word in value.split(",")}
    if name in ("-chardev", "-mon"):
        return said.isdisjoint(_WIRES)
    return name != "-kernel" and not (name == "-object" and "id=ram" in said)
