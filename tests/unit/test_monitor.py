"""The monitor's wire against a peer that the test plays, or that does nothing at all."""

import socket
import time
from collections.abc import Iterator

import pytest

from pageferry.channel import SCALE_VARIABLE, Channel
from pageferry.errors import WaitTimeout
from pageferry.monitor import Monitor

AT_ONCE = 5.0
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
