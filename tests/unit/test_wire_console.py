import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageferry.abi import Status
from pageferry.wire.console import (
    LONGEST_LINE,
    ConsoleParser,
    Log,
    Malformed,
    Message,
    Noise,
    Panic,
    Reply,
    parse_line,
)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("< 17 ok", Reply(17, Status.OK)),
        ("< 17 ok frame=0x600000", Reply(17, Status.OK, "frame=0x600000", {"frame": "0x600000"})),
        (
            "< 18 shared the source is not alone",
            Reply(18, Status.SHARED, "the source is not alone"),
        ),
        ("< 0 bad-request help", Reply(0, Status.BAD_REQUEST, "help")),
        ("< 1 ok a=1 and b=2=3", Reply(1, Status.OK, "a=1 and b=2=3", {"a": "1", "b": "2=3"})),
        ("< 1 ok =1", Reply(1, Status.OK, "=1")),
        ("< 17 fine", Malformed(17, "< 17 fine")),
        ("< 17", Malformed(None, "< 17")),
        ("< -1 ok", Malformed(None, "< -1 ok")),
        ("< ² ok", Malformed(None, "< ² ok")),
        ("<  17 ok", Malformed(None, "<  17 ok")),
        ("# a log line", Log("a log line")),
        ("#", Log("")),
        ("! panic main.c:12 cpu=0", Panic("main.c:12 cpu=0")),
        ("! panic", Panic("")),
        ("! panicking", Noise("! panicking")),
        ("#define", Noise("#define")),
        ("", Noise("")),
        ("SeaBIOS (version 1.16)", Noise("SeaBIOS (version 1.16)")),
    ],
)
def test_a_line_means_what_its_beginning_says(line: str, message: Message) -> None:
    assert parse_line(line) == message


STREAM = (
    b"noise\r\n# ready\n< 17 ok frame=0x1\r\n\n! panic main.c:1 \xc3\xa9\n"
    + b"z" * (2 * LONGEST_LINE + 10)
    + b"\n< 18 busy\n< 19 o"
)


def test_every_split_in_two_gives_the_same_messages() -> None:
    whole = ConsoleParser().feed(STREAM)
    for cut in range(len(STREAM) + 1):
        parser = ConsoleParser()
        assert parser.feed(STREAM[:cut]) + parser.feed(STREAM[cut:]) == whole


def test_a_byte_at_a_time_gives_the_same_messages() -> None:
    parser = ConsoleParser()
    found = [it for byte in STREAM for it in parser.feed(bytes([byte]))]
    assert found == ConsoleParser().feed(STREAM)


@given(st.lists(st.binary(max_size=40)))
def test_no_bytes_can_upset_the_parser_and_no_split_matters(parts: list[bytes]) -> None:
    parser = ConsoleParser()
    assert [it for part in parts for it in parser.feed(part)] == ConsoleParser().feed(
        b"".join(parts)
    )


def test_a_message_comes_when_its_line_has_ended_and_not_before() -> None:
    parser = ConsoleParser()
    assert parser.feed(b"< 17 ok") == []
    assert parser.rest == "< 17 ok"
    assert parser.feed(b"\n") == [("< 17 ok", Reply(17, Status.OK))]
    assert parser.rest == ""


def test_an_overlong_line_is_noise_in_parts_whatever_its_parts_look_like() -> None:
    line = b"# " + b"z" * (LONGEST_LINE - 2) + b"! panic"
    messages = [message for _, message in ConsoleParser().feed(line + b"\n# next\n")]
    assert messages == [Noise(line[:LONGEST_LINE].decode()), Noise("! panic"), Log("next")]


def test_a_line_of_the_greatest_length_is_a_message() -> None:
    line = b"# " + b"z" * (LONGEST_LINE - 2)
    assert ConsoleParser().feed(line + b"\n") == [(line.decode(), Log(line[2:].decode()))]


def test_the_parser_never_holds_more_than_one_line() -> None:
    parser = ConsoleParser()
    for _ in range(100):
        parser.feed(b"z" * LONGEST_LINE)
    assert len(parser.rest) <= LONGEST_LINE
