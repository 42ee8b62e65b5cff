"""A testbed is restored to a snapshot of any moment at which no guest was at work."""

import fcntl
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from pageferry import Testbed
from pageferry.abi import Command
from pageferry.errors import MonitorError, RequestRefused

pytestmark = pytest.mark.needs("snapshot")

MANY = 20


@contextmanager
def saved(bed: Testbed) -> Iterator[str]:
    """A snapshot of now, by its name."""
    name = "now"
    bed.machine.snapshot(name)
    try:
        yield name
    finally:
        bed.machine.drop_snapshot(name)


def unread(bed: Testbed) -> int:
    """Bytes on their way to the console of which the emulator has none."""
    count = bytearray(4)
    fcntl.ioctl(bed.machine.console.source, termios.FIONREAD, count)
    return int.from_bytes(count, "little")


def test_both_guests_answer_after_a_snapshot_of_half_a_line_is_restored(bed: Testbed) -> None:
    bed.machine.console.send("4711 remap 1")
    bed.machine.await_fact(lambda: unread(bed) == 0 or None, "half a line to be read", every=0.001)
    with saved(bed) as name:
        bed.restore(name)
    for guest in bed.guests:
        guest.ping()


def test_both_guests_answer_after_a_snapshot_of_requests_on_their_way_is_restored(
    bed: Testbed,
) -> None:
    a, b = bed.guests
    for _ in range(MANY):
        bed.machine.console.submit(f"remap 1 {a.page(0):#x} 2 {b.window(0):#x}")
    with saved(bed) as name:
        bed.restore(name)
    for guest in bed.guests:
        guest.ping()


def test_a_snapshot_of_a_guest_at_work_is_not_taken_for_a_beginning(bed: Testbed) -> None:
    a = bed.guests[0]
    a.begin(Command.WATCH, a.gva(a.page(0))).await_rounds(10)
    with (
        saved(bed) as name,
        pytest.raises((RequestRefused, MonitorError), match=r"still at work|in guest-mode"),
    ):
        bed.restore(name)


def test_two_threads_that_restore_at_once_take_turns(bed: Testbed) -> None:
    errors: list[BaseException] = []

    def restore() -> None:
        try:
            for _ in range(MANY):
                bed.restore()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [Thread(target=restore) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for guest in bed.guests:
        guest.ping()
