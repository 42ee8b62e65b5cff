"""The main job: remap, share and copy, each done once, watched, judged and counted.

Two runs. In the *observed* run each mechanism starts from the same snapshot and is
watched from both ends. In the *counted* run, on one CPU under icount, the source guest
reads its own counter before and after the hypercall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median_low
from typing import Any

from ..abi import Operation
from ..observe import Look, Observers
from ..testbed import Answer, Door, Testbed
from ..verdict import Judgement, Scene, Verdict, judge

EXPECTED = {
    Operation.REMAP: Verdict.REMAP,
    Operation.SHARE: Verdict.SHARE,
    Operation.COPY: Verdict.COPY,
}
"""What each mechanism must be judged to be, by those who do not know its name."""

SEED = 0x5EED_0000
"""What the source fills its page with, word by word, before it is given away."""

ROUNDS = 5
"""Hypercalls that are counted for each mechanism; a timer tick may fall into one."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Shown:
    """One mechanism: what was asked, what was seen, what it cost."""

    operation: Operation
    asked: str
    door: Door
    answer: Answer
    before: tuple[Look, Look]
    after: tuple[Look, Look]
    scene: Scene
    judgement: Judgement
    bytes_equal: int
    instructions: int | None

    @property
    def name(self) -> str:
        """remap, share or copy."""
        return self.operation.name.lower()

    @property
    def expected(self) -> bool:
        """Whether the verdict is the one that this mechanism must get."""
        return self.judgement.verdict is EXPECTED[self.operation]


@dataclass(frozen=True)
class Result:
    """All three, and the machine they were seen on."""

    arch: str
    qemu_version: str
    cpus: int
    shown: tuple[Shown, ...]

    @property
    def ok(self) -> bool:
        """Whether every verdict is the expected one."""
        return all(each.expected for each in self.shown)


def run(arch: str, door: Door, progress: Progress, **machine: Any) -> Result:
    """Do all three on two fresh machines. Arguments of `Testbed.start` after `progress`."""
    progress(f"{arch}: counting instructions, one CPU under icount")
    counts = count(arch, **machine)
    progress(f"{arch}: booting two guests")
    with Testbed.start(arch, **machine) as bed:
        shown = []
        for operation in EXPECTED:
            progress(f"{arch}: watching {operation.name.lower()}")
            shown.append(_watch(bed, operation, door, counts[operation]))
        version = bed.machine.qemu_version
    return Result(arch, version, 1, tuple(shown))


def _watch(bed: Testbed, operation: Operation, door: Door, instructions: int) -> Shown:
    bed.restore()
    source, target = bed.guests
    gpa, to = source.page(0), target.window(0)
    source.fill(gpa, SEED)
    observers = Observers(bed, source, gpa, target, to)
    answer = bed.request(operation, source, gpa, target.vm, to, door=door)
    scene = observers.conclude()
    assert observers.after is not None
    asked = f"{operation.name.lower()} {source.vm} {gpa:#x} {target.vm} {to:#x}"
    return Shown(
        operation=operation,
        asked=asked,
        door=door,
        answer=answer,
        before=observers.before,
        after=observers.after,
        scene=scene,
        judgement=judge(scene),
        bytes_equal=_equal_bytes(observers.before[0].data, observers.after[1].data),
        instructions=instructions,
    )


def _equal_bytes(given: bytes | None, received: bytes | None) -> int:
    return sum(a == b for a, b in zip(given or b"", received or b"", strict=False))


def count(arch: str, **machine: Any) -> dict[Operation, int]:
    """Instructions by the guest's own counter around the hypercall: the median of ROUNDS."""
    counts = {}
    with Testbed.start(arch, icount=True, **machine) as bed:
        source, target = bed.guests
        place = 0
        bed.remap(source, source.page(place), target, target.window(place))  # makes the tables
        for operation in EXPECTED:
            rounds = []
            for _ in range(ROUNDS):
                place += 1
                _, report = source.hypercall(
                    operation, source.page(place), target.vm, target.window(place)
                )
                rounds.append(report.instructions)
            counts[operation] = median_low(rounds)
    return counts
