"""Streams are read in passing: however they are cut up, the same events are found and no key gets through."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.gateway import seen
from bot.gateway.redaction import MARK, Redactor, spellings
from bot.gateway.seen import EventStream
from storage import Secret

STREAM = (
    b": a comment\r\nevent: x\r\ndata: one\r\n\r\n\r\ndata:two\ndata: lines\n\nid: 4\rdata: three\r\r"
    b"data: \xc3\xa9\n\ndatax: none\n\ndata: last"
)
EVENTS = [b"one", b"two\nlines", b"three", b"\xc3\xa9", b"last"]
KEY = "sk-sk-aab/aab+0123"
PARTS = (KEY.encode(), KEY[:9].encode(), KEY[9:].encode())


def pieces(whole: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    return [whole[start:end] for start, end in itertools.pairwise(places)]


@given(cuts=st.lists(st.integers(0, 10_000), max_size=40))
def test_the_same_events_are_found_wherever_a_stream_is_cut(cuts: list[int]) -> None:
    events = EventStream()
    found = [data for piece in pieces(STREAM, cuts) for data in events.feed(piece)]
    assert [*found, *events.end()] == EVENTS


@pytest.mark.parametrize("head", [b"data: ", b"x", b"data: x\ndata: "])
def test_an_event_beyond_the_bound_is_passed_over_and_the_next_is_found(
    monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(seen, "EVENT_BYTES", 100)
    events = EventStream()
    for _ in range(50):
        assert list(events.feed(head + b"y" * 50)) == []
    assert len(events._line) <= 100
    assert list(events.feed(b"\n\ndata: short\n\n")) == [b"short"]


@pytest.mark.proof("budgets")
@given(
    parts=st.lists(st.sampled_from([*PARTS, b"s", b"x"]), max_size=8),
    cuts=st.lists(st.integers(0, 10_000), max_size=40),
)
def test_a_key_is_taken_out_wherever_a_stream_is_cut_and_all_else_is_left(
    parts: list[bytes], cuts: list[int]
) -> None:
    whole, redactor = b"".join(parts), Redactor(spellings(Secret(KEY)))
    passed = b"".join(redactor.feed(piece) for piece in pieces(whole, cuts)) + redactor.end()
    assert passed == whole.replace(KEY.encode(), MARK)


def test_nothing_is_held_back_that_cannot_be_the_beginning_of_a_key() -> None:
    redactor = Redactor(spellings(Secret(KEY)))
    assert redactor.feed(b"data: {}\n\n") == b"data: {}\n\n"
    assert (redactor.feed(b"see sk-"), redactor.feed(b"x")) == (b"see ", b"sk-x")


def test_a_key_is_known_in_other_spellings_and_a_short_one_is_no_key() -> None:
    assert b"sk-sk-aab%2Faab%2B0123" in spellings(Secret(KEY))
    assert KEY.encode().hex().encode() in spellings(Secret(KEY))
    assert spellings(Secret("short")) == spellings(None) == ()
