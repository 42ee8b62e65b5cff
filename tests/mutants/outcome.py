"""What pytest says of a run against a mutant: was the bug caught, or did something else fail?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from xml.etree import ElementTree

from pageferry.protocol import Rule


class Outcome(Enum):
    """How a run ended. Only the first is how it should."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    NOT_BUILT = "not built"
    NOT_BOOTED = "not booted"
    TIMEOUT = "timeout"
    ERROR = "error"


@dataclass(frozen=True)
class Verdict:
    """An outcome, of which test, and why: the oracle's rule, or what was raised."""

    outcome: Outcome
    test: str = ""
    why: str = ""


_RULE = re.compile(rf"^ *({'|'.join(it.name for it in Rule)}): ", re.MULTILINE)
_ASSERTED = re.compile(r"(AssertionError|assert |Failed: DID NOT RAISE)")
_LATE = re.compile(r"(\S*WaitTimeout|Failed: Timeout)")
_NO_BOOT = re.compile(r'failed on setup with ".*(NotReady|FirmwarePanic|QemuDied|MachineReset)')


def _verdict(name: str, kind: str, message: str) -> Verdict:
    if kind == "failure" and _ASSERTED.match(message):
        rule = _RULE.search(message)
        return Verdict(Outcome.CAUGHT, name, rule[1] if rule else "")
    why = message.splitlines()[0] if message else kind
    if _NO_BOOT.match(message):
        return Verdict(Outcome.NOT_BOOTED, name, why)
    return Verdict(Outcome.TIMEOUT if _LATE.search(message) else Outcome.ERROR, name, why)


def read(report: Path) -> dict[str, Verdict]:
    """By name, how each test of a JUnit report ended; a test that passed let the bug survive."""
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = str(case.get("name"))
        found[name] = Verdict(Outcome.SURVIVED, name)
        for kind in ("failure", "error", "skipped"):
            for said in case.iter(kind):
                found[name] = _verdict(name, kind, said.get("message", ""))
    return found
