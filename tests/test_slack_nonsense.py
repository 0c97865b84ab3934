"""Nonsense over Slack's wire is answered, invents nothing, and harms nobody's session."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from session_kit import BUSY, prompts, shows, until
from slack_kit import TS, Json, Recorded, leaves, mutated

from bot.domain import ThreadKey
from bot.playground import people
from bot.playground.slack.deliveries import EVENTS
from bot.slack.text import plain
from bot.testing import Botty, Thread

pytestmark = pytest.mark.proof("input")

EXAMPLES = 400
ASKING = 'create docs/x.md with "hi"'


@pytest.fixture
def botty_settings() -> dict[str, Any]:
    """One turn holds the only slot, so that what gets in waits and is not worked on."""
    return {"limits": {"running_turns": 1, "queue_length": 5}}


async def content(botty: Botty, thread: Thread) -> dict[str, Any]:
    """All that a session's file holds."""
    session = ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id
    async with botty.bot.house.store.use(session) as file:
        return {
            "session": await file.session(),
            "prompts": await file.prompts(),
            "messages": await file.messages(),
            "events": await file.events(limit=10_000),
            "effects": await file.effects(),
        }


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        f"{record.name}: {record.getMessage()[:200]} {record.exc_info[1]!r:.300}"
        for record in caplog.records
        if record.exc_info
    ]


async def stage(botty: Botty) -> tuple[Thread, Recorded]:
    """A bystander's thread, and deliveries about another one with a question; somebody is busy in a third."""
    target = await botty.say(ASKING, "ada", "general")
    await target.picker()
    bystander = await botty.say(ASKING, "chloe", "general")
    await bystander.picker()
    busy = await botty.say(BUSY, "ben")
    await shows(botty, busy, "Wait 60 seconds")
    return bystander, Recorded(target.channel, target.ts, 1, "acme/ledger")


async def test_a_delivery_of_any_form_is_answered_and_invents_nothing(
    botty: Botty, caplog: pytest.LogCaptureFixture, record_property: Any
) -> None:
    """Whatever was dropped, retyped, nested, swapped or doubled in what Slack was recorded to send.

    All that a session holds afterwards stood in some delivery, and nobody else's session has changed.
    """
    bystander, recorded = await stage(botty)
    before, loop = await content(botty, bystander), asyncio.get_running_loop()
    sent: list[Json] = []

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(mutated(list(recorded.bodies().values())))
    def deliver(body: Json) -> None:
        body = said_at(body, len(sent))
        sent.append(body)
        answer = botty.bot.slack.answer(body)
        assert asyncio.run_coroutine_threadsafe(answer, loop).result(30).status == 200, body

    await asyncio.to_thread(deliver)
    record_property("cases", len(sent))
    assert await content(botty, bystander) == before
    assert tracebacks(caplog) == []
    said = {leaf for body in sent for leaf in leaves(body) if isinstance(leaf, str)}
    taken = [row for row in await accepted(botty) if row["text"] not in {ASKING, BUSY}]
    assert len(taken) > EXAMPLES / 20, "some of it was a request still"
    assert [row for row in taken if not stood_in(said, row)] == []


async def accepted(botty: Botty) -> list[dict[str, Any]]:
    """The prompts of all sessions."""
    found = []
    for session in await botty.bot.house.state.marked():
        async with botty.bot.house.store.use(session) as file:
            found += await file.prompts()
    return found


def said_at(body: Any, number: int) -> Any:
    """The same delivery, of another message."""
    if isinstance(body, dict):
        return {key: said_at(value, number) for key, value in body.items()}
    if isinstance(body, list):
        return [said_at(value, number) for value in body]
    return f"{TS[:10]}.{number:06d}" if body == TS else body


def stood_in(said: set[str], row: dict[str, Any]) -> bool:
    """Author, place and words of a prompt."""
    channel, _, ts = row["key"].partition(":")
    words = {plain(text, people.BOT_USER_ID) for text in said}
    words |= {text.encode("utf-8", "replace").decode()[:20_001] for text in words} | {""}
    return {channel, ts, row["author_id"]} <= said and row["text"] in words


NASTY: dict[str, tuple[str, Any]] = {
    "nothing": ("interactive", {}),
    "an unknown type": ("interactive", {"type": "view_submission"}),
    "a type that is a number": ("interactive", {"type": 5}),
    "a team that is a number": (
        "interactive",
        {"type": "block_actions", "user": 5, "team": 7, "actions": []},
    ),
    "actions that are text": ("interactive", {"type": "block_actions", "actions": "x"}),
    "an action whose id is a number": (
        "interactive",
        {"type": "block_actions", "actions": [{"action_id": 5}]},
    ),
    "grants that are numbers": (EVENTS, {"type": "event_callback", "authorizations": [5], "event": {}}),
    "an enterprise that is a number": (EVENTS, {"type": "x", "enterprise": 5, "event": 5}),
    "an event that is a list": (EVENTS, {"type": "event_callback", "team_id": "T1", "event": [1]}),
    "a command without an address": ("slash_commands", {"command": "/threadsmith", "team_id": 7}),
    "a command in a list": ("slash_commands", {"command": ["/threadsmith"], "text": {}}),
}


async def test_nonsense_is_acknowledged_over_the_socket_and_not_sent_again(
    botty: Botty, caplog: pytest.LogCaptureFixture, record_property: Any
) -> None:
    """Unanswered, Slack would repeat it for minutes and in the end stop sending anything."""
    await until(botty, botty.bot.slack.connected)
    deliveries = botty.playground.slack.workspace.deliveries
    for kind, body in NASTY.values():
        deliveries.add(kind, body)

    async def answered() -> bool:
        return deliveries.pending() == 0

    await until(botty, answered, 20)
    record_property("cases", len(NASTY))
    assert tracebacks(caplog) == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    thread = await botty.say("", "ada")
    assert "without saying what to do" in (await thread.final()).text, "and the bot is well"


async def test_a_command_that_is_not_ours_is_answered_with_what_to_do(botty: Botty) -> None:
    """The Slack app has another name for it than the configuration."""
    place, ada = botty.channel("general"), botty.person("ada")
    await botty.control("POST", "command", channel=place, user=ada, command="/smith", text="help")

    async def answer() -> str | None:
        shown = await botty.control("GET", "thread", channel=place)
        return next((m["text"] for m in shown["messages"] if m["ephemeral_to"] == ada), None)

    assert "set `slack.command`" in await until(botty, answer)


async def test_a_stop_by_nobody_stops_nothing_and_is_not_sent_again(
    botty: Botty, caplog: pytest.LogCaptureFixture
) -> None:
    """Slack knows no such person: that is an answer, not a failure."""
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    stops = Recorded(thread.channel, thread.ts, 1, "acme/ledger").bodies()["event/agent_session_stopped"]
    stops["event"]["user"] = "U0NOBODY00"
    assert (await botty.bot.slack.answer(stops)).status == 200
    assert [row["state"] for row in await prompts(botty, thread)] == ["running"]
    assert tracebacks(caplog) == []
