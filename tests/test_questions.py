"""Questions of a running turn: asked with buttons in its thread, answered by people, closed with its end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from asking_kit import (
    ONCE,
    REJECT,
    asked,
    closed,
    command,
    form,
    labels,
    pick,
    press,
    puppet_settings,
    question,
    session_of,
    told,
    whispered,
    write,
)
from session_kit import finals, prompts, shows

from bot.domain import Person
from bot.errors import UserError
from bot.playground import people
from bot.sessions import Reply, questions, take_reply
from bot.testing import Botty, Thread


@pytest.fixture
def botty_settings(tmp_path: Path) -> dict[str, Any]:
    return puppet_settings(tmp_path / "plugins", denied=[(people.BEN.id, "approve")])


async def summary(thread: Thread) -> str:
    """What the agent said it was answered."""
    return (await thread.final()).everything


# -- permissions ---------------------------------------------------------------------------------


async def test_a_permission_is_asked_with_buttons_and_the_answer_reaches_the_agent(botty: Botty) -> None:
    thread = await told(botty, command("npm test"))
    post = await question(botty, thread)
    assert labels(post) == ["Allow once", "Allow always", "Reject"]
    assert "npm test" in post.everything
    assert "Only people who take part in this thread can answer" in post.everything
    await press(botty, post, thread, "Allow once")
    assert '"optionId": "once"' in await summary(thread)
    assert f"*Allow once*, said <@{botty.person('ada')}>" in (await closed(botty, thread, post)).everything
    assert await thread.status() != "processing"


async def test_what_was_said_before_a_question_stands_above_it_and_the_rest_below(botty: Botty) -> None:
    """And the thread stays one that can be stopped."""
    thread = await told(botty, ["say", "First words."], command("npm test"))
    post = await question(botty, thread)
    assert await thread.status() == "processing"
    await press(botty, post, thread, "Reject")
    await botty.idle()
    order = [each.text for each in await thread.by_bot()]
    places = [next(i for i, text in enumerate(order) if words in text) for words in ("First", "May", '"no"')]
    assert places == sorted(set(places)), order
    async with botty.bot.house.store.use(session_of(thread)) as file:
        types = [event["type"] for event in await file.events()]
    assert types.index("agent.text") < types.index("question.asked")


async def test_always_is_for_the_same_command_and_ends_with_the_request(botty: Botty) -> None:
    """The agent hears "once" each time: what it would remember by itself, nobody here could take back."""
    thread = await told(botty, command("npm test"), command("npm test", number=8), command("ls", number=9))
    await press(botty, await question(botty, thread, "npm test"), thread, "Allow always")
    await press(botty, await question(botty, thread, "ls"), thread, "Reject")
    said = await summary(thread)
    assert (said.count('"optionId": "once"'), said.count('"always"')) == (2, 0)
    await thread.say(json.dumps([command("npm test", [ONCE, REJECT])]))
    post = await question(botty, thread, "npm test")
    assert labels(post) == ["Allow once", "Reject"]
    await press(botty, post, thread, "Reject")
    assert '"optionId": "no"' in await summary(thread)
    assert len(await asked(thread)) == 3


async def test_what_a_command_says_is_shown_as_it_is_and_calls_nobody(botty: Botty) -> None:
    thread = await told(botty, command("echo ```*hi* <!channel> `x` <@U0BENSAMPL>\n```"))
    post = await question(botty, thread)
    assert "<!channel>" not in post.everything
    assert post.everything.count("```") == 2
    await press(botty, post, thread, "Reject")
    await botty.idle()


# -- questions -----------------------------------------------------------------------------------


async def test_a_choice_is_a_row_of_buttons_a_long_one_a_list_and_words_a_field(botty: Botty) -> None:
    colours = [f"colour {n}" for n in range(12)]
    thread = await told(
        botty, form("Which side?", "left", "right"), form("Which colour?", *colours), form("Which name?")
    )
    await press(botty, await question(botty, thread, "Which side?"), thread, "right")
    await pick(botty, await question(botty, thread, "Which colour?"), thread, "colour 7")
    await write(botty, await question(botty, thread, "Which name?"), thread, "  Ada & Co <!here> ")
    said = await summary(thread)
    assert '{"answer": "right"}' in said
    assert '{"answer": "colour 7"}' in said
    post = await shows(botty, thread, "Which name?")
    assert "*Ada &amp; Co &lt;!here&gt;*" in post.everything


async def test_a_reply_while_a_question_is_open_is_a_request_and_no_answer(botty: Botty) -> None:
    """Follow-ups queue, visibly, whatever the agent asks meanwhile."""
    thread = await told(botty, form("Which name?"))
    post = await question(botty, thread)
    await thread.say("[]")
    await shows(botty, thread, "Queued: 1 request ahead")
    await write(botty, post, thread, "Ada")
    await botty.idle()
    assert [row["state"] for row in await prompts(botty, thread)] == ["done", "done"]


async def test_who_takes_no_part_is_told_so_and_nothing_is_answered(botty: Botty) -> None:
    thread = await told(botty, command("npm test"))
    post = await question(botty, thread)
    for user in ("chloe", "gus"):
        await press(botty, post, thread, "Allow once", user)
        await whispered(botty, thread, "Only people who take part in this thread can answer.", user)
    await press(botty, post, thread, "Reject")
    assert '"optionId": "no"' in await summary(thread)


async def test_who_takes_part_answers_as_far_as_they_may(botty: Botty) -> None:
    """A plugin lets Ben approve nothing; other questions he may answer."""
    thread = await botty.say("[]", "ben")
    await botty.idle()
    await thread.say(json.dumps([command("npm test"), form("Which side?", "left", "right")]))
    post = await question(botty, thread, "npm test")
    await press(botty, post, thread, "Allow once", "ben")
    await whispered(botty, thread, "You may not approve this work: plugin `puppet` says no.", "ben")
    await press(botty, post, thread, "Reject")
    await press(botty, await question(botty, thread, "Which side?"), thread, "left", "ben")
    said = await summary(thread)
    assert ('"optionId": "no"' in said, '{"answer": "left"}' in said) == (True, True)


async def test_of_two_answers_at_once_one_counts_and_the_other_is_told_whose(botty: Botty) -> None:
    thread = await botty.say("[]", "ben")
    await botty.idle()
    await thread.say(json.dumps([form("Which side?", "left", "right")]))
    post = await question(botty, thread)
    await asyncio.gather(
        press(botty, post, thread, "left", "ada"), press(botty, post, thread, "right", "ben")
    )
    whisper = await shows(botty, thread, "This question was answered already")
    loser = whisper.raw["ephemeral_to"]
    winner, answer = ("ben", "right") if loser == people.ADA.id else ("ada", "left")
    assert f"by <@{botty.person(winner)}>" in whisper.everything
    assert f'{{"answer": "{answer}"}}' in await summary(thread)
    assert len(finals(await thread.by_bot())) + len(await asked(thread)) >= 1


# -- ends ----------------------------------------------------------------------------------------


async def refused(botty: Botty, thread: Thread, key: str, option: int | None = 0, words: str = "up") -> str:
    """What Ada is told when her answer comes in."""
    ada = Person(people.ADA.id, people.TEAM_ID, "ada")
    with pytest.raises(UserError) as told_so:
        await take_reply(botty.bot.house, session_of(thread), Reply(key, option, words), ada)
    return str(told_so.value)


async def test_a_stop_closes_the_question_and_no_answer_counts_any_more(botty: Botty) -> None:
    thread = await told(botty, command("npm test"))
    post = await question(botty, thread)
    await thread.stop()
    assert "Stopped" in await summary(thread)
    assert "This question is closed" in (await closed(botty, thread, post)).everything
    assert "nobody waits for its answer" in await refused(botty, thread, "ask:1:1:1")


async def test_a_restart_closes_the_question_and_asks_it_anew(botty: Botty) -> None:
    thread = await told(botty, command("npm test"))
    post = await question(botty, thread)
    await botty.restart()
    assert "the bot was restarted" in (await closed(botty, thread, post)).everything
    assert "nobody waits for its answer" in await refused(botty, thread, "ask:1:1:1")
    await press(botty, await question(botty, thread), thread, "Allow once")
    assert '"optionId": "once"' in await summary(thread)
    assert [each.actions for each in await asked(thread)] == [[], []]


async def test_what_nobody_answers_is_closed_and_the_agent_goes_on(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.8)
    thread = await told(botty, command("npm test"), form("Which side?", "left", "right"))
    said = await summary(thread)
    assert ('"optionId": "no"' in said, '"action": "cancel"' in said) == (True, True)
    for post in await asked(thread):
        assert "Nobody answered" in (await closed(botty, thread, post)).everything


async def test_an_answer_that_was_never_offered_is_none(botty: Botty) -> None:
    """Nor is one to a question of another thread, or to none at all."""
    thread = await told(botty, form("Which side?", "left", "right"))
    post = await question(botty, thread)
    for option in (2, -1, None):
        assert "none of the answers" in await refused(botty, thread, "ask:1:1:1", option)
    assert "not one of mine" in await refused(botty, thread, "ask:1:1:2")
    other = Thread(botty, thread.channel, "1.0")
    assert "not one of mine" in await refused(botty, other, "ask:1:1:1")
    await press(botty, post, thread, "left")
    await botty.idle()


async def test_one_turn_asks_no_more_than_people_can_bear(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "MOST_ASKED", 1)
    thread = await told(botty, command("npm test"), command("ls", number=8))
    await press(botty, await question(botty, thread), thread, "Allow once")
    said = await summary(thread)
    assert ('"optionId": "once"' in said, '"optionId": "no"' in said) == (True, True)
    assert len(await asked(thread)) == 1
