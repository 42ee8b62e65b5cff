"""The command line: `pageferry run` and its companions.

Exit status: 0 as hoped, 1 something is not as it should be, 2 the bench failed or the
command line was wrong.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TypeVar

import click
from click.core import ParameterSource

from . import arch as architectures
from .errors import GuestReport, HarnessError
from .inspect import USAGE, parse
from .manifest import FIELDS, FOLDER, running
from .report import doctor as doctor_report
from .report.documents import Documents
from .settings import ALL, CPU_LIMIT, require_cpus

UNEXPECTED, FAILED = 1, 2
FAILURES = (HarnessError, GuestReport, OSError)

T = TypeVar("T")

ARCHS = architectures.names()
USUAL = "x86_64"

arch_option = click.option(
    "--arch",
    type=click.Choice(ARCHS),
    default=USUAL,
    show_default=True,
    help="The architecture of the machine under test.",
)
chosen_arch_option = click.option(
    "--arch",
    type=click.Choice(ARCHS),
    help=f"The architecture.  [default: that of the machine that runs, else {USUAL}]",
)


def _cpus(_: click.Context, __: click.Parameter, cpus: int) -> int:
    try:
        require_cpus(cpus)
    except ValueError as error:
        raise click.BadParameter(f"{cpus}: {error}") from None
    return cpus


cpus_option = click.option(
    "--cpus",
    type=int,
    callback=_cpus,
    default=1,
    show_default=True,
    help=f"Of the machine, 1 to {CPU_LIMIT}.",
)
archs_option = click.option(
    "--arch",
    type=click.Choice([*ARCHS, ALL]),
    default=USUAL,
    show_default=True,
    help="The architecture of the machine under test, or one after the other.",
)


@click.group()
@click.version_option(package_name="pageferry")
def main() -> None:
    """Watch pages change hands between two guests, from the outside."""


@main.command()
@archs_option
@click.option("--json", "as_json", is_flag=True, help="For programs, an object an architecture.")
def doctor(arch: str, as_json: bool) -> None:
    """Show what is installed, what is missing and which package has it."""
    render = doctor_report.as_json if as_json else doctor_report.as_text
    found = {name: doctor_report.examine(name) for name in _named(arch)}
    with _failing_as("doctor"):
        for name, findings in found.items():
            click.echo(render(name, findings))
    sys.exit(0 if all(map(doctor_report.is_ready, found.values())) else UNEXPECTED)


@main.command()
@archs_option
@click.option(
    "--door",
    type=click.Choice(["guest", "console", "gdb"]),
    default="guest",
    show_default=True,
    help="Who asks: the source guest by a hypercall, the console, or gdb.",
)
@click.option("--qemu", help="The emulator to run instead of the architecture's own.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON instead of the table.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the JSON.  [default: build/run/ARCH/result.json of each]",
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

    With `--arch all` the architectures are shown side by side. Exit status 0 only if every
    verdict is the expected one, 1 if one is not, 2 if the bench failed.
    """
    from rich.console import Console

    from .report import mechanisms, show, side_by_side
    from .report.documents import make_way
    from .testbed import Door

    with _failing_as("run"):
        documents = Documents(
            _named(arch), "build/run/{}/result.json", output, together=arch == ALL
        )
        if svg is not None:
            make_way(svg)
    work = partial(mechanisms.run, door=Door(door), qemu=qemu)
    results, status = _on_each("run", arch, work)
    with _failing_as("run"):
        whole, files = documents.write({it.arch: show.as_json(it) for it in results})
        display = partial(show.print_result, results[0])
        if arch == ALL:
            display = partial(side_by_side.print_results, results)
        if svg is not None:
            show.draw(display, "make run ARCH=all" if arch == ALL else "make run", svg)
            files.append(svg)
        if as_json:
            click.echo(whole)
        else:
            display(Console())
            click.echo(f"written to {', '.join(map(str, files))}")
        _flush()
    sys.exit(status or (0 if all(result.ok for result in results) else UNEXPECTED))


@main.command()
@arch_option
@cpus_option
@click.option("--qemu", help="The emulator to run instead of the architecture's own.")
def console(arch: str, cpus: int, qemu: str | None) -> None:
    """Boot the machine and type on its console, for example "1 help"; Ctrl-D ends it."""
    from .report import console as console_report
    from .testbed import firmware_directory, require_firmware

    with _failing_as("console"):
        kernel = require_firmware(firmware_directory(arch), arch) / "hypervisor.elf"
        console_report.run(arch, kernel, cpus=cpus, qemu=qemu)


@main.command()
@archs_option
@cpus_option
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Samples of what is slow; of the rest there are more.",
)
@click.option("--qemu", help="The emulator to run instead of the architecture's own.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON instead of the table.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the JSON.  [default: build/bench/ARCH.json of each]",
)
@click.option("--strict", is_flag=True, help="Exit with status 1 if a goal was missed.")
def bench(
    arch: str,
    cpus: int,
    rounds: int,
    qemu: str | None,
    as_json: bool,
    output: Path | None,
    strict: bool,
) -> None:
    """Measure what the harness costs, beside the goals for a quiet two-core machine."""
    from rich.console import Console

    from .report import bench as measuring
    from .report import bench_table, figures

    with _failing_as("bench"):
        documents = Documents(_named(arch), "build/bench/{}.json", output, together=arch == ALL)
    work = partial(measuring.run, rounds=rounds, cpus=cpus, qemu=qemu)
    results, status = _on_each("bench", arch, work)
    with _failing_as("bench"):
        whole, files = documents.write({it.arch: figures.as_json(it) for it in results})
        if as_json:
            click.echo(whole)
        else:
            for result in results:
                bench_table.print_bench(result, Console())
                click.echo()
            click.echo(f"written to {', '.join(map(str, files))}")
        _flush()
    missed = strict and not all(result.met for result in results)
    sys.exit(status or (UNEXPECTED if missed else 0))


class _BeforeGdb(click.Command):
    """A command whose line may go on with gdb's arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Tell of an option that is not ours where gdb's belong."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = "What is gdb's comes after --, as in: debug -- -ex 'hv help'"
            raise click.UsageError(f"{error.format_message()} {hint}", ctx) from None


@main.command(cls=_BeforeGdb)
@chosen_arch_option
@cpus_option
@click.option("--qemu", help="The emulator to run instead of the architecture's own.")
@click.option("--attach", is_flag=True, help="To a machine that runs, instead of starting one.")
@click.option("--id", "name", help="Which one, as `pageferry machines` lists them.")
@click.argument("gdb_arguments", nargs=-1, type=click.UNPROCESSED)
def debug(
    arch: str | None,
    cpus: int,
    qemu: str | None,
    attach: bool,
    name: str | None,
    gdb_arguments: tuple[str, ...],
) -> None:
    """Start the firmware stopped, and gdb in front of it, which knows `hv`.

    Arguments after -- go to gdb.
    """
    from .report import debugging

    with _failing_as("debug"):
        if attach or name:
            _refuse("is of a machine that is started, not of one that runs", "cpus", "qemu")
            sys.exit(debugging.attach(name, arch, gdb_arguments))
        sys.exit(debugging.start(arch or USUAL, cpus, qemu, gdb_arguments))


@main.command(
    help=f"List the machines that run and can be found. With --json, of each:\n\n\b\n{FIELDS}"
)
@click.option("--json", "as_json", is_flag=True, help="For programs, a list of objects.")
def machines(as_json: bool) -> None:
    """List the machines that run and can be found."""
    found = running()
    if not found:
        click.echo(f"none runs that can be found in {FOLDER}", err=True)
    with _failing_as("machines"):
        if as_json:
            click.echo(json.dumps([{"id": it.id, **asdict(it)} for it in found], indent=2))
        else:
            for machine in found:
                click.echo(f"{machine.id}  {machine.cpus} CPU  {machine.kernel}")


@main.command(
    context_settings={"ignore_unknown_options": True},
    help="Look at a running machine, or at its RAM in a file. All commands take --json."
    f"\n\n\b\n{USAGE}",
)
@chosen_arch_option
@click.option("--id", "name", help="Of several machines: which one.")
@click.option(
    "--ram",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with a machine's RAM, instead of a machine that runs.",
)
@click.option(
    "--kernel",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The ELF file that ran in it.  [default: hypervisor.elf of our firmware]",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def inspect(
    arch: str | None,
    name: str | None,
    ram: Path | None,
    kernel: Path | None,
    command: tuple[str, ...],
) -> None:
    """Answer one question."""
    from .report import looking
    from .testbed import firmware_directory, require_firmware

    with _failing_as("inspect"):
        question = parse(command)
        if ram is None:
            _refuse("is what ran in --ram; of a machine that runs it is known", "kernel")
            click.echo(looking.running(question, name, arch))
        else:
            _refuse("is of a machine that runs, not of --ram", "name")
            taken = arch or USUAL
            usual = firmware_directory(taken)
            elf = kernel or require_firmware(usual, taken) / "hypervisor.elf"
            click.echo(looking.dump(question, taken, elf, ram))


def _refuse(why: str, *names: str) -> None:
    """UsageError for the first of these options that was said, for it would not be heard."""
    context = click.get_current_context()
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if option.name in names and given:
            raise click.UsageError(f"{option.opts[0]} {why}", context)


def _named(arch: str) -> tuple[str, ...]:
    """The architectures that one word names."""
    return ARCHS if arch == ALL else (arch,)


def _on_each(command: str, arch: str, work: Callable[..., T]) -> tuple[list[T], int]:
    """What the work gives on each architecture, and FAILED if it failed on one, else 0.

    Where one of several failed the others go on; with nothing to show this is the end.
    """
    results, status = [], 0
    for name in _named(arch):
        try:
            with _progress() as progress:
                results.append(work(name, progress=progress))
        except FAILURES as error:
            _complain(f"{command} --arch {name}" if arch == ALL else command, error)
            status = FAILED
    if not results:
        sys.exit(status)
    return results, status


def _flush() -> None:
    """Have what was printed written now, where its failure is told; none if that is closed."""
    if sys.stdout is not None:
        sys.stdout.flush()


@contextmanager
def _failing_as(name: str) -> Iterator[None]:
    """What the bench says when it fails goes to the error stream, with status 2."""
    try:
        yield
    except BrokenPipeError:
        raise  # nobody reads any more: click ends with status 1 and says nothing
    except FAILURES as error:
        _complain(name, error)
        _give_up_output()
        sys.exit(FAILED)


def _give_up_output() -> None:
    """What cannot be written is not tried again at the very end, with a status of its own."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _complain(command: str, error: Exception) -> None:
    click.echo(f"pageferry {command}: {type(error).__name__}: {error}", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A spinner on the error stream of a terminal; on a pipe, nothing."""
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


if __name__ == "__main__":
    main()
