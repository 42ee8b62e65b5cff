"""Small firmware for one architecture that fails in one way each: firmware/<arch>/*.S."""

import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent / "firmware"
LINKER = {"x86_64": "elf_x86_64"}


def build(arch: str, name: str, folder: Path) -> Path:
    """Assemble and link it into `folder`; the ELF file."""
    linked = folder / f"{name}.elf"
    unlinked = folder / f"{name}.o"
    source = SOURCES / arch / f"{name}.S"
    target = f"--target={arch}-unknown-none-elf"
    assemble = ["clang", target, "-g", f"-I{source.parent}", "-c"]
    subprocess.run([*assemble, source, "-o", unlinked], check=True)
    link = ["ld.lld", "-m", LINKER[arch], "--entry=start", "-Ttext=0x100000"]
    subprocess.run([*link, unlinked, "-o", linked], check=True)
    return linked
