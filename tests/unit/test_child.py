"""Programs that cannot outlive this process. The program here is Python itself."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BufferedReader, FileIO
from pathlib import Path

import pytest

from pageferry.channel import SCALE_VARIABLE, Channel, on_loop, open_pipe
from pageferry.child import STDERR_KEPT, Child
from pageferry.errors import WaitTimeout

LONG = 30.0


class Children:
    """Starts Python programs; `exits` has what they were reported to end with."""

    def __init__(self, owner: ExitStack) -> None:
        self.exits: list[tuple[int, str]] = []
        self.output, self._stdout = open_pipe(owner)
        self._stdin, _ = open_pipe(owner)
        self._owner = owner

    def hang_up(self) -> None:
        """Close this end of what the programs write to."""
        self._stdout.close()

    def start(self, *code: str, program: str = sys.executable, fds: tuple[int, ...] = ()) -> Child:
        child = Child(
            Channel(),
            [program, "-S", "-c", "\n".join(code)],
            stdin=self._stdin.fileno(),
            stdout=self._stdout.fileno(),
            fds=fds,
            exited=lambda status, stderr: self.exits.append((status, stderr)),
        )
        self._owner.callback(child.close)
        return child


@pytest.fixture
def children() -> Iterator[Children]:
    on_loop(lambda: None)  # what the loop has open is not counted, in whichever test it begins
    with ExitStack() as owner:
        yield Children(owner)


def descriptors() -> set[str]:
    return {os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.exists()}


def test_its_status_and_its_last_words_are_reported_when_it_ends(children: Children) -> None:
    child = children.start("import sys", "sys.exit('goodbye')")
    assert child.wait(LONG) == 1
    assert children.exits == [(1, "goodbye\n")]


class Slow(list[tuple[int, str]]):
    """To report an exit takes a while."""

    def append(self, exit: tuple[int, str]) -> None:
        threading.Event().wait(0.05)
        super().append(exit)


def test_who_has_waited_for_its_end_finds_it_reported(children: Children) -> None:
    children.exits = Slow()
    assert children.start("").wait(LONG) == 0
    assert children.exits == [(0, "")]


def test_a_signal_is_a_negative_status(children: Children) -> None:
    child = children.start("import os", "os.kill(os.getpid(), 9)")
    assert child.wait(LONG) == -signal.SIGKILL


def test_waiting_for_one_that_runs_on_is_a_timeout(children: Children) -> None:
    child = children.start("import signal", "signal.pause()")
    with pytest.raises(WaitTimeout, match=f"the end of process {child.pid}"):
        child.wait(0.05)


def test_its_output_goes_where_it_was_told(children: Children) -> None:
    children.start("print('hello', flush=True)").wait(LONG)
    assert children.output.readline() == b"hello\n"


def test_it_inherits_the_descriptors_it_was_given_and_no_other(children: Children) -> None:
    with open(os.devnull) as given:
        child = children.start(
            "import os",
            "names = map(int, os.listdir('/proc/self/fd'))",
            "print([n for n in names if n > 2 and os.path.exists(f'/proc/self/fd/{n}')])",
            fds=(given.fileno(),),
        )
        child.wait(LONG)
        assert children.output.readline() == f"[{given.fileno()}]\n".encode()


def test_standard_error_is_drained_and_only_its_end_is_kept(children: Children) -> None:
    child = children.start("import sys", "sys.stderr.write('a' * 1_000_000 + 'end')")
    assert child.wait(LONG) == 0
    assert child.stderr == "a" * (STDERR_KEPT - 3) + "end"


def test_closing_ends_it(children: Children) -> None:
    child = children.start("import signal", "signal.pause()")
    child.close()
    assert child.status == -signal.SIGTERM


def test_one_that_does_not_listen_is_killed(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = children.start(
        "import signal",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "print('deaf', flush=True)",
        "while True: signal.pause()",
    )
    assert children.output.readline() == b"deaf\n"
    monkeypatch.setenv(SCALE_VARIABLE, "0.05")
    child.close()
    assert child.status == -signal.SIGKILL


def test_closing_one_that_has_ended_is_harmless(children: Children) -> None:
    child = children.start("")
    child.wait(LONG)
    child.close()
    child.close()
    assert child.status == 0


def test_nothing_is_open_once_it_has_ended(children: Children) -> None:
    before = descriptors()
    children.start("").wait(LONG)
    assert descriptors() == before


def test_a_program_that_cannot_be_started_leaves_nothing_open(children: Children) -> None:
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        children.start("", program="no such program")
    assert descriptors() == before


WRAPPER = (
    "import subprocess, sys",
    "subprocess.Popen([sys.executable, '-S', '-c', 'import signal; signal.pause()'])",
    "print('started', flush=True)",
)
"""A program that starts another, which has its standard output too."""


def await_no_writer(pipe: FileIO | BufferedReader) -> bool:
    """Whether nobody has the pipe's other end any more."""
    poll = select.poll()
    poll.register(pipe, select.POLLHUP)
    return any(event & select.POLLHUP for _, event in poll.poll(LONG * 1000))


def test_closing_a_wrapper_ends_what_it_has_started(children: Children) -> None:
    child = children.start(*WRAPPER, "import signal", "signal.pause()")
    assert children.output.readline() == b"started\n"
    child.close()
    children.hang_up()
    assert await_no_writer(children.output)


def test_what_a_wrapper_leaves_behind_ends_with_it(children: Children) -> None:
    assert children.start(*WRAPPER).wait(LONG) == 0
    assert children.output.readline() == b"started\n"
    children.hang_up()
    assert await_no_writer(children.output)


def test_a_forked_process_that_closes_it_leaves_it_to_its_parent(children: Children) -> None:
    child = children.start("import signal", "signal.pause()")
    pid = os.fork()
    if pid == 0:
        child.close()
        os._exit(0)
    assert os.waitpid(pid, 0) == (pid, 0)
    with pytest.raises(WaitTimeout):
        child.wait(0.1)


def test_one_whose_start_is_interrupted_is_ended(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(call: Callable[[], object]) -> object:
        monkeypatch.undo()
        on_loop(call)
        raise KeyboardInterrupt

    before = descriptors()
    monkeypatch.setattr("pageferry.child.on_loop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        children.start("import signal", "signal.pause()")
    assert [status for status, _ in children.exits] == [-signal.SIGTERM]
    assert descriptors() == before


def test_nothing_is_open_once_a_script_has_ended(children: Children, tmp_path: Path) -> None:
    before = descriptors()
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 3\n")
    script.chmod(0o700)
    assert children.start(program=str(script)).wait(LONG) == 3
    assert descriptors() == before


PARENT = """
import os, sys
from contextlib import ExitStack
from pageferry.channel import Channel
from pageferry.child import Child

child = Child(
    Channel(),
    sys.argv[1:] or [sys.executable, "-S", "-c", "import signal; signal.pause()"],
    stdin=0, stdout=2, fds=(), exited=lambda *_: None,
)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_what_a_script_has_started_dies_with_its_parent_too(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!{sys.executable} -S\n" + "\n".join((*WRAPPER, "sys.stdin.read()")))
    script.chmod(0o700)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None
        assert isinstance(parent.stderr, BufferedReader)
        assert parent.stdout.readline()  # it has its watcher, which is started after the script
        assert parent.stderr.readline() == b"started\n"
        parent.kill()
        assert await_no_writer(parent.stderr)


def test_it_dies_with_its_parent_even_when_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pidfd = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.kill()
            ended, _, _ = select.select([pidfd], [], [], LONG)
            assert ended == [pidfd]
        finally:
            os.close(pidfd)
