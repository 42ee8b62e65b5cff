"""The transport to gdb, in front of a stand-in that answers as each test wants."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from threading import Event, Thread, current_thread, main_thread

import pytest

from pageferry.channel import SCALE_VARIABLE, Channel
from pageferry.debugger.process import Gdb
from pageferry.errors import ChannelClosed, DebuggerError, ProtocolError, WaitTimeout
from pageferry.wire.gdbmi import Notice

Heard = Callable[[Notice], None]

BRIEF = 0.1
# Reads commands, "17-verb words" a line; a test adds what happens with each.
STAND_IN = """#!{python}
import os, re, sys
def say(text):
    os.write(1, text.encode())
for line in sys.stdin:
    token, verb = re.match(r"(\\d+)-(\\S+)", line).groups()
{body}
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Gdb]]:
    """Start a stand-in with these lines of Python for each command."""
    with ExitStack() as started:

        def make(*body: str, channel: Channel | None = None, heard: Heard | None = None) -> Gdb:
            program = tmp_path / "gdb"
            indented = "\n".join(f"    {line}" for line in body)
            program.write_text(STAND_IN.format(python=sys.executable, body=indented))
            program.chmod(0o755)

            hear = heard or (lambda notice: None)
            gdb = Gdb(channel or Channel(), [str(program)], fds=(), heard=hear)
            started.callback(gdb.close)
            return gdb

        yield make


def test_an_answer_comes_back_to_its_command(start: Callable[..., Gdb]) -> None:
    gdb = start("say(f'{token}^done,value=\"{verb}\"\\n')")
    assert [gdb.execute(f"-{word}")[0]["value"] for word in "abc"] == list("abc")


def test_answers_out_of_order_come_back_to_theirs(start: Callable[..., Gdb]) -> None:
    begun = Event()
    gdb = start(
        "if verb == 'first': held = token; say('=begun\\n')",
        "else: say(f'{token}^done,value=\"2\"\\n'); say(f'{held}^done,value=\"1\"\\n')",
        heard=lambda _: begun.set(),
    )
    found: list[str] = []
    first = Thread(target=lambda: found.append(gdb.execute("-first")[0]["value"]))
    first.start()
    assert begun.wait(10)
    assert gdb.execute("-second")[0]["value"] == "2"
    first.join()
    assert found == ["1"]


def test_an_answer_that_comes_too_late_is_nobody_s(start: Callable[..., Gdb]) -> None:
    gdb = start(
        "if verb == 'late': held = token",
        'else: say(f\'{held}^done,value="late"\\n{token}^done,value="own"\\n\')',
    )
    with pytest.raises(WaitTimeout, match="gdb's answer to -late"):
        gdb.execute("-late", BRIEF)
    assert gdb.execute("-next")[0]["value"] == "own"


def test_commands_sent_together_have_their_answers_in_turn(start: Callable[..., Gdb]) -> None:
    gdb = start('say(f\'~"{verb}"\\n{token}^done,value="{verb}"\\n\')')
    found = gdb.execute_all(["-a", "-b", "-c"])
    assert [(result.payload["value"], text) for result, text in found] == [(x, x) for x in "abc"]


def test_one_that_is_refused_keeps_none_behind_it_from_being_executed(
    start: Callable[..., Gdb],
) -> None:
    executed = Event()
    gdb = start(
        "if verb == 'bad': say(f'{token}^error,msg=\"No.\"\\n')",
        "else: say(f'={verb}\\n{token}^done\\n')",
        heard=lambda notice: executed.set(),
    )
    with pytest.raises(DebuggerError, match="gdb refused -bad: No"):
        gdb.execute_all(["-bad", "-good"])
    assert executed.is_set()


def test_what_is_printed_meanwhile_comes_with_the_answer(start: Callable[..., Gdb]) -> None:
    gdb = start('say(f\'~"one "\\n~"{verb}"\\n{token}^done\\n\')')
    assert gdb.execute("-a")[1] == "one a"
    assert gdb.execute("-b")[1] == "one b"


def test_an_answer_may_come_in_pieces(start: Callable[..., Gdb]) -> None:
    gdb = start("for c in f'{token}^done,value=\"5\"\\n': say(c)")
    assert gdb.execute("-a")[0] == {"value": "5"}


def test_a_refusal_has_gdb_s_words(start: Callable[..., Gdb]) -> None:
    gdb = start("say(f'{token}^error,msg=\"No symbol.\"\\n')")
    with pytest.raises(DebuggerError, match="gdb refused -x y: No symbol"):
        gdb.execute("-x y")


def test_notices_are_heard_whether_or_not_anybody_waits(start: Callable[..., Gdb]) -> None:
    heard: list[str] = []
    gdb = start(
        "say(f'*stopped,x=\"1\"\\n{token}^done\\n=later\\n')",
        heard=lambda notice: heard.append(notice.kind),
    )
    gdb.execute("-a")
    gdb.execute("-b")
    assert heard[:3] == ["stopped", "later", "stopped"]


def test_a_command_longer_than_a_pipe_arrives_whole(start: Callable[..., Gdb]) -> None:
    gdb = start("say(f'{token}^done,length=\"{len(line)}\"\\n')")
    command = "-write " + "00" * (1 << 17)
    length = int(gdb.execute(command)[0]["length"])
    assert length - len(command) in range(2, 12)  # token and line end


def press_ctrl_c_in_sending(
    gdb: Gdb, command: str, monkeypatch: pytest.MonkeyPatch, *, begun: bool
) -> None:
    def await_fact(fact: Callable[[], object], *_: object, **__: object) -> None:
        if begun:
            fact()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gdb._channel, "await_fact", await_fact)
        gdb.execute(command)


def test_a_command_that_ctrl_c_came_into_the_middle_of_hurts_none_that_follows(
    start: Callable[..., Gdb], monkeypatch: pytest.MonkeyPatch
) -> None:
    gdb = start("say(f'{token}^done,value=\"{verb}\"\\n')")
    long = "-write " + "00" * (1 << 17)
    press_ctrl_c_in_sending(gdb, long, monkeypatch, begun=True)
    press_ctrl_c_in_sending(gdb, long, monkeypatch, begun=True)
    assert [gdb.execute(f"-{word}")[0]["value"] for word in "abc"] == list("abc")


def test_a_command_that_ctrl_c_came_before_is_not_executed(
    start: Callable[..., Gdb], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    gdb = start("say(f'={verb}\\n{token}^done\\n')", heard=lambda it: heard.append(it.kind))
    press_ctrl_c_in_sending(gdb, "-first", monkeypatch, begun=False)
    gdb.execute("-next")
    assert heard == ["next"]


class PressedWhenLeft:
    """A lock at whose first release, by the main thread, Ctrl-C comes."""

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self._pressed = False

    def __enter__(self) -> None:
        self._lock.__enter__()

    def __exit__(self, *_: object) -> None:
        self._lock.__exit__(None, None, None)
        if current_thread() is main_thread() and not self._pressed:
            self._pressed = True
            raise KeyboardInterrupt


def test_a_command_that_ctrl_c_came_to_when_it_was_noted_takes_no_other_s_text(
    start: Callable[..., Gdb], monkeypatch: pytest.MonkeyPatch
) -> None:
    gdb = start("say(f'~\"{verb}\"\\n{token}^done\\n')")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gdb._channel, "lock", PressedWhenLeft(gdb._channel.lock))
        gdb.execute("-first")
    assert gdb.execute("-next")[1] == "next"


def test_an_end_with_a_status_says_what_was_said_last(start: Callable[..., Gdb]) -> None:
    gdb = start("print('out of luck', file=sys.stderr)", "sys.exit(3)")
    with pytest.raises(DebuggerError, match="to -a: gdb exited with status 3: out of luck"):
        gdb.execute("-a")


def test_an_end_by_a_signal_is_named(start: Callable[..., Gdb]) -> None:
    gdb = start("os.kill(os.getpid(), 9)")
    with pytest.raises(DebuggerError, match="to -a: gdb was killed by signal 9"):
        gdb.execute("-a")


def test_its_end_ends_what_waits_for_the_firmware(start: Callable[..., Gdb]) -> None:
    channel = Channel()
    gdb = start("", channel=channel)
    os.kill(gdb.pid, signal.SIGKILL)
    with pytest.raises(DebuggerError, match="a reply: gdb was killed by signal 9"):
        channel.await_fact(lambda: None, "a reply")


def test_an_end_that_was_wanted_is_no_failure(start: Callable[..., Gdb]) -> None:
    channel = Channel()
    start("", channel=channel).close()
    with pytest.raises(WaitTimeout):
        channel.await_fact(lambda: None, "a reply", BRIEF)


@pytest.mark.parametrize(
    "said",
    [
        '{token}^error,msg="Remote connection closed"',
        '=thread-group-exited,id="i1"',
    ],
)
def test_a_lost_stub_is_the_machine_s_failure_not_gdb_s(
    start: Callable[..., Gdb], monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv(SCALE_VARIABLE, "0.05")
    gdb = start(f"say(f'{said}\\n')")
    with pytest.raises(ChannelClosed, match="the debugger's stub was hung up"):
        gdb.execute("-a", 200.0)


def test_closing_twice_is_harmless(start: Callable[..., Gdb]) -> None:
    gdb = start("")
    gdb.close()
    gdb.close()
    with pytest.raises(DebuggerError, match="the debugger is closed"):
        gdb.execute("-a")


def test_an_answer_that_is_no_record_is_a_protocol_error(start: Callable[..., Gdb]) -> None:
    gdb = start("say(f'{token}^done,value=[\"\\\\377\\n')")
    with pytest.raises(ProtocolError, match=r"gdb's line '\d+\^done,value=.* is no record"):
        gdb.execute("-ask")


def test_a_notice_that_lacks_what_belongs_there_ends_every_wait_with_its_line(
    start: Callable[..., Gdb],
) -> None:
    def heard(notice: Notice) -> None:
        assert notice.payload["thread-id"]

    gdb = start("say('*stopped,frame={}\\n')", heard=heard)
    with pytest.raises(DebuggerError, match=r"gdb said '\*stopped,frame=\{\}', .*'thread-id'"):
        gdb.execute("-ask")
