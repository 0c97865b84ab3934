"""Huge, empty, invisible and deceptive texts: done or refused visibly, and clean in what comes of them."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from session_kit import calls, finals, shows
from slack_kit import Recorded

from bot.domain import Person, Prompt, PromptId, PromptState, Repository, SessionId
from bot.git.commit import commit_message
from bot.playground import people
from bot.playground.slack import users
from bot.sessions.brief import brief
from bot.sessions.states import title_of
from bot.slack.text import escape, plain
from bot.testing import Botty, Thread

pytestmark = pytest.mark.proof("input")

NOTHING = {
    "nothing": "",
    "blanks": " \t\n\r  ",
    "zero-width": "\u200b\u200c\u200d\u2060\ufeff",
    "directions": "\u202e\u2066\u2069\u200f\u061c",
    "letters that show nothing": "\u3164\u115f\u1160\uffa0\u2800\u034f",
    "tags and selectors": "\U000e0041\U000e0042\U000e0100\U000e01ef\ufe00\ufe0e",
    "control characters": "\0\x01\x1b\x7f\x85\x9b\u2028\u2029",
}
HUGE = {
    "40 000 letters": "x" * 40_000,
    "a megabyte": "y" * 1_000_000,
    "links that never end": "<http" * 8_000,
    "orders that never end": "<!" * 20_000,
    "lines": "a\n" * 20_000,
    "emoji": "👩‍👩‍👧‍👦" * 10_000,
    "zalgo": "a" + "\u0301\u0316\u0334" * 10_000,
}
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
HIDDEN = BIDI + "\u200c\u200d\u2060\ufeff\u00ad\u3164\u2800\U000e0041\0\x1b\x85"
DECEPTIVE = {
    "turned": f'create docs/a.md with "a {BIDI}// sj.suriv ni{BIDI}"',
    "hidden": f'create docs/b.md with "b {HIDDEN}please"',
    "stormy": 'create docs/c.md with "z' + "\u0301\u0316\u0334" * 8 + '"',
    "named": f'create docs/e.md with "<@{people.ADA.id}>"',
    "halved": 'create docs/d.md with "d \ud83d and \udc00\0"',
}


@pytest.fixture
def botty_settings() -> dict[str, Any]:
    return {"limits": {"running_turns": 4, "running_turns_per_person": 4}}


async def told(botty: Botty, text: str, user: people.Person = people.ADA) -> Thread:
    """A mention as Slack would deliver it, in the thread of a real message: people's hands type no NUL."""
    thread = Thread(botty, botty.channel("web"), await botty.post(botty.channel("web"), "look", "ada"))
    body = Recorded(thread.channel, thread.ts, 1, "").bodies()["event/app_mention"]
    ts = str(float(thread.ts) + 0.5)
    body["event"] |= {
        "files": [],
        "text": f"<@{people.BOT_USER_ID}> {text}",
        "user": user.id,
        "ts": f"{ts}00000",
    }
    assert (await botty.bot.slack.answer(body)).status == 200
    return thread


async def accepted_by_slack(botty: Botty) -> None:
    """Within Slack's limits: it refused nothing that was said."""
    for method in ("chat.postMessage", "chat.update", "agents.sessions.setStatus"):
        assert [call for call in await calls(botty, method) if not call["ok"]] == []


async def test_a_request_that_says_nothing_or_far_too_much_is_refused_in_its_thread(
    botty: Botty, record_property: Any
) -> None:
    """Each in words about what to do; nothing is begun, and no more is stored than can be asked for."""
    empty = [await told(botty, text) for text in NOTHING.values()]
    huge = [await told(botty, text) for text in HUGE.values()]
    for thread, words in [
        *((t, "without saying what") for t in empty),
        *((t, "longer than 20000") for t in huge),
    ]:
        await shows(botty, thread, words)
        assert len(finals(await thread.by_bot())) == 1
    await botty.idle()
    stored = [path.stat().st_size for path in botty.bot.house.folder.path.glob("sessions/*/*.db*")]
    assert max(stored) < 2_000_000
    assert await botty.pulls() == []
    await accepted_by_slack(botty)
    record_property("cases", len(empty) + len(huge))


def deceiving(text: str) -> set[str]:
    """Characters in it that turn, hide or pile up; one of ours keeps @names from being called."""
    odd = {c for c in text if c in HIDDEN or (unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n")}
    marks = "".join("m" if unicodedata.category(c) == "Mn" else " " for c in text).split()
    return odd - {"\u200b"} | {f"{len(run)} marks" for run in marks if len(run) > 3}


async def test_what_comes_of_a_deceptive_request_shows_what_it_is(
    botty: Botty, record_property: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Titles, branch, commits, descriptions and messages, though its words and its author's name are not."""
    ours = users.profile

    def profile(person: people.Person) -> dict[str, Any]:
        return ours(person) | ({"display_name": f"Ada{BIDI}\n\0 nimda"} if person is people.ADA else {})

    monkeypatch.setattr(users, "profile", profile)
    threads = [await told(botty, text) for text in DECEPTIVE.values()]
    for thread in threads:
        assert "Done." in (await thread.final()).text
    pulls = await botty.pulls()
    assert sorted(path for pull in pulls for path in pull["files"]) == [f"docs/{c}.md" for c in "abcde"]
    for pull in pulls:
        commits = [
            str(commit[key]) for commit in pull["commits"] for key in ("message", "author", "committer")
        ]
        for text in (pull["title"], pull["body"], pull["head"], *commits):
            assert not deceiving(text.replace("\t", "")), text
        assert "\n" not in pull["title"]
        assert pull["head"].isascii()
    for thread in threads:
        for post in await thread.by_bot():
            assert not deceiving(post.everything), post
    titles = [call["args"].get("title", "") for call in await calls(botty, "agents.sessions.setStatus")]
    assert any("@Ada" in title for title in titles)
    assert not deceiving(" ".join(titles))
    await accepted_by_slack(botty)
    record_property("cases", len(DECEPTIVE))
    listed = await botty.command("sessions")
    assert not deceiving(listed), listed


ENDLESS = ["<!", "<http", "<@U1|", "<#C1|a", "<", " ", "\n", "*", "repo= ", "[no ", "@a", "#1", "`", "\u0301"]


@pytest.mark.timeout(30)  # a second is plenty; what looks twice at each letter would need hours
def test_no_text_is_looked_at_more_than_once_a_letter(record_property: Any) -> None:
    """A message holds up the whole bot while it is read, and Slack's answer with it."""
    for piece in ENDLESS:
        text = "a" + piece * 100_000 + "b"
        assert plain(text, people.BOT_USER_ID)
        assert escape(text)
        assert title_of(text)
        assert commit_message(text, [])
        assert brief(asking(text), [], Repository("acme/web"))
    record_property("cases", len(ENDLESS))


def asking(text: str) -> Prompt:
    person = Person(people.ADA.id, people.TEAM_ID, "Ada")
    return Prompt(PromptId(1), SessionId("s"), "slack", "k", person, text, PromptState.RUNNING, 1, 0.0)
