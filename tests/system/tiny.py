"""Small firmware for one architecture that fails in one way each: firmware/<arch>/*.S."""

import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent / "firmware"
EMULATIONS = {"x86_64": "elf_x86_64"}


def tools(arch: str) -> tuple[list[str], str]:
    """What the firmware itself may have been built with: clang and lld, or this machine's gcc."""
    if shutil.which("clang"):
        return ["clang", f"--target={arch}-unknown-none-elf"], "ld.lld"
    return ["gcc"], "ld"


def build(arch: str, name: str, folder: Path) -> Path:
    """Assemble and link it into `folder`; the ELF file."""
    linked = folder / f"{name}.elf"
    unlinked = folder / f"{name}.o"
    source = SOURCES / arch / f"{name}.S"
    compiler, linker = tools(arch)
    subprocess.run(
        [*compiler, "-g", f"-I{source.parent}", "-c", source, "-o", unlinked], check=True
    )
    link = [linker, "-m", EMULATIONS[arch], "--entry=start", "-Ttext=0x100000"]
    subprocess.run([*link, unlinked, "-o", linked], check=True)
    return linked
