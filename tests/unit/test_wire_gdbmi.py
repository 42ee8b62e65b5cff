"""gdb's records from bytes, cut anywhere, and arguments quoted for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageferry.wire.gdbmi import MiParser, Notice, Record, Result, Text, parse, quoted, unescape

SAID = (
    b'~"GNU gdb\\n"\n(gdb) \n12^done,value="5"\n*stopped,reason="breakpoint-hit",bkptno="1"\n'
    b'=breakpoint-deleted,id="1"\n13^error,msg="No symbol \\"x\\" in current context."\n(gdb) \n'
)
RECORDS: list[Record] = [
    Text("console", '~"GNU gdb\\n"'),
    Result("done", '12^done,value="5"', 12),
    Notice("stopped", '*stopped,reason="breakpoint-hit",bkptno="1"'),
    Notice("breakpoint-deleted", '=breakpoint-deleted,id="1"'),
    Result("error", '13^error,msg="No symbol \\"x\\" in current context."', 13),
]


def fed(*pieces: bytes) -> list[Record]:
    parser = MiParser()
    return [record for piece in pieces for _, record in parser.feed(piece)]


def test_every_line_but_the_prompt_is_a_record() -> None:
    assert fed(SAID) == RECORDS


@pytest.mark.parametrize("at", range(len(SAID) + 1))
def test_bytes_may_be_cut_anywhere(at: int) -> None:
    assert fed(SAID[:at], SAID[at:]) == RECORDS


def test_a_line_that_has_not_ended_is_no_record_yet() -> None:
    assert fed(b"12^done") == []


def test_a_record_comes_with_its_line() -> None:
    assert [line for line, _ in MiParser().feed(b"12^done\r\n")] == ["12^done"]


def test_what_a_notice_says_can_be_asked() -> None:
    notice = parse('*stopped,reason="signal-received",frame={addr="0x1",args=[]},thread-id="2"')
    assert isinstance(notice, Notice)
    assert notice.payload["frame"] == {"addr": "0x1", "args": []}
    assert notice.payload["thread-id"] == "2"


def test_a_notice_that_says_nothing_has_an_empty_payload() -> None:
    notice = parse("=cmd-param-changed")
    assert isinstance(notice, Notice)
    assert notice.payload == {}


def test_what_a_result_says_can_be_asked() -> None:
    result = parse('13^error,msg="No symbol \\"x\\" in current context."')
    assert isinstance(result, Result)
    assert result.payload == {"msg": 'No symbol "x" in current context.'}


def test_a_result_that_says_nothing_has_an_empty_payload() -> None:
    result = parse("7^running")
    assert isinstance(result, Result)
    assert (result.token, result.kind, result.payload) == (7, "running", {})


def test_a_result_need_not_have_a_token() -> None:
    assert parse("^done") == Result("done", "^done", None)


@given(st.binary(min_size=1, max_size=64), st.integers(0, 1 << 48))
def test_memory_in_one_piece_is_what_the_general_parser_makes_of_it(data: bytes, at: int) -> None:
    part = f'begin="{at:#x}",offset="0x0",end="{at + len(data):#x}",contents="{data.hex()}"'
    short = parse(f"9^done,memory=[{{{part}}}]")
    long = parse(f"9^done,memory=[{{{part}}}],x=[]")
    assert isinstance(short, Result)
    assert isinstance(long, Result)
    for key in ("begin", "contents"):
        assert short.payload["memory"][0][key] == long.payload["memory"][0][key]
    assert (short.token, short.kind) == (9, "done")


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_a_value_is_what_the_general_parser_makes_of_it(text: str) -> None:
    short = parse(f"9^done,value={quoted(text)}")
    long = parse(f"9^done,value={quoted(text)},x=[]")
    assert isinstance(short, Result)
    assert isinstance(long, Result)
    assert short.payload["value"] == long.payload["value"] == text


@pytest.mark.parametrize(
    ("line", "stream", "text"),
    [
        ('~"a \\"b\\"\\n"', "console", 'a "b"\n'),
        ('&"info x\\n"', "log", "info x\n"),
        ('@"booting"', "target", "booting"),
        ('~""', "console", ""),
        ("Segmentation fault", "output", "Segmentation fault"),
    ],
)
def test_what_gdb_says_to_people_is_text_of_a_stream(line: str, stream: str, text: str) -> None:
    found = parse(line)
    assert found == Text(stream, line)
    assert isinstance(found, Text)
    assert found.text == text


def test_the_prompt_is_nothing() -> None:
    assert parse("(gdb) ") is None


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_what_was_quoted_is_read_back(text: str) -> None:
    assert unescape(quoted(text)[1:-1]) == text


@pytest.mark.parametrize("text", ["a\nb", "a\rb"])
def test_a_command_of_two_lines_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a command is one line"):
        quoted(text)
