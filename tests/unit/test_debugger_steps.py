"""How the debugger steps and goes on, in front of a gdb that is played."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pageferry.channel import Channel
from pageferry.debugger import Debugger
from pageferry.debugger.steps import STEPS

# A machine of one CPU that goes from one of `stops` to the next whenever it is let run, and
# at their end runs. Each is gdb's reason, the program counter, and the one register.
PLAYED = """#!{python}
import re, sys
stops = {stops!r}
register, counter, done = 0, 0x1000, []
def stopped(reason, counter):
    frame = f'frame={{{{addr="{{counter:#x}}",func="f",args=[]}}}},thread-id="1"'
    return f"*stopped,{{reason}}{{frame}}\\n"
for line in sys.stdin:
    token, verb = re.match(r"(\\d+)-(\\S+)", line).groups()
    answer, then = "done", ""
    if verb == "target-select":
        answer, then = "connected", stopped("", 0x1000)
    elif verb == "thread-info":
        answer += ',threads=[{{id="1",target-id="1"}}]'
    elif verb == "data-list-register-names":
        answer += ',register-names=["r0","pc"]'
    elif verb == "data-list-register-values":
        values = enumerate([register, counter])
        told = [f'{{{{number="{{number}}",value="{{it:#x}}"}}}}' for number, it in values]
        answer += f',register-values=[{{",".join(told)}}]'
    elif changed := re.search(r"\\$pc = (\\w+)", line):
        answer, counter = answer + ',value="0"', int(changed[1], 0)
    elif verb == "data-evaluate-expression":
        answer += ',value="42"'
        done.append("value")
    elif verb == "what-was-done":
        answer += f',value="{{" ".join(done)}}"'
    elif verb.startswith("exec-"):
        done.append(verb.removeprefix("exec-"))
        answer, then = "running", '*running,thread-id="all"\\n'
        if stops:
            reason, counter, register = stops.pop(0)
            then += stopped(reason, counter)
    print(f"{{token}}^{{answer}}\\n{{then}}", end="", flush=True)
"""

STEPPED = 'reason="end-stepping-range",'
HIT = 'reason="breakpoint-hit",disp="keep",bkptno="3",'
OTHER_HIT = 'reason="breakpoint-hit",disp="keep",bkptno="4",'
WATCHED = 'reason="watchpoint-trigger",wpt={number="5",exp="x"},value={old="1",new="2"},'
INTERRUPTED = 'reason="signal-received",signal-name="SIGINT",'
STARTS, IDS = (HIT, STEPPED, INTERRUPTED), ("at-breakpoint", "stepped", "interrupted")
OTHERS, OTHER_IDS = (OTHER_HIT, WATCHED, INTERRUPTED), ("breakpoint", "watchpoint", "signal")
BEFORE, AFTER = (0x1000, 0), (0x1004, 0)

Stops = list[tuple[str, tuple[int, int]]]
Play = Callable[[Stops], Debugger]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """gdb, with a machine that has come to the first of the stops."""
    with ExitStack() as started:

        def make(stops: Stops) -> Debugger:
            program = tmp_path / "gdb"
            said = [(reason, *where) for reason, where in stops]
            program.write_text(PLAYED.format(python=sys.executable, stops=said))
            program.chmod(0o755)
            gdb = Debugger(Channel(), "kernel", "stub", program=str(program))
            started.callback(gdb.kill)
            gdb.cont()
            gdb.wait()
            return gdb

        yield make


def done(gdb: Debugger) -> list[str]:
    """What has let the machine run, and told a value, since it came to the first stop."""
    return str(gdb.execute("-what-was-done")["value"]).split()[1:]


STEP = "step-instruction"


@pytest.mark.parametrize("first", STARTS, ids=IDS)
def test_a_step_is_taken_once(play: Play, first: str) -> None:
    gdb = play([(first, BEFORE), (STEPPED, AFTER)])
    assert gdb.step_instruction().frame.address == AFTER[0]
    assert done(gdb) == [STEP]


def test_a_step_that_changed_nothing_is_taken_again(play: Play) -> None:
    gdb = play([(STEPPED, BEFORE), (STEPPED, BEFORE), (STEPPED, BEFORE), (STEPPED, AFTER)])
    assert gdb.step_instruction().frame.address == AFTER[0]
    assert done(gdb) == [STEP] * 3


def test_a_step_that_changed_only_a_register_was_taken(play: Play) -> None:
    gdb = play([(STEPPED, BEFORE), (STEPPED, (BEFORE[0], 1)), (STEPPED, AFTER)])
    assert gdb.step_instruction().frame.address == BEFORE[0]
    assert done(gdb) == [STEP]


def test_a_step_off_a_breakpoint_that_only_hit_it_again_is_taken_again(play: Play) -> None:
    gdb = play([(HIT, BEFORE), (HIT, BEFORE), (STEPPED, AFTER)])
    assert gdb.step_instruction().frame.address == AFTER[0]
    assert done(gdb) == [STEP] * 2


def test_a_step_that_never_changes_anything_is_taken_a_few_times(play: Play) -> None:
    gdb = play([(HIT, BEFORE)] * 20)
    assert gdb.step_instruction().frame.address == BEFORE[0]
    assert done(gdb) == [STEP] * STEPS


@pytest.mark.parametrize("reason", OTHERS, ids=OTHER_IDS)
@pytest.mark.parametrize("first", STARTS, ids=IDS)
def test_a_step_that_something_else_has_ended_is_not_taken_again(
    play: Play, first: str, reason: str
) -> None:
    gdb = play([(first, BEFORE), (reason, BEFORE), (STEPPED, AFTER)])
    assert gdb.step_instruction().frame.address == BEFORE[0]
    assert done(gdb) == [STEP]


def test_a_value_at_a_breakpoint_that_remains_is_told_before_it_is_stepped_off(play: Play) -> None:
    gdb = play([(HIT, BEFORE), (HIT, BEFORE), (STEPPED, AFTER)])
    assert gdb.evaluate_and_cont("6 * 7") == "42"
    assert gdb.running
    assert done(gdb) == ["value", STEP, STEP, "continue"]


def test_a_value_where_no_breakpoint_is_costs_no_step(play: Play) -> None:
    gdb = play([(STEPPED, BEFORE)])
    assert gdb.evaluate_and_cont("6 * 7") == "42"
    assert gdb.running
    assert done(gdb) == ["value", "continue"]


def test_after_an_interruption_a_breakpoint_is_hit_that_stands_there(play: Play) -> None:
    gdb = play([(INTERRUPTED, BEFORE), (INTERRUPTED, BEFORE)])
    gdb.cont()
    assert gdb.evaluate_and_cont("6 * 7") == "42"
    assert done(gdb) == ["jump", "value", "jump"]


def test_a_machine_whose_control_was_taken_goes_on_from_wherever_it_was_put(play: Play) -> None:
    gdb = play([(INTERRUPTED, BEFORE)])
    gdb.take_control()
    gdb.cont()
    assert done(gdb) == ["continue"]


def test_a_breakpoint_that_was_deleted_is_not_stepped_off(play: Play) -> None:
    gdb = play([(HIT, BEFORE)])
    gdb.delete(3)
    gdb.cont()
    assert done(gdb) == ["continue"]


def test_a_breakpoint_that_the_step_off_another_hits_is_a_stop(play: Play) -> None:
    gdb = play([(HIT, BEFORE), (OTHER_HIT, AFTER)])
    assert gdb.evaluate_and_cont("6 * 7") == "42"
    assert not gdb.running
    assert done(gdb) == ["value", STEP]


def test_a_breakpoint_that_was_left_by_a_new_program_counter_is_hit_again(play: Play) -> None:
    gdb = play([(HIT, BEFORE), (HIT, BEFORE)])
    gdb.set_register("pc", AFTER[0])
    gdb.cont()
    assert not gdb.running
    assert done(gdb) == [STEP]
