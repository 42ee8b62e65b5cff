"""Notes of several wires on one clock."""

import select
from contextlib import closing

import pytest

from pageferry.channel import Channel
from pageferry.console import Console
from pageferry.journal import ENTRIES_KEPT, LONGEST_ENTRY, Journal


def told(journal: Journal) -> list[str]:
    return [entry.text for entry in journal.entries()]


def test_what_several_wires_said_comes_in_the_order_of_time() -> None:
    journal = Journal()
    for wire, text in (("console", "a"), ("qmp", "b"), ("console", "c")):
        journal.note(wire, "<", text)
    assert told(journal) == ["a", "b", "c"]
    times = [entry.seconds for entry in journal.entries()]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= journal.now


def test_only_the_wires_asked_for_are_given() -> None:
    journal = Journal()
    journal.note("console", "<", "a")
    journal.note("qmp", ">", "b")
    assert [entry.wire for entry in journal.entries(wires=["qmp", "mi"])] == ["qmp"]


def test_only_what_came_since_is_given() -> None:
    journal = Journal()
    journal.note("console", "<", "before")
    since = journal.now
    journal.note("console", "<", "after")
    assert [entry.text for entry in journal.entries(since)] == ["after"]


def test_a_noisy_wire_pushes_out_only_its_own() -> None:
    journal = Journal()
    journal.note("qmp", ">", "stop")
    for number in range(ENTRIES_KEPT + 5):
        journal.note("console", "<", str(number))
    assert told(journal)[:2] == ["stop", "5"]
    assert len(told(journal)) == ENTRIES_KEPT + 1


def test_of_a_long_text_the_beginning_is_kept_and_the_length_told() -> None:
    journal = Journal()
    journal.note("console", "<", "z" * (LONGEST_ENTRY + 1))
    (text,) = told(journal)
    assert text == "z" * LONGEST_ENTRY + f"... ({LONGEST_ENTRY + 1} characters)"


def test_an_entry_is_one_line_without_control_characters() -> None:
    journal = Journal()
    journal.note("console", "<", "a\x1b[2J\r\nb")
    (entry,) = journal.entries()
    assert str(entry).endswith(r" console < a\x1b[2J\x0d\x0ab")


def test_what_is_sent_is_noted_before_it_can_be_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived: list[bool] = []
    channel = Channel()
    console = Console(channel)

    def note(*_: str) -> None:
        ready = select.select([console.source], [], [], 0)[0]
        arrived.append(bool(ready))

    monkeypatch.setattr(channel.journal, "note", note)
    with closing(console):
        console.send_line("hello")
    assert arrived == [False]
