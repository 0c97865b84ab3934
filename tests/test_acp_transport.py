"""Lines and messages over bytes, whatever the bytes are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.acp.text import ByteTail, clean, clean_line, clean_tail
from bot.acp.transport import MAX_PARTS, Lines, LineTooLong, parse


@given(st.binary(max_size=400), st.integers(min_value=1, max_value=9))
def test_lines_are_the_same_however_the_bytes_are_cut(data, size):
    lines = Lines(1000)
    got = [line for at in range(0, len(data), size) for line in lines.feed(data[at : at + size])]
    assert [*got, lines.rest()] == data.split(b"\n")


def test_a_line_is_too_long_before_it_ends():
    lines = Lines(10)
    assert list(lines.feed(b"0123456789\n01234")) == [b"0123456789"]
    with pytest.raises(LineTooLong):
        list(lines.feed(b"567890"))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"[1]",
        b"null",
        b'"x"',
        b"{}",
        b'{"id":1.5,"result":1}',
        b'{"id":true,"result":1}',
        b'{"id":[1],"method":"m"}',
        b'{"id":{},"result":1}',
        b'{"id":1,"error":"x"}',
        b'{"method":null}',
        b'{"method":""}',
        b'{"method":"' + b"m" * 300 + b'"}',
        b'{"method":"m","id":' + b"9" * 5000 + b"}",
        b'{"method":"\xff"}',
        b'{"method":"m","params":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"method":"m","params":[' + b"0," * MAX_PARTS + b"0]}",
    ],
)
def test_what_is_no_message_is_none(line):
    assert parse(line) is None


def test_numbers_that_are_no_json_are_dropped():
    assert parse(b'{"method":"m","params":[NaN,Infinity,-Infinity,1]}') == {
        "method": "m",
        "params": [None, None, None, 1],
    }


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(data):
    message = parse(data)
    assert message is None or isinstance(message, dict)


@given(st.text(max_size=300), st.integers(min_value=1, max_value=40))
def test_clean_text_is_bounded_encodable_and_without_controls(text, limit):
    for cleaned in (clean(text, limit), clean_tail(text, limit), clean_line(text, limit)):
        assert len(cleaned) <= limit
        cleaned.encode()
        assert not [
            char for char in cleaned if (ord(char) < 32 and char not in "\n\t") or 0x7F <= ord(char) < 0xA0
        ]
    assert "\n" not in clean_line(text, limit)


def test_colours_and_marks_that_turn_text_around_are_removed():
    assert (
        clean("\x1b[1;31mred\x1b[0m \x1b]0;title\x07\u202eevil\u2066\r\nnext\rlast\ud800", 100)
        == "red evil\nnext\nlast"
    )


def test_what_is_not_text_is_empty():
    assert [clean(value, 9) for value in (None, 7, [], {}, b"x")] == [""] * 5


def test_the_end_of_a_stream_is_kept():
    tail = ByteTail(10)
    for number in range(100):
        tail.feed(b"%d " % number)
    assert tail.text() == "97 98 99"
    tail.feed(b"x" * 1000)
    assert tail.text() == "x" * 10


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_a_notification_with_any_params_is_read_without_raising(params):
    line = json.dumps({"method": "m", "params": params}).encode()
    message = parse(line)
    assert message is not None
    assert message["method"] == "m"
