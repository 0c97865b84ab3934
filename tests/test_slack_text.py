"""Slack's text forms: what people typed is made plain, and nothing we write is obeyed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.text import code, escape, harmless, is_stop, link, mentions, plain, shorten, spoken_to

ME = "U0THRDSMTH"
UNSEEN = (
    "\u200b\u200d\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufeff\u061c\u00ad\u180e\U000e0041\x00\x1b\x7f"
)
OBEYED = re.compile(r"<[!@#]")

hostile = st.lists(
    st.sampled_from(
        ["<", ">", "&", "!", "@", "#", "|", "`", "*", "channel", "U0ADASAMPL", "&lt;", "\n", " ", *UNSEEN]
    )
    | st.characters(codec="utf-8"),
    max_size=40,
).map("".join)


@given(hostile)
@pytest.mark.proof("output")
def test_what_is_escaped_holds_nothing_that_slack_obeys(text: str) -> None:
    """No markup, no broadcast, no mention; nothing unseen that would turn or hide what is read."""
    shown = escape(text)
    assert "<" not in shown
    assert ">" not in shown
    assert not set(shown) & set(UNSEEN)
    assert not re.search(r"&(?!(amp|lt|gt);)", shown)


@given(hostile)
@pytest.mark.proof("output")
def test_an_agents_markdown_holds_no_mention_or_broadcast(text: str) -> None:
    """Even one that only appears once what is unseen is taken away."""
    shown = harmless(text)
    assert not OBEYED.search(shown)
    assert not OBEYED.search("".join(c for c in shown if c not in UNSEEN))


@pytest.mark.parametrize(
    "attack",
    ["<!channel>", "<!here|here>", "<@U0ADASAMPL>", "<#C0WEBFRONT>", "<\u200b!channel>", "<!everyone"],
)
@pytest.mark.proof("output")
def test_a_broadcast_from_an_agent_is_only_words(attack: str) -> None:
    """Both ways out of the bot."""
    for made in (escape(attack), harmless(attack), code(attack)):
        assert not OBEYED.search(made)
        assert any(word in made for word in ("channel", "here", "U0ADASAMPL", "C0WEBFRONT", "everyone"))


@given(hostile)
def test_escaping_can_be_undone_by_reading(text: str) -> None:
    """A text that went out and is quoted back means the same, but for what nobody could see."""
    assert (
        plain(escape(text), ME)
        == plain("", ME)
        + escape(text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("<@U0THRDSMTH> do it", "do it"),
        ("<@U0THRDSMTH|threadsmith> do it", "do it"),
        ("ask <@U0BENSAMPL> first", "ask <@U0BENSAMPL> first"),
        ("see <#C0WEBFRONT|web> and <#C0WEBFRONT>", "see #web and #C0WEBFRONT"),
        ("open <https://example.com/a?b=1&amp;c=2|the page>", "open https://example.com/a?b=1&c=2"),
        ("mail <mailto:a@example.com|a@example.com>", "mail mailto:a@example.com"),
        ("<!here> <!subteam^S1|@team>", "@here @@team"),
        ("&lt;h1&gt; &amp;amp;", "<h1> &amp;"),
        ("&amp;lt;", "&lt;"),
        ("a\u202eb\u200bc\u0000d\ttab", "abcd\ttab"),
        ("", ""),
    ],
)
def test_what_people_typed_is_made_plain(typed: str, meant: str) -> None:
    """Mentions, channels, links and entities as people mean them; the bot's own mention is gone."""
    assert plain(typed, ME) == meant


def test_who_is_spoken_to_is_who_the_message_begins_with() -> None:
    """A mention further on addresses nobody."""
    assert spoken_to("  <@U0BENSAMPL> look") == "U0BENSAMPL"
    assert spoken_to("look <@U0BENSAMPL>") is None
    assert mentions("<@U0BENSAMPL> and <@U0ADASAMPL|ada>") == ["U0BENSAMPL", "U0ADASAMPL"]


@pytest.mark.parametrize(
    ("text", "stops"),
    [
        ("stop", True),
        (" STOP! ", True),
        ("cancel", True),
        ("stop it", False),
        ("don't stop", False),
        ("", False),
    ],
)
def test_only_a_message_that_says_nothing_else_stops(text: str, stops: bool) -> None:
    assert is_stop(text) is stops


@given(hostile, st.integers(1, 60))
def test_what_is_shortened_never_exceeds_its_limit(text: str, limit: int) -> None:
    """And is left alone when it fits."""
    made = shorten(text, limit)
    assert len(made) <= limit
    assert made == text if len(text) <= limit else made.endswith("…")


@given(hostile)
@pytest.mark.proof("output")
def test_code_is_one_line_in_one_pair_of_backticks(text: str) -> None:
    """Nothing inside ends it early."""
    made = code(text)
    assert made.startswith("`")
    assert made.endswith("`")
    assert made.count("`") == 2
    assert "\n" not in made


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "http://a|b", "https://a>b", "https://a\nb", "ftp://a", "HTTPS://a<b"]
)
@pytest.mark.proof("output")
def test_a_link_that_is_none_is_shown_as_text(url: str) -> None:
    assert link(url, "label") == "label"


@pytest.mark.proof("output")
def test_a_label_cannot_break_out_of_its_link() -> None:
    assert link("https://example.com/?a&b", "x|y> <!here>") == (
        "<https://example.com/?a&amp;b|x¦y&gt; &lt;!here&gt;>"
    )
