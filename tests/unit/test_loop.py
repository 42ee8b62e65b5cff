"""Deadlines, and the thread of all wires: Ctrl-C, forks, a thread that cannot be started."""

import os
import re
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from pageferry import loop
from pageferry.channel import Channel
from pageferry.errors import ChannelClosed, HarnessError, WaitTimeout
from pageferry.loop import DEFAULT_TIMEOUT, SCALE_VARIABLE, Deadline, on_loop, the_loop

SOON = 0.05
LONG = 30.0


def thread_name() -> str:
    return threading.current_thread().name


# Deadlines


def test_without_a_timeout_a_deadline_is_the_default() -> None:
    assert Deadline.after(None).seconds == DEFAULT_TIMEOUT


def test_one_factor_scales_every_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SCALE_VARIABLE, "2.5")
    assert Deadline.after(4).seconds == 10


def test_a_deadline_that_is_passed_on_is_not_scaled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SCALE_VARIABLE, "2.5")
    deadline = Deadline.after(4)
    assert Deadline.after(deadline) is deadline


def test_what_is_left_of_a_deadline_is_never_negative() -> None:
    assert Deadline.exactly(-1).left == 0


@pytest.mark.parametrize("timeout", [float("nan"), float("inf"), -5, 1e300, "x"])
def test_a_timeout_that_is_no_time_is_named(timeout: float) -> None:
    with pytest.raises(HarnessError, match=re.escape(f"timeout={timeout!r} is no number")):
        Deadline.after(timeout)


@pytest.mark.parametrize("scale", ["abc", "nan", "inf", "-1", "0", ""])
def test_a_scale_that_is_no_factor_is_named(monkeypatch: pytest.MonkeyPatch, scale: str) -> None:
    monkeypatch.setenv(SCALE_VARIABLE, scale)
    with pytest.raises(HarnessError, match=f"{SCALE_VARIABLE}='{scale}' is no factor"):
        Deadline.after(1)


@pytest.mark.parametrize("scale", ["1e300", "1e-300"])
def test_every_wait_can_be_waited_whatever_the_scale(
    monkeypatch: pytest.MonkeyPatch, scale: str
) -> None:
    monkeypatch.setenv(SCALE_VARIABLE, scale)
    assert Channel().await_fact(lambda: 5, "five", 1e9) == 5
    assert threading.Event().wait(min(Deadline.after(1e9).left, SOON)) is False


# Ctrl-C


@contextmanager
def busy_loop() -> Iterator[Callable[[], None]]:
    """The thread is at something until what this gives is called, at the latest at the end."""
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(LONG)

    with ThreadPoolExecutor(1) as executor:
        executor.submit(on_loop, work)
        assert begun.wait(LONG)
        try:
            yield release.set
        finally:
            release.set()


@contextmanager
def ctrl_c() -> Iterator[Callable[[], None]]:
    """What this gives is as if somebody had pressed it."""
    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        yield lambda: signal.pthread_kill(main, signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_ctrl_c_is_raised_when_the_call_it_interrupts_has_ended() -> None:
    begun, release = threading.Event(), threading.Event()
    ended: list[bool] = []

    def call() -> None:
        begun.set()
        release.wait(LONG)
        ended.append(True)

    with ctrl_c() as press, ThreadPoolExecutor(1) as executor:

        def press_twice() -> None:
            assert begun.wait(LONG)
            press()
            press()
            threading.Timer(SOON, release.set).start()

        executor.submit(press_twice)
        with pytest.raises(KeyboardInterrupt):
            on_loop(call)
        assert ended == [True]


def test_a_call_that_had_not_begun_when_ctrl_c_came_never_begins() -> None:
    done: list[bool] = []
    with ctrl_c() as press, busy_loop():
        timer = threading.Timer(SOON, press)
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            on_loop(lambda: done.append(True))
        timer.join()
    on_loop(lambda: None)
    assert done == []


def test_a_loop_that_does_not_get_to_a_call_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "DEFAULT_TIMEOUT", SOON)
    with busy_loop(), pytest.raises(WaitTimeout, match="the thread of all wires to take a call"):
        on_loop(lambda: None)


def test_a_call_from_the_thread_itself_does_not_wait_for_itself() -> None:
    assert on_loop(lambda: on_loop(thread_name)) == "pageferry wires"


# Forks


def in_fork(work: Callable[[], str]) -> str:
    """What `work` gives or raises in a process that was forked from this one."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = work()
        except BaseException as error:  # noqa: BLE001 - told to the parent, in its words
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], LONG)
        return os.read(reading, 1 << 16).decode() if ready else "hangs"
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_after_a_fork_there_is_a_loop_again() -> None:
    on_loop(thread_name)
    assert in_fork(lambda: on_loop(thread_name)) == "pageferry wires"


def test_a_fork_while_a_call_was_asked_for_leaves_no_lock_behind() -> None:
    with loop._Loop._lock:
        assert in_fork(lambda: on_loop(thread_name)) == "pageferry wires"


def test_a_forked_process_cannot_wait_for_its_parents_machine() -> None:
    channel, looked = Channel(), []

    def fact() -> bool:
        looked.append(True)
        return True

    def work() -> str:
        try:
            channel.await_fact(fact, "the moon", LONG)
        except ChannelClosed as error:
            return f"{error.ended}, looked {len(looked)} times"
        return "waited"

    assert in_fork(work) == (
        f"the machine is of process {os.getpid()}, which this one was forked from, looked 0 times"
    )


def test_a_forked_process_cannot_have_work_done_on_its_parents_machine() -> None:
    channel = Channel()

    async def work() -> str:
        return "done"

    said = in_fork(lambda: channel.run(work(), "work", LONG))
    assert said.startswith("ChannelClosed: waiting for work: the machine is of process")


def test_a_fork_while_another_thread_holds_a_channel_leaves_no_lock_behind() -> None:
    channel = Channel()
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with channel.lock:
            held.set()
            release.wait(LONG)

    def change() -> str:
        with channel.changing():
            return "changed"

    with ThreadPoolExecutor(1) as executor:
        executor.submit(hold)
        assert held.wait(LONG)
        try:
            assert in_fork(change) == "changed"
        finally:
            release.set()


# A thread that cannot be started


def test_a_thread_that_cannot_be_started_is_told_and_tried_again() -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def work() -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(HarnessError, match=r"thread of all wires: can't start new"):
                on_loop(thread_name)
        return on_loop(thread_name)

    assert in_fork(work) == "pageferry wires"


# A thread that is lost


def say_hello_twice(lose_it: Callable[[], None]) -> str:
    """Over the thread, which is lost in between; what came of the second time, and how fast."""
    on_loop(thread_name)
    lose_it()
    begin = time.monotonic()
    with pytest.raises(HarnessError) as failed:
        on_loop(thread_name)
    return f"{failed.value.ended}, {'late' if time.monotonic() - begin > LONG / 2 else 'at once'}"


def end_the_thread() -> None:
    the_loop().call_soon_threadsafe(the_loop().stop)
    for thread in threading.enumerate():
        if thread.name == "pageferry wires":
            thread.join(LONG)


def test_a_thread_that_has_ended_is_told_at_once() -> None:
    said = in_fork(lambda: say_hello_twice(end_the_thread))
    assert said == "the thread of all wires has ended, at once"


def close_what_wakes_it() -> None:
    assert loop._Loop._running is not None
    os.close(loop._Loop._running.fd)


def put_a_file_in_its_place() -> None:
    assert loop._Loop._running is not None
    with open(os.devnull) as file:
        os.dup2(file.fileno(), loop._Loop._running.fd)


def begin_another_loop_in_its_place() -> None:
    """As after os.closerange, which takes all that the loop has."""
    assert loop._Loop._running is not None
    other = select.epoll()
    os.dup2(other.fileno(), loop._Loop._running.fd)
    for fd in loop._Loop._running.files:
        if fd != loop._Loop._running.fd:
            os.close(fd)


@pytest.mark.parametrize(
    "lose_it",
    [close_what_wakes_it, put_a_file_in_its_place, begin_another_loop_in_its_place],
)
def test_a_thread_that_cannot_be_woken_is_told_at_once(lose_it: Callable[[], None]) -> None:
    said = in_fork(lambda: say_hello_twice(lose_it))
    lost = r"cannot be woken: somebody closed its descriptor \d+"
    # It has ended if it was not yet asleep, and found nothing to sleep on.
    assert re.fullmatch(rf"the thread of all wires ({lost}|has ended), at once", said)
