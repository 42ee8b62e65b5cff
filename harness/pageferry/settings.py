"""What a run is told about its machines, and where it was told.

    command line             environment            ini file
    --pageferry-cpus 3   >   PAGEFERRY_CPUS=3   >   pageferry_cpus = 3   >   default

Every option has these three names. A value that makes no sense, and a variable that is
nearly one of these, raise ValueError, which names where it came from and what would be accepted.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ALL = "all"
"""Every architecture that there is."""

TARGETS = ("qemu", "remote")
"""What a test can run on: an emulator of its own, or a machine that is only reached."""

CAPABILITIES = (
    *("console", "debugger", "memory"),
    *("monitor", "snapshot", "shared-ram", "icount", "plugin"),
)
"""What a target may have, the first three always; a remote one has no more."""

ALWAYS = frozenset(CAPABILITIES[:3])

CPU_LIMIT = 5
"""CPUs that our firmware takes; it has the same name there."""

Parse = Callable[[str, Path], Any]
"""Makes a value of its text; the folder is the one that relative paths start from."""


@dataclass(frozen=True)
class Option:
    """One thing that can be said in three places; `name` as in `pageferry_<name>`.

    A `default` that is a path starts from the root.
    """

    name: str
    parse: Parse
    default: Any
    help: str
    short: str | None = None
    """Another name on the command line."""

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--pageferry-{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"PAGEFERRY_{self.name.upper()}"

    @property
    def ini(self) -> str:
        """Its name in an ini file."""
        return f"pageferry_{self.name}"


def _archs(text: str, _: Path) -> tuple[str, ...]:
    from . import arch

    if text == ALL:
        return arch.names()
    return tuple(dict.fromkeys(_one_of(name.strip(), arch.names()) for name in text.split(",")))


def _target(text: str, _: Path) -> str:
    return _one_of(text, TARGETS)


def _server(text: str, _: Path) -> str:
    host, _colon, port = text.rpartition(":")
    if "/" not in text and not (host and port.isdecimal()):
        raise ValueError("it is HOST:PORT, or the path of a socket")
    return text


def _one_of(text: str, names: tuple[str, ...]) -> str:
    if text not in names:
        raise ValueError(f"there are: {', '.join(names)}")
    return text


def require_cpus(cpus: int) -> None:
    """ValueError for a machine some of whose CPUs our firmware would leave unused."""
    if not 1 <= cpus <= CPU_LIMIT:
        raise ValueError(f"our firmware takes 1 to {CPU_LIMIT} CPUs")


def _count(text: str, _: Path) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ValueError("it is a number of CPUs, 1 or more")
    return int(text)


def _scale(text: str, _: Path) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale < float("inf"):
        raise ValueError("it is a factor greater than 0, as 1 or 2.5")
    return scale


def _words(text: str, _: Path) -> tuple[str, ...]:
    return tuple(shlex.split(text))


def _text(text: str, _: Path) -> str:
    return text


def _path(text: str, base: Path) -> Path:
    return base / Path(text).expanduser()


def _file(text: str, base: Path) -> Path:
    path = _path(text, base)
    if not os.path.isfile(path):  # as Path has it, PermissionError is no answer
        raise ValueError(f"there is no file {path}")
    return path


def _new_folder(text: str, base: Path) -> Path:
    """A folder that is there to be written to, or can be made where it is needed; not before."""
    path = _path(text, base)
    there = next(it for it in (path, *path.parents) if os.path.lexists(it))
    if not there.is_dir():
        raise ValueError(f"it is a folder that can be made and written, but {there} is none")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"it is a folder that can be made and written, but {there} cannot be")
    return path


OPTIONS = (
    Option("arch", _archs, ("x86_64",), "architecture of the machine; several as A,B or all"),
    Option("cpus", _count, 1, f"number of its CPUs, 1 to {CPU_LIMIT} for our firmware"),
    Option("qemu", _text, None, "emulator to run instead of the architecture's own"),
    Option(
        "qemu_args",
        _words,
        (),
        "more arguments for the emulator, quoted as for a shell; here with =, for they begin "
        "with a dash: --pageferry-qemu-args='-d int'",
    ),
    Option("timeout_scale", _scale, None, "factor for every timeout, on slow machines"),
    Option("target", _target, "qemu", f"what tests run on: {', '.join(TARGETS)}"),
    Option("serial", _text, None, "serial line of a remote target", "--serial"),
    Option("gdb_server", _server, None, "gdb server of a remote target, HOST:PORT", "--gdb"),
    Option(
        "reset",
        _text,
        None,
        "gdb's command that starts a remote target again (monitor system_reset)",
    ),
    Option(
        "kernel",
        _file,
        None,
        "ELF file of your own that the fixture `machine` boots, or that a remote target boots",
    ),
    Option("firmware", _path, None, "folder of hypervisor.elf and agent.elf"),
    Option(
        "evidence", _new_folder, Path("build/evidence"), "folder that gets one folder a failed test"
    ),
)


@dataclass(frozen=True)
class Settings:
    """The values of OPTIONS. What was not said and has no default is None.

    With several in `arch`, a test runs on each.
    """

    arch: tuple[str, ...]
    cpus: int
    qemu: str | None
    qemu_args: tuple[str, ...]
    timeout_scale: float | None
    target: str
    serial: str | None
    gdb_server: str | None
    reset: str | None
    kernel: Path | None
    firmware: Path | None
    evidence: Path

    @property
    def summary(self) -> str:
        """One line for the head of a report."""
        cpus = "1 CPU" if self.cpus == 1 else f"{self.cpus} CPUs"
        kernel = [f"kernel {self.kernel}"] if self.kernel else []
        return ", ".join([*self.arch, cpus, f"target {self.target}", *kernel])

    def capabilities(self, arch: str | None = None, cpus: int | None = None) -> frozenset[str]:
        """What such a machine (or one as usual) has, out of CAPABILITIES."""
        from . import arch as architectures

        if self.target == "remote":
            return ALWAYS
        described = architectures.get(arch or self.arch[0])
        lacks = set()
        if not described.icount or (cpus or self.cpus) > 1:
            lacks.add("icount")
        if described.traces is None:
            lacks.add("plugin")
        return frozenset(CAPABILITIES) - lacks


def gather(
    said: Callable[[str], str | None],
    environ: Mapping[str, str],
    written: Callable[[str], str],
    here: Path,
    root: Path,
    ini_folder: Path,
) -> Settings:
    """Settings from all places.

    said        the text of an option on the command line, by its name, or None
    written     the text of an ini key, or ""
    here        where relative paths of command line and environment start from
    root        where those of defaults do
    ini_folder  where those of the ini file do

    Raises ValueError. An empty text counts as not said.
    """
    _require_known(environ)
    values: dict[str, Any] = {}
    told: dict[str, str] = {}
    for option in OPTIONS:
        places = (
            (option.flag, said(option.name), here),
            (option.variable, environ.get(option.variable), here),
            (option.ini, written(option.ini), ini_folder),
        )
        place = next((place for place in places if place[1]), None)
        if place is not None:
            told[option.name], values[option.name] = _parsed(option, *place)
        else:
            usual = option.default
            values[option.name] = root / usual if isinstance(usual, Path) else usual
    settings = Settings(**values)
    _require_wires(settings)
    _require_one_architecture(settings)
    if settings.kernel is None and "cpus" in told:
        with _blaming(told["cpus"]):
            require_cpus(settings.cpus)
    return settings


def _require_one_architecture(settings: Settings) -> None:
    """Where something was said that can serve one only."""
    singular = (settings.kernel, settings.firmware, settings.qemu)
    what = "a remote target" if settings.target == "remote" else next(filter(None, singular), None)
    if len(settings.arch) > 1 and what is not None:
        raise ValueError(f"{what} is of one architecture, not of {', '.join(settings.arch)}")


def _parsed(option: Option, where: str, text: str | None, base: Path) -> tuple[str, Any]:
    """What was said, with where, and the value of it."""
    told = f"{where}={text}"
    with _blaming(told):
        return told, option.parse(text or "", base)


@contextmanager
def _blaming(told: str) -> Iterator[None]:
    """Have a ValueError say where it was told what is wrong."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{told}: {error}") from error


def _require_known(variables: Iterable[str]) -> None:
    known = [option.variable for option in OPTIONS]
    for name in sorted(variables):
        if name.startswith("PAGEFERRY_") and name not in known:
            raise ValueError(f"the variable {name} is none of ours; there are: {', '.join(known)}")


def _require_wires(settings: Settings) -> None:
    """Both for a remote target, and none for another, which would not use them."""
    if settings.target == "remote":
        if not (settings.serial and settings.gdb_server):
            raise ValueError("a remote target needs --serial PATH and --gdb HOST:PORT")
        return
    wires = (("--serial", settings.serial), ("--gdb", settings.gdb_server))
    for flag, value in (*wires, ("--pageferry-reset", settings.reset)):
        if value is not None:
            raise ValueError(f"{flag} {value} is for a remote target: --pageferry-target remote")


def firmware_folder(settings: Settings, arch: str, root: Path) -> Path:
    """Where our firmware is: as said, or where `make firmware` puts it below `root`."""
    return settings.firmware or root / "build" / "firmware" / arch


def stale_firmware(settings: Settings, root: Path) -> list[str]:
    """A line for each of our firmwares, built below `root`, that has a newer source or lost one.

    Of one that is somewhere else, or not built, nothing is said.
    """
    told = []
    for arch in () if settings.firmware else settings.arch:
        product = firmware_folder(settings, arch, root) / "hypervisor.elf"
        if product.is_file() and (source := _changed_source(product, arch, root)):
            made = product.relative_to(root)
            how = (
                f"is newer than {made}" if source.exists() else f"is gone, of which {made} was made"
            )
            told.append(f"{source.relative_to(root)} {how}: make firmware ARCH={arch}")
    return told


def _changed_source(product: Path, arch: str, root: Path) -> Path | None:
    """A source, or a part that was built first, that changed or went after `product` was made.

    The compiler wrote down beside it which there are (`-MMD`), but for the linker's scripts.
    """
    written = (it.read_text() for it in product.parent.rglob("*.d"))
    words = {word for text in written for word in text.replace("\\\n", " ").split()}
    sources = {root / word for word in words if not word.endswith(":")}
    for folder in ("guest", f"arch/{arch}"):
        sources |= set((root / "firmware" / folder).glob("*.ld"))
    made = product.stat().st_mtime_ns
    changed = (it for it in sorted(sources) if not it.exists() or it.stat().st_mtime_ns > made)
    return next(changed, None)
