"""The tree of errors: what each says, and that each survives a trip between processes."""

import pickle
import re

import pytest

from pageferry import errors
from pageferry.abi import Access, Status
from pageferry.address import GPA, GVA, HPA

EXAMPLES: list[Exception] = [
    errors.HarnessError("the bench broke", "a fact", ["line"]),
    errors.WaitTimeout(awaited="the answer to request 17", seconds=30, seen=["a", "b"]),
    errors.NotReady("both guests", 2.5, ["# half way"]),
    errors.QemuMissing("qemu-system-x86_64 is not installed (Debian: qemu-system-x86)"),
    errors.QemuDied(status=-9, stderr="oops\nbad", awaited="a line", seen=("x",)),
    errors.ChannelClosed("the console closed", "a line"),
    errors.ProtocolError("'<< 1' is no message"),
    errors.MonitorError("stop: not now"),
    errors.TargetLacks("monitor"),
    errors.DebuggerError("gdb was killed by signal 9", "the debugger's answer"),
    errors.FirmwarePanic("! panic main.c:7 cpu=0 exit=0x81 out of luck", "an answer"),
    errors.MachineReset("the machine was reset", seen=["# boot"]),
    errors.ImageError("a.out is no ELF"),
    errors.MemoryUnreadable(HPA(0x5000), length=8, why="RAM is 0x0 to 0x4000"),
    errors.GuestReport("it said no"),
    errors.RequestRefused(Status.NOT_POSTED, "0x61000000 is not posted"),
    errors.GuestFault(1, GPA(0x6010_0000), Access.WRITE, "store", vcpu=1),
    errors.GuestException(2, GVA(0xA000_0000), vector=14, vcpu=3),
    errors.GuestStopped(vm=2, reason="triple fault"),
]

GARBAGE = "a\x1b]0;b\x07\x9b2J\tc"


def classes() -> set[type]:
    return {
        it
        for it in vars(errors).values()
        if isinstance(it, type) and issubclass(it, Exception) and not it.__name__.startswith("_")
    }


def named(error: Exception) -> str:
    return type(error).__name__


def test_every_error_has_an_example_here() -> None:
    assert {type(example) for example in EXAMPLES} == classes()


@pytest.mark.parametrize("error", EXAMPLES, ids=named)
def test_an_error_is_the_same_after_pickling(error: Exception) -> None:
    error.add_note("seen in worker 3")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("error", EXAMPLES, ids=named)
def test_an_error_has_exactly_one_of_the_two_roots(error: Exception) -> None:
    roots = [isinstance(error, root) for root in (errors.HarnessError, errors.GuestReport)]
    assert sum(roots) == 1


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn: dict[str, str | None] = {}
    path: dict[int, str] = {}
    for indent, name in re.findall(r"^( {4,8})([A-Z]\w+)\b", errors.__doc__ or "", re.MULTILINE):
        path[len(indent)] = name
        drawn[name] = path.get(len(indent) - 2)
    real = {it.__name__: it.__base__.__name__ for it in classes() if it.__base__}
    assert {name: parent or "_Told" for name, parent in drawn.items()} == real


def test_a_timeout_says_what_was_awaited_for_how_long_and_what_was_seen() -> None:
    error = errors.WaitTimeout("the answer to request 17", 30, ["< 16 ok", "# idle"])
    assert str(error) == (
        "waiting for the answer to request 17: nothing in 30 s\n"
        "last lines seen:\n    < 16 ok\n    # idle"
    )


def test_a_timeout_that_saw_nothing_says_so() -> None:
    assert str(errors.WaitTimeout("a line", 0.5)).endswith("last lines seen: nothing")


def test_a_message_shows_only_the_last_lines() -> None:
    error = errors.WaitTimeout("a line", 1, [f"line {number}." for number in range(100)])
    assert [f"line {n}." in str(error) for n in (79, 80, 99)] == [False, True, True]


@pytest.mark.parametrize(
    "error",
    [
        errors.WaitTimeout("a line", 1, [GARBAGE]),
        errors.QemuDied(1, GARBAGE),
        errors.FirmwarePanic(GARBAGE),
    ],
    ids=named,
)
def test_what_came_from_the_machine_is_shown_without_control_characters(error: Exception) -> None:
    assert r"a\x1b]0;b\x07\x9b2J" + "\tc" in str(error)


def test_an_error_keeps_every_line_it_was_given() -> None:
    assert errors.WaitTimeout("a line", 1, ["x"] * 100).seen == ("x",) * 100


def test_an_error_that_nobody_waited_for_is_only_what_happened() -> None:
    assert str(errors.MonitorError("stop: not now")) == "stop: not now"


def test_a_killed_emulator_is_told_by_its_signal() -> None:
    assert "was killed by signal 9" in str(errors.QemuDied(-9))


def test_an_emulator_that_exits_is_told_by_its_status() -> None:
    assert "exited with status 1" in str(errors.QemuDied(1))


def test_a_dead_emulator_is_quoted() -> None:
    assert "its standard error:\n    no such machine" in str(errors.QemuDied(1, "no such machine"))


def test_unreadable_memory_names_the_range_and_the_reason() -> None:
    error = errors.MemoryUnreadable(HPA(0x5000), 8, "RAM is 0x0 to 0x4000")
    assert str(error) == "no 8 bytes at 0x5000: RAM is 0x0 to 0x4000"


def test_a_refusal_is_told_by_the_name_on_the_console() -> None:
    refusal = errors.RequestRefused(Status.NOT_POSTED, "try later")
    assert str(refusal) == "refused as not-posted: try later"


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (errors.GuestFault(1, GPA(0), Access.READ, vcpu=1), "guest 1.1 faulted"),
        (errors.GuestException(2, GVA(0), 14, vcpu=3), "guest 2.3 took exception 14"),
        (errors.GuestStopped(2, "triple fault", vcpu=1), "guest 2.1 stopped: triple fault"),
        (errors.GuestStopped(2, "triple fault"), "guest 2 stopped: triple fault"),
    ],
    ids=str,
)
def test_a_vcpu_but_the_first_is_named_with_its_guest(error: Exception, start: str) -> None:
    assert str(error).startswith(start)


def test_a_fault_names_the_address_and_the_access() -> None:
    fault = errors.GuestFault(1, GPA(0x6010_0000), Access.WRITE, "store 0x60100000")
    assert str(fault) == "guest 1 faulted at GPA 0x60100000 on WRITE (store 0x60100000)"
