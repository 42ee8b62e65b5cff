"""The command line: `pageferry run`, `pageferry console`, `pageferry doctor`.

Exit status: 0 as hoped, 1 something is not as it should be, 2 the bench failed or the
command line was wrong.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from . import arch as architectures
from .errors import GuestReport, HarnessError
from .report import doctor as doctor_report

UNEXPECTED, FAILED = 1, 2

arch_option = click.option(
    "--arch",
    type=click.Choice(architectures.names()),
    default="x86_64",
    show_default=True,
    help="The architecture of the machine under test.",
)


@click.group()
@click.version_option(package_name="pageferry")
def main() -> None:
    """Watch pages change hands between two guests, from the outside."""


@main.command()
@arch_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(arch: str, as_json: bool) -> None:
    """Show what is installed, what is missing and which package has it."""
    findings = doctor_report.examine(arch)
    render = doctor_report.as_json if as_json else doctor_report.as_text
    click.echo(render(arch, findings))
    sys.exit(0 if doctor_report.is_ready(findings) else UNEXPECTED)


@main.command()
@arch_option
@click.option(
    "--door",
    type=click.Choice(["guest", "console"]),
    default="guest",
    show_default=True,
    help="Who asks: the source guest by a hypercall, or the console.",
)
@click.option("--qemu", help="The emulator to run instead of the architecture's own.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON instead of the table.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the JSON.  [default: build/run/ARCH/result.json]",
)
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also draw what is printed into this file.",
)
def run(
    arch: str,
    door: str,
    qemu: str | None,
    as_json: bool,
    output: Path | None,
    svg: Path | None,
) -> None:
    """Remap, share and copy a page between two guests, and judge what was seen.

    Exit status 0 only if every verdict is the expected one, 1 if one is not, 2 if the
    bench failed.
    """
    from rich.console import Console

    from .report import mechanisms, show
    from .testbed import Door

    path = output or Path("build", "run", arch, "result.json")
    try:
        with _progress() as progress:
            result = mechanisms.run(arch, Door(door), progress, qemu=qemu)
        found = json.dumps(show.as_json(result), indent=2)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found + "\n")
        if svg is not None:
            show.draw(result, svg)
    except (HarnessError, GuestReport, OSError) as error:
        click.echo(f"pageferry run: {type(error).__name__}: {error}", err=True)
        sys.exit(FAILED)
    if as_json:
        click.echo(found)
    else:
        show.print_result(result, Console())
        click.echo(f"written to {path}")
    sys.exit(0 if result.ok else UNEXPECTED)


@main.command()
@arch_option
@click.option("--cpus", type=click.IntRange(1, 4), default=1, show_default=True)
@click.option("--qemu", help="The emulator to run instead of the architecture's own.")
def console(arch: str, cpus: int, qemu: str | None) -> None:
    """Boot the machine and type on its console, for example "1 help"; Ctrl-D ends it."""
    from .report import console as console_report
    from .testbed import firmware_directory

    try:
        kernel = firmware_directory(arch) / "hypervisor.elf"
        console_report.run(arch, kernel, cpus=cpus, qemu=qemu)
    except HarnessError as error:
        click.echo(f"pageferry console: {type(error).__name__}: {error}", err=True)
        sys.exit(FAILED)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A spinner on the error stream of a terminal; on a pipe, nothing."""
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


if __name__ == "__main__":
    main()
