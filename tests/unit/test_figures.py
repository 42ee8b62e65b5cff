"""Figures: their spread, their goals, and what is shown of them."""

import json
from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console

from pageferry.report import figures
from pageferry.report.bench_table import print_bench
from pageferry.report.figures import Bench, Figure, Spread


def bench(*measured: Figure) -> Bench:
    return Bench("pdp11", "7.2.22", 1, 2, 0.5, measured)


def shown(measured: Bench) -> str:
    console = Console(file=StringIO(), width=80)
    print_bench(measured, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    assert Spread.of([5, 1, 4, 2, 3]) == Spread(3, 2, 4, 5)


def test_one_sample_is_all_of_its_spread() -> None:
    assert Spread.of([7]) == Spread(7, 7, 7, 1)


@pytest.mark.parametrize(
    ("goal", "at_least", "met"),
    [
        (3, False, True),
        (2.9, False, False),
        (3, True, True),
        (3.1, True, False),
        (None, False, None),
    ],
)
def test_a_goal_is_met_by_a_median_on_its_side(
    goal: float | None, at_least: bool, met: bool | None
) -> None:
    assert Figure("it", "ms", Spread.of([1, 3, 9]), goal, at_least).met is met


def test_what_could_not_be_measured_has_not_missed_its_goal() -> None:
    absent = Figure("it", "ms", None, 3, why="no gdb")
    assert absent.met is None
    assert bench(absent).met


def test_one_missed_goal_is_enough_for_the_bench() -> None:
    kept, missed = (Figure("it", "ms", Spread.of([3]), goal) for goal in (4, 2))
    assert not bench(kept, missed).met


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which the time between two looks is 1 s, 2 s, 3 s, ..."""

    def moments() -> Iterator[float]:
        moment = 0.0
        for step in range(100):
            yield moment
            moment += step / 2 + 0.5

    ticks = moments()
    monkeypatch.setattr(figures, "perf_counter", lambda: next(ticks))


@pytest.mark.usefixtures("clock")
def test_things_that_are_compared_are_measured_in_turn() -> None:
    called: list[str] = []
    calls = [lambda: called.append("a"), lambda: called.append("b")]
    figures.interleaved(calls, 1, 3)
    assert "".join(called) == "ab" + "ababab"


@pytest.mark.usefixtures("clock")
def test_a_sample_is_the_mean_of_its_batch_in_the_unit_asked_for() -> None:
    assert figures.timed(lambda: None, figures.MILLISECOND, 2, batch=10) == [50, 150]


def test_a_ratio_is_of_pairs_and_not_of_medians() -> None:
    assert figures.ratio([10, 2, 9], [10, 1, 3]).median == 2


def test_the_json_has_every_figure_with_its_goal_and_the_note() -> None:
    found = figures.as_json(bench(Figure("it", "ms", Spread.of([1, 2, 3]), 4)))
    told = json.loads(json.dumps(found))
    (figure,) = told["figures"]
    assert figure["spread"] == {"median": 2, "low": 1.5, "high": 2.5, "n": 3}
    assert (figure["goal"], figure["met"]) == (4, True)
    assert "no hardware times" in told["note"]


def test_a_row_has_the_goal_beside_the_figure() -> None:
    met, missed = Figure("it", "us", Spread.of([3]), 5), Figure("it", "us", Spread.of([7]), 5)
    row, other = (line for line in shown(bench(met, missed)).splitlines() if line.startswith("it"))
    assert row.split() == ["it", "3", "us", "3", "-", "3", "1", "<=", "5", "met"]
    assert other.split()[-1] == "missed"


@pytest.mark.parametrize(
    ("samples", "goal", "at_least", "told"),
    [
        ([1, 3, 9], 5, False, "met?"),
        ([1, 7, 9], 5, False, "missed?"),
        ([1, 3, 9], 5, True, "missed?"),
        ([6, 7, 9], 5, False, "missed"),
        ([6, 7, 9], 5, True, "met"),
        ([5, 5, 5], 5, False, "met"),
    ],
)
def test_a_goal_between_the_quartiles_is_met_or_missed_with_a_question_mark(
    samples: list[float], goal: float, at_least: bool, told: str
) -> None:
    figure = Figure("it", "ms", Spread.of(samples), goal, at_least)
    (row,) = (line for line in shown(bench(figure)).splitlines() if line.startswith("it"))
    assert row.rstrip().endswith(f"= 5 {told}")


def test_the_table_says_what_machine_its_goals_are_for() -> None:
    assert "Goals are for a quiet machine with two CPUs" in " ".join(shown(bench()).split())


def test_what_could_not_be_measured_says_what_is_missing() -> None:
    reason = "a processor would wait for another one that has no turn"
    told = shown(
        bench(Figure("it", "times", Spread.of([3])), Figure("gap", "ms", None, why=reason))
    )
    assert f"gap: not measured, {reason}\n" in told
    assert "times" in told  # the reason takes no room from the columns


def test_the_table_says_that_instructions_are_no_times() -> None:
    assert "no hardware times" in " ".join(shown(bench()).split())
