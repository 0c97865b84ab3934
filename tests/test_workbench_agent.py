"""The agent on a session's workbench: set as its recipe says, heard by whoever listens now, gone on with."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from acp_process import PUPPET, Heard

from bot.acp.client import text_block
from bot.acp.questions import Answer, Question
from bot.acp.requests import PermissionAsk
from bot.domain import AgentRecipe, Repository, ThreadKey
from bot.errors import AgentError
from bot.playground import people
from bot.sessions.workbench import Workbench
from bot.testing import Botty

FORM = {
    "sessionId": "puppet-1",
    "mode": "form",
    "message": "Sure?",
    "requestedSchema": {"properties": {"sure": {"type": "boolean"}}},
}
PERMISSION = {
    "sessionId": "puppet-1",
    "toolCall": {"toolCallId": "t", "title": "Push"},
    "options": [{"optionId": kind, "name": kind, "kind": kind} for kind in ("allow_once", "reject_once")],
}


def recipe(name: str = "puppet", **fields: Any) -> AgentRecipe:
    modes = {"currentModeId": "build", "availableModes": [{"id": "build"}, {"id": "plan"}]}
    told = json.dumps({"resume": "silent", "opened": {"modes": modes}})
    return AgentRecipe(name, "", ("python3", "-c", PUPPET.read_text(), told), **fields)


class Table:
    """A workbench with a sandbox, and the repository's folder in it."""

    def __init__(self, botty: Botty, bench: Workbench, repository: Repository) -> None:
        self.botty, self.bench, self.repository = botty, bench, repository

    async def open(self) -> None:
        async def progress(line: str) -> None:
            """Nobody looks."""

        await self.bench.open(self.repository, recipe(), progress)

    async def play(self, *operations: Sequence[Any]) -> Heard:
        heard = Heard()
        await self.bench.prompt([text_block(json.dumps(operations))], heard)
        return heard


@pytest.fixture
async def table(botty: Botty) -> AsyncIterator[Table]:
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    house = botty.bot.house
    session = ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id
    table = Table(botty, Workbench(house, session), house.settings.repositories[0])
    await table.open()
    yield table
    await table.bench.release()


async def test_an_agent_that_ended_goes_on_with_its_session_in_the_same_sandbox_only(table):
    """Of a session whose last prompt had no end nothing is taken over; what broke it may lie in it."""
    bench = table.bench
    assert not (await bench.agent(recipe(), None)).resumed
    await table.play(["say", "x"])
    await bench.drop_agent()
    assert not (await bench.agent(recipe("other"), None)).resumed
    await bench.drop_agent()
    first = await bench.agent(recipe(), None)
    assert not first.resumed
    await table.play(["say", "x"])
    await bench.drop_agent()
    again = await bench.agent(recipe(mode="plan"), None)
    assert (again.resumed, again.session_id, again.session.mode) == (True, first.session_id, "plan")
    await table.play(["say", "x"])
    with pytest.raises(AgentError, match="exit code 3"):
        await table.play(["exit", 3])
    assert not (await bench.agent(recipe(), None)).resumed
    await table.play(["say", "x"])
    await bench.release()
    await table.open()
    assert not (await bench.agent(recipe(), None)).resumed


async def test_people_of_the_present_turn_are_asked_and_without_any_it_is_a_no(table):
    bench = table.bench
    asks: list[str] = []

    async def yes(ask: PermissionAsk) -> str | None:
        asks.append(ask.title)
        return "allow_once"

    async def sure(question: Question) -> Answer | None:
        asks.append(question.text)
        return Answer("true")

    bench.questions = sure
    await bench.agent(recipe(permissions="ask"), None)
    ask = ["request", "q", "session/request_permission", PERMISSION]
    assert '"optionId": "reject_once"' in (await table.play(ask)).text
    bench.ask = yes
    assert '"optionId": "allow_once"' in (await table.play(ask)).text
    assert '"sure": true' in (await table.play(["request", "q", "elicitation/create", FORM])).text
    bench.questions = None
    assert '"cancel"' in (await table.play(["request", "q", "elicitation/create", FORM])).text
    assert asks == ["Push", "Sure?"]
