"""A pytest of its own that is run once, for all tests that only look at what it has left."""

import fcntl
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest


@dataclass(frozen=True)
class Run:
    """A run that is over: the folder it was in, its exit status, and what it has printed."""

    path: Path
    status: int
    said: str

    def evidence(self, test: str) -> Path:
        """What a test has left. It is every reader's: who changes it takes a copy."""
        found = list(self.path.glob(f"build/evidence/*.{test}"))
        assert len(found) == 1, f"{test} has left {found}:\n{self.said}"
        return found[0]

    def reports(self, file: str) -> list[ElementTree.Element]:
        """What the report for programs says of the tests in a file, in their order."""
        cases = ElementTree.parse(self.path / "junit.xml").iter("testcase")
        return [case for case in cases if case.get("classname") == file]

    def outcomes(self, file: str) -> list[str]:
        """How these have ended: passed, failure, error or skipped."""
        return [_outcome(case) for case in self.reports(file)]


def _outcome(case: ElementTree.Element) -> str:
    told = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
    return "+".join(told) or "passed"


@dataclass(frozen=True)
class Once:
    """Runs the tests in a folder of its own, if no other test has done it before.

    shared  a folder that all workers have
    """

    pytester: pytest.Pytester
    arch: str
    shared: Path

    def run(self, name: str, write: Callable[[], object], *words: str) -> Run:
        """The run of that name.

        write  puts the tests into the folder
        words  further ones of the command line
        """
        note = self.shared / f"{name}-{self.arch}.json"
        with note.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not note.exists():
                write()
                done = self.pytester.runpytest_subprocess("--junitxml=junit.xml", *words)
                told = [str(self.pytester.path), int(done.ret), done.stdout.str()]
                note.write_text(json.dumps(told))
        path, status, said = json.loads(note.read_text())
        return Run(Path(path), status, said)
