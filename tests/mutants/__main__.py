"""Build every mutant and run the tests that are to catch it: `make mutants`.

    python -m tests.mutants --arch riscv64 no_invalidation riscv64_wrong_hart

The same tests run on the firmware as it is, too; one that fails there catches nothing. A
mutant that survives, or that ends in anything but an assertion, makes the exit status 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from tests.mutants import MUTANTS, ROOT, Mutant, NotBuilt
from tests.mutants.outcome import Outcome, Verdict, read

from pageferry import arch as architectures
from pageferry.errors import ImageError
from pageferry.testbed import firmware_directory, require_firmware

LIMIT = 60
"""Seconds that one test may take."""

# A seed, so that every run does the same; and as many random remaps as are sure to show.
SETTINGS = ["--seed", "5", "--remaps", "20", "--timeout", str(LIMIT)]
# Some bugs keep a machine silent, and a test that says so has waited for the whole deadline.
SETTINGS += ["--pageferry-timeout-scale=0.3"]


@dataclass(frozen=True)
class Row:
    """How one mutant ended on one architecture."""

    mutant: Mutant
    arch: str
    verdict: Verdict
    seconds: float


def run_tests(arch: str, tests: Iterable[str], folder: Path, *more: str) -> dict[str, Verdict]:
    """How each of them ended. Whatever a failure leaves behind stays below `folder`."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", *SETTINGS]
    command += ["-o", f"cache_dir={folder / 'cache'}", f"--junitxml={report}"]
    command += [f"--pageferry-evidence={folder / 'evidence'}"]
    command += ["--pageferry-arch", arch, *more, *tests]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    return read(report) if report.is_file() else {}


def try_clean(arch: str, mutants: list[Mutant]) -> dict[str, Verdict]:
    """The tests of all of them on the firmware as it is."""
    tests = sorted({test for mutant in mutants for test in mutant.tests(arch)})
    with TemporaryDirectory() as folder:
        return run_tests(arch, tests, Path(folder)) if tests else {}  # pytest would run all


def try_mutant(mutant: Mutant, arch: str) -> Verdict:
    """Build it and run its tests up to the first that fails."""
    with TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        copy.mkdir()
        try:
            products = mutant.build(arch, copy)
        except NotBuilt as error:
            return Verdict(Outcome.NOT_BUILT, why=str(error).splitlines()[0])
        firmware = f"--pageferry-firmware={products}"
        found = run_tests(arch, mutant.tests(arch), Path(folder), "-x", firmware)
    failed = [it for it in found.values() if it.outcome is not Outcome.SURVIVED]
    if failed:
        return failed[0]
    if not found:
        return Verdict(Outcome.ERROR, why="no test ran")
    return Verdict(Outcome.SURVIVED, ", ".join(found))


def judge(verdict: Verdict, clean: dict[str, Verdict]) -> Verdict:
    """A test that does not pass on the firmware as it is has caught nothing."""
    passed = [name for name, it in clean.items() if it.outcome is Outcome.SURVIVED]
    if verdict.outcome is not Outcome.CAUGHT or verdict.test in passed:
        return verdict
    return Verdict(Outcome.ERROR, verdict.test, "does not pass on the firmware as it is")


def try_all(mutants: list[Mutant], archs: list[str], workers: int) -> Iterator[Row]:
    """Each as it ends, in the order in which they began."""

    def timed(job: tuple[Mutant, str]) -> Row:
        begin = time.monotonic()
        verdict = try_mutant(*job)
        return Row(*job, verdict, time.monotonic() - begin)

    jobs = {arch: [(it, arch) for it in mutants if it.applies_to(arch)] for arch in archs}
    with ThreadPoolExecutor(workers) as pool:
        clean = {arch: pool.submit(try_clean, arch, [it for it, _ in jobs[arch]]) for arch in archs}
        for arch in archs:
            for row in pool.map(timed, jobs[arch]):
                yield replace(row, verdict=judge(row.verdict, clean[arch].result()))


def show(row: Row) -> str:
    """The row as a line of the table."""
    verdict = row.verdict
    by = f"{verdict.test.removeprefix('test_')} {verdict.why}".strip()
    caught = by if verdict.outcome is Outcome.CAUGHT else f"{verdict.outcome.value}: {by}"
    return f"{row.mutant.name:30} {row.arch:8} {row.seconds:5.1f} s  {caught}"


def _named(name: str) -> Mutant:
    """The mutant of this name, else what there is that looks like it."""
    if name in MUTANTS:
        return MUTANTS[name]
    close = ", ".join(get_close_matches(name, MUTANTS, cutoff=0.5))
    like = f"; like it: {close}" if close else ""
    raise click.UsageError(f"no mutant is called {name!r}{like}; --list shows all")


@click.command()
@click.option("--arch", type=click.Choice([*architectures.names(), "all"]), default="all")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    default=os.cpu_count(),
    help="how many are tried at once",
)
@click.option("--list", "only_list", is_flag=True, help="show what they break, and try none")
@click.argument("names", nargs=-1)
def main(arch: str, jobs: int, only_list: bool, names: tuple[str, ...]) -> None:
    """Try the mutants of these names, or all, and print the table."""
    archs = list(architectures.names()) if arch == "all" else [arch]
    mutants = [_named(it) for it in names or MUTANTS]
    if only_list:
        for mutant in mutants:
            if any(mutant.applies_to(it) for it in archs):
                click.echo(f"{mutant.name:30} {mutant.breaks}")
        return
    for mutant in mutants:
        if not any(mutant.applies_to(it) for it in archs):
            why = "the files that its patch changes, or its words, tell of which it is"
            raise click.UsageError(f"{mutant.name} is none of {arch}: {why}")
        if not mutant.caught_by:
            click.echo(f"{mutant.name} names no test: all are tried, which takes minutes", err=True)
    try:
        for name in archs:
            require_firmware(ROOT / firmware_directory(name), name)
    except ImageError as error:
        raise click.ClickException(str(error)) from None
    begin = time.monotonic()
    rows = []
    for row in try_all(mutants, archs, jobs):
        rows.append(row)
        print(show(row), flush=True)
    print(f"\nin {time.monotonic() - begin:.0f} s, with {jobs} at once:")
    for name in archs:
        of = Counter(row.verdict.outcome.value for row in rows if row.arch == name)
        print(f"{name:8}", ", ".join(f"{count} {outcome}" for outcome, count in of.items()))
    sys.exit(any(row.verdict.outcome is not Outcome.CAUGHT for row in rows))


if __name__ == "__main__":
    main()
