"""A whole turn and its way out: what it is refused, what it spends, and what is left open when it ends.

The commands run in a real sandbox; only the model's service is a stand-in.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from model_kit import StandIn, completion, stand_in

from bot.domain import EventType, ThreadKey
from bot.playground import people
from bot.testing import Botty, Thread

pytestmark = pytest.mark.proof("gateway")

BODY = json.dumps({"model": "own-1", "messages": [{"role": "user", "content": "hi"}]})
URL = "http://127.0.0.1:3128/routes/llm/chat/completions"
ASK = f"curl -sS -w %{{http_code}} -H content-type:application/json -d '{BODY}' {URL}"


@pytest.fixture
async def model() -> AsyncIterator[StandIn]:
    async with stand_in() as service:
        service.answers = [completion("hello")]
        yield service


@pytest.fixture
def turn_usd() -> float:
    return 5.0


@pytest.fixture
def botty_settings(model: StandIn, turn_usd: float) -> dict[str, Any]:
    gateway = model.table()
    del gateway["own_model"]
    return {"gateway": gateway, "budgets": {"turn_usd": turn_usd}}


async def events(botty: Botty, thread: Thread, kind: EventType) -> list[dict[str, Any]]:
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    async with botty.bot.house.store.use(key.session_id) as file:
        return [dict(each["data"]) for each in await file.events(limit=10_000) if each["type"] == kind]


async def test_a_host_that_is_not_listed_is_refused_and_named_with_what_to_add(botty: Botty) -> None:
    call = "curl -sS -x http://127.0.0.1:3128 https://packages.example.com/"
    thread = await botty.say(f'run `{call}` then create a.txt with "a"')
    final = await thread.final()
    assert "packages.example.com:443" in final.everything
    assert 'egress = ["packages.example.com"]' in final.everything
    denied = await events(botty, thread, EventType.EGRESS_DENIED)
    assert [each["where"] for each in denied] == ["packages.example.com:443"]


async def test_what_a_turn_asked_a_model_is_on_its_last_message_and_in_its_events(
    botty: Botty, model: StandIn
) -> None:
    thread = await botty.say(f'run `{ASK}` then create a.txt with "a"')
    final = await thread.final()
    assert "Done." in final.text
    assert "$0.0001" in final.everything  # 100 tokens at 1 and 20 at 2 dollars a million
    [used] = await events(botty, thread, EventType.USAGE_RECORDED)
    assert (used["model"], used["input_tokens"], used["output_tokens"], used["metered"]) == (
        *("own-1", 100, 20),
        True,
    )
    assert [each["model"] for each in model.bodies] == ["own-1"]


class TestWithLittleMoney:
    @pytest.fixture
    def turn_usd(self) -> float:
        return 0.001  # far below the worst case of one call

    async def test_the_turn_ends_there_says_so_and_keeps_its_work(self, botty: Botty, model: StandIn) -> None:
        thread = await botty.say(f'create a.txt with "a" then run `{ASK}` then wait 60 seconds')
        final = await thread.final()
        assert "This did not work" in final.everything
        assert "The budget is used up" in final.everything
        assert "What was done so far is kept here" in final.everything
        [exceeded] = await events(botty, thread, EventType.BUDGET_EXCEEDED)
        assert (exceeded["scope"], exceeded["limit_usd"]) == ("turn", 0.001)
        assert model.bodies == []
        await thread.say('@threadsmith create b.txt with "b"')
        assert "Done." in (await thread.final()).text
        [pull] = await botty.pulls()
        assert pull["files"] == ["a.txt", "b.txt"]


class TestNearTheEndOfTheMoney:
    @pytest.fixture
    def turn_usd(self) -> float:
        return 0.0200

    async def test_the_thread_is_warned_once_and_the_turn_goes_on(self, botty: Botty, model: StandIn) -> None:
        model.answers = [completion("hello", {"prompt_tokens": 100, "completion_tokens": 8192})]
        thread = await botty.say(f'run `{ASK}` then create a.txt with "a"')
        final = await thread.final()
        assert "Done." in final.text, final
        assert await events(botty, thread, EventType.BUDGET_WARNED)
        warned = [post for post in await thread.by_bot() if "for one turn are spent" in post.everything]
        assert len(warned) == 1
