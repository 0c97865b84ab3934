"""What a turn's work is called: by a model where one is configured, as before in every other case."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter_kit import metered, opened_state
from model_kit import StandIn, asked_data, failing, stand_in
from session_kit import prompts

from bot.domain import FileChange, Person, Prompt, PromptId, PromptState, Repository, SessionId, ThreadKey
from bot.gateway.own_calls import OwnCalls
from bot.playground import people
from bot.sessions.titles import TITLE_CHARS, Words, one_line, worded
from bot.testing import Botty, Thread

PLAIN = Words("Plain title", "Plain summary.")
FILES = [FileChange("a.txt", "added", 3, 0)]


def named(title: str, summary: str = "It adds a file.") -> str:
    return json.dumps({"title": title, "summary": summary})


@pytest.fixture
async def service() -> AsyncIterator[StandIn]:
    async with stand_in() as service:
        yield service


@pytest.fixture
async def calls(service: StandIn, tmp_path: Path) -> AsyncIterator[OwnCalls]:
    async with opened_state(tmp_path) as state:
        calls = OwnCalls(service.settings(), metered(state))
        yield calls
        await calls.close()


async def words(calls: OwnCalls, text: str = "add a file", files: Any = FILES, said: str = "") -> Words:
    author = Person("U1", "T1", "Ada")
    prompt = Prompt(PromptId(1), SessionId("s"), "slack", "k", author, text, PromptState.RUNNING, 1, 0.0)
    plain = Words(PLAIN.title, said or PLAIN.summary)
    return await worded(calls, prompt, Repository("acme/storefront"), files, plain)


async def test_a_model_s_words_are_taken(service: StandIn, calls: OwnCalls) -> None:
    service.answers = [named("Add a file")]
    assert await words(calls) == Words("Add a file", "It adds a file.", by_model=True)


async def test_it_is_told_what_was_asked_said_and_changed_and_no_more_than_needed(
    service: StandIn, calls: OwnCalls
) -> None:
    service.answers = [named("x")]
    many = [FileChange("d/" * 400 + f"{number}.txt", "modified", number, 1) for number in range(500)]
    await words(calls, "ask " * 20_000, many, "said " * 20_000 + "the end")
    data = asked_data(service.bodies[0])
    assert set(data) == {"repository", "request", "agent", "files"}
    assert data["agent"].endswith("the end")
    assert data["files"][-1] == "and 450 more"
    assert len(json.dumps(data)) < 25_000


@pytest.mark.parametrize("answer", ["nonsense", named(""), named("```\n# "), '{"title": 1}'])
async def test_words_of_no_use_leave_the_plain_title(service: StandIn, calls: OwnCalls, answer: str) -> None:
    service.answers = [answer]
    assert (await words(calls)).title == PLAIN.title


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_a_model_that_fails_leaves_the_plain_words(
    service: StandIn, calls: OwnCalls, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    service.answers = [lambda: failing(status)]
    assert await words(calls) == PLAIN
    assert f"answered {status}" in caplog.text


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Fix the *header*, `closes` #12 and GH-3 for @ada", "Fix the header, closes 12 and 3 for ada"),
        ("## Fix <!channel> [it](https://evil.example)", "Fix !channel it(evil.example)"),
        ("\n\n  Fix it.\nand more", "Fix it"),
        ("Fix\u202e it\u200b\u0000", "Fix it"),
        ("mail ada@example.com about snake_case", "mail ada@example.com about snake_case"),
        ("word " * 50, "word " * 13 + "word…"),
    ],
)
def test_a_title_is_one_plain_line(said: str, title: str) -> None:
    assert one_line(said) == title


@given(st.text(alphabet=st.sampled_from("a @#1<>[]`*|\n\u202e~g-h:/"), max_size=200))
def test_no_title_holds_markup_or_calls_anybody(said: str) -> None:
    title = one_line(said)
    assert len(title) <= TITLE_CHARS
    assert not set(title) & set("`*~<>[]|\n\u202e")
    assert not re.search(r"(?<!\w)@\w|#\d", title)


# -- in the thread -----------------------------------------------------------------------------------


@pytest.fixture
def botty_settings(service: StandIn) -> dict[str, Any]:
    return {"gateway": service.table()}


async def session(botty: Botty, thread: Thread) -> dict[str, Any]:
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    async with botty.bot.house.store.use(key.session_id) as file:
        return await file.session()


async def test_a_pull_request_and_its_session_are_named_by_the_model(service: StandIn, botty: Botty) -> None:
    """The commit as well; a later turn renames neither, and is told of under its own words."""
    service.answers = [
        named("Greet the @visitors, fixes #7", "Adds a **greeting** for @everyone; see #9."),
        named("Say goodbye too", "Adds a farewell."),
    ]
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    [pull] = await botty.pulls()
    assert pull["title"] == "Greet the visitors, fixes 7"
    assert "@everyone" not in pull["body"]
    assert "greeting" in pull["body"]
    assert "#9" not in pull["body"]
    assert pull["commits"][0]["message"].startswith("Greet the visitors, fixes 7\n")
    assert (await session(botty, thread))["title"] == "Greet the visitors, fixes 7"
    await thread.say('create b.txt with "b"')
    await thread.final()
    [pull] = await botty.pulls()
    assert pull["title"] == "Greet the visitors, fixes 7"
    assert "Adds a farewell." in pull["body"]
    assert pull["commits"][1]["message"].startswith("Say goodbye too\n")
    assert (await session(botty, thread))["title"] == "Greet the visitors, fixes 7"
    assert len(service.bodies) == 2


async def test_without_an_answer_all_is_called_as_before(service: StandIn, botty: Botty) -> None:
    service.answers = [lambda: failing(500)]
    thread = await botty.say('create a.txt with "a"')
    assert "Done." in (await thread.final()).text
    [pull] = await botty.pulls()
    assert "a.txt" in pull["title"]
    assert (await session(botty, thread))["title"] == 'create a.txt with "a"'


async def test_a_turn_that_changed_nothing_asks_no_model(service: StandIn, botty: Botty) -> None:
    service.answers = [named("x")]
    thread = await botty.say("wait 0 seconds")
    await thread.final()
    assert not service.bodies
    assert [row["state"] for row in await prompts(botty, thread)] == ["done"]
