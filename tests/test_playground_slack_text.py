"""Typed text, its raw form, and timestamps: the pure parts."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.playground.slack import richtext
from bot.playground.slack.clock import Clock, is_ts

KNOWN = {"ada": "U1ADA"}.get


@pytest.mark.parametrize(
    ("typed", "raw"),
    [
        ("plain", "plain"),
        ("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d"),
        ("already &lt;b&gt; &amp;", "already &lt;b&gt; &amp;"),
        ("<@U1ADA> <#C1|web> <!here> <https://x.y|x>", "<@U1ADA> <#C1|web> <!here> <https://x.y|x>"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("@ada, hi", "<@U1ADA>, hi"),
        ("@bob and me@ada.example", "@bob and me@ada.example"),
        ("(see https://x.y/a?b=c&d=e).", "(see <https://x.y/a?b=c&amp;d=e>)."),
        ("<javascript:alert(1)>", "&lt;javascript:alert(1)&gt;"),
    ],
)
def test_typed_text_takes_slacks_raw_form(typed, raw):
    assert richtext.raw_form(typed, KNOWN) == raw


@given(st.text(max_size=200))
def test_raw_form_is_stable(typed):
    """Doing it twice changes nothing: what the page sends back from an edit stays as it was."""
    raw = richtext.raw_form(typed, KNOWN)
    assert richtext.raw_form(raw, KNOWN) == raw


@given(st.text(alphabet=st.characters(exclude_characters="@"), max_size=200))
def test_the_rich_text_says_what_was_typed(typed):
    """Put together again, the elements are the typed text, with entities as characters."""
    raw = richtext.raw_form(typed, KNOWN)
    [section] = richtext.rich_text(raw, "b")["elements"]
    parts = [element.get("text") or element.get("url") or "" for element in section["elements"]]
    if all(element["type"] in ("text", "link") for element in section["elements"]):
        assert "".join(parts) == richtext.unescape(raw.replace("<", "").replace(">", ""))


def test_elements_name_users_channels_links_and_broadcasts():
    raw = "<@U1> <#C1> <!channel> <https://x.y|there>"
    elements = richtext.rich_text(raw, "b")["elements"][0]["elements"]
    assert [element for element in elements if element["type"] != "text"] == [
        {"type": "user", "user_id": "U1"},
        {"type": "channel", "channel_id": "C1"},
        {"type": "broadcast", "range": "channel"},
        {"type": "link", "url": "https://x.y", "text": "there"},
    ]


def test_a_mention_is_only_what_names_the_user():
    assert richtext.mentions("hi <@U1> <@U2|two>", "U2")
    assert not richtext.mentions("hi &lt;@U2&gt; @U2", "U2")


def test_a_clock_never_goes_back_behind_what_was_used():
    """Also when the machine's own clock did."""
    future = f"{int(time.time()) + 3600}.000000"
    clock = Clock(future)
    first, second = clock.ts(), clock.ts()
    assert future < first < second
    assert is_ts(first)


@pytest.mark.parametrize("text", ["", "1", "1.0", "1700000000.0001000", "x.000000", "1700000000.000100 "])
def test_only_seconds_with_six_decimals_are_a_timestamp(text):
    assert not is_ts(text)
