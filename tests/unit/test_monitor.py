"""The monitor's wire against a peer that the test plays, or that does nothing at all."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from pageferry.address import HPA
from pageferry.channel import SCALE_VARIABLE, Channel
from pageferry.errors import ChannelClosed, MonitorError, ProtocolError, WaitTimeout
from pageferry.monitor import Monitor, MonitorMemory

AT_ONCE = 10.0
"""Seconds: far below the scaled deadline of a close, and enough for a busy machine."""


@pytest.fixture
def monitor() -> Monitor:
    return Monitor(Channel(), lambda event: None)


@pytest.fixture
def peer(monitor: Monitor) -> Iterator[socket.socket]:
    """The other end, which stays open."""
    with monitor.far_end.dup() as peer:
        yield peer


def test_a_peer_that_says_nothing_does_not_hold_up_the_end(
    monitor: Monitor, peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WaitTimeout, match="the monitor's greeting"):
        monitor.connect(0.05)
    monkeypatch.setenv(SCALE_VARIABLE, "10")
    start = time.monotonic()
    monitor.close()
    assert time.monotonic() - start < AT_ONCE
    assert peer.recv(1) == b""


def test_a_monitor_that_was_never_connected_can_be_closed(
    monitor: Monitor, peer: socket.socket
) -> None:
    monitor.close()
    assert peer.recv(1) == b""


def test_what_the_library_complains_of_is_noted_and_logged_nowhere(
    monitor: Monitor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SCALE_VARIABLE, "0.02")  # how soon it is told after that is scaled too
    monitor.far_end.close()
    with pytest.raises(ChannelClosed, match="the monitor was hung up"):
        monitor.connect(1000)
    monkeypatch.undo()
    told = monitor._channel.journal.entries(wires=["qmp"])
    assert any("Failed to receive Greeting" in it.text for it in told if it.way == "#")
    assert caplog.records == []
    monitor.close()


def test_an_end_that_does_not_come_replaces_no_better_error(
    monitor: Monitor, peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait_in_vain(*_: object, **__: object) -> None:
        raise WaitTimeout("the monitor's end", 2)

    with monkeypatch.context() as patch:
        patch.setattr(monitor._channel, "run", wait_in_vain)
        patch.setattr(monitor, "_close", lambda: None)
        monitor.close()
    monitor.close()


# Answers that are QMP, and not what QEMU says


class Played:
    """A peer that shakes hands, and then answers each command with the next of `answers`."""

    STAMP = {"seconds": 0, "microseconds": 0}  # noqa: RUF012 - of the class on purpose

    def __init__(self, wire: socket.socket) -> None:
        self.answers: list[Any] = [{}]
        self.events: list[dict[str, Any]] = []
        self._wire = wire
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def _play(self) -> None:
        version = {"major": 7, "minor": 2, "micro": 22}
        self._say({"QMP": {"version": {"qemu": version, "package": ""}, "capabilities": []}})
        while command := self._wire.recv(4096):  # one at a time: each waits for its answer
            answer = self.answers.pop(0)
            for event in self.events:
                self._say({**event, "timestamp": self.STAMP})
            self._say({"return": answer, "id": json.loads(command).get("id")})

    def _say(self, message: object) -> None:
        with suppress(ConnectionError):  # a test may have what it wants before it hears all
            self._wire.sendall(json.dumps(message).encode() + b"\r\n")

    def end(self) -> None:
        self._thread.join()


@pytest.fixture
def played(monitor: Monitor, peer: socket.socket) -> Iterator[Played]:
    played = Played(peer)
    monitor.connect()
    yield played
    monitor.close()
    played.end()


ODD = [None, 5, "a word", [], [5], {}, {"running": "yes"}, {"qemu": 5}]


@pytest.mark.parametrize("answer", ODD, ids=str)
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda it: it.member("query-status", "running", bool), id="member"),
        pytest.param(lambda it: it.member("query-version", "qemu", dict), id="object"),
        pytest.param(lambda it: MonitorMemory(it, 0).read(HPA(0), 8), id="memory"),
    ],
)
def test_an_answer_of_another_kind_is_a_protocol_error(
    monitor: Monitor, played: Played, ask: Callable[[Monitor], object], answer: object
) -> None:
    played.answers.append(answer)
    with pytest.raises(ProtocolError, match="the monitor"):
        ask(monitor)


def test_of_many_lines_an_answer_that_is_no_text_is_a_protocol_error(
    monitor: Monitor, played: Played
) -> None:
    played.answers.append(5)
    with pytest.raises(ProtocolError, match="human-monitor-command info version is no str: 5"):
        monitor.human_all(["info version"])


@pytest.mark.parametrize("jobs", [None, 5, {}, [5], [None]], ids=str)
def test_jobs_that_are_none_are_a_protocol_error(
    monitor: Monitor, played: Played, jobs: object
) -> None:
    played.events.append(job("job1", "concluded"))
    played.answers += [{}, jobs, {}]
    with pytest.raises(ProtocolError, match="the monitor's answer to query-jobs is no"):
        monitor.run_job("snapshot-save", {})


def test_a_job_s_own_error_is_told(monitor: Monitor, played: Played) -> None:
    played.events.append(job("job1", "concluded"))
    played.answers += [{}, [{}, {"id": "job1", "error": "no room"}], {}]
    with pytest.raises(MonitorError, match="no room"):
        monitor.run_job("snapshot-save", {})


@pytest.mark.parametrize("name", [5, None, ["job1"], {}], ids=str)
def test_an_event_with_members_of_another_kind_is_a_protocol_error(
    monitor: Monitor, played: Played, name: object
) -> None:
    played.events.append(job(name, "concluded"))
    played.answers += [{}, {}, {}]
    with pytest.raises(ProtocolError, match="the monitor sent no event"):
        monitor.run_job("snapshot-save", {})


def job(name: object, status: str) -> dict[str, Any]:
    return {"event": "JOB_STATUS_CHANGE", "data": {"id": name, "status": status}}
