"""Small firmware for one architecture that fails in one way each: firmware/<arch>/*.S."""

import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent / "firmware"


def tools(arch: str) -> tuple[list[str], str]:
    """What the firmware itself may have been built with: clang and lld, or this machine's gcc."""
    if shutil.which("clang"):
        return ["clang", f"--target={arch}-unknown-none-elf"], "ld.lld"
    return ["gcc"], "ld"


def flags(arch: str) -> dict[str, list[str]]:
    """What the architecture wants of the "compiler" and of the "linker"."""
    lines = (SOURCES / arch / "flags").read_text().splitlines()
    return {name: wanted for name, *wanted in map(str.split, lines)}


def build(arch: str, name: str, folder: Path) -> Path:
    """Assemble and link it into `folder`; the ELF file."""
    linked = folder / f"{name}.elf"
    unlinked = folder / f"{name}.o"
    source = SOURCES / arch / f"{name}.S"
    compiler, linker = tools(arch)
    wanted = flags(arch)
    compile_it = [*compiler, *wanted["compiler"], "-g", f"-I{SOURCES}", f"-I{source.parent}"]
    subprocess.run([*compile_it, "-c", source, "-o", unlinked], check=True)
    link_it = [linker, *wanted["linker"], "--entry=start"]
    subprocess.run([*link_it, unlinked, "-o", linked], check=True)
    return linked
