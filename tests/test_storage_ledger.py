"""Effects: an outside write is intended before it is made, and never made twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage import Executor, Ledger, NewEffect, SessionFile, StateFile
from storage.session_file import create_session_file


class Thread:
    team, channel, thread_ts = "T1", "C1", "1.1"


@pytest.fixture(params=["session", "state"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    """The same promises hold in a session's file and in `state.db`."""
    executor, path = Executor(), tmp_path / "x.db"
    if request.param == "session":
        create_session_file(path, "x", Thread, 1.0)
        ledger: Ledger = await SessionFile.open(path, "x", executor, lambda: 7.0)
    else:
        ledger = await StateFile.open(path, executor, lambda: 7.0)
    yield ledger
    await ledger.close()
    executor.close()


async def planned(ledger: Ledger, key: str = "k") -> int:
    return int((await ledger.effect_plan("slack.post", key, {"text": "hi"}))["id"])


async def row(ledger: Ledger, effect_id: int) -> dict[str, object]:
    return next(effect for effect in await ledger.effects() if effect["id"] == effect_id)


async def test_planning_the_same_effect_again_returns_the_first_one_untouched(ledger: Ledger) -> None:
    first, second = await asyncio.gather(
        ledger.effect_plan("git.push", "turn:1", {"commit": "aaa"}, {"head": "000"}),
        ledger.effect_plan("git.push", "turn:1", {"commit": "bbb"}),
    )
    assert first == second
    assert (first["intent"], first["expected"]) == ({"commit": "aaa"}, {"head": "000"})
    await ledger.effect_sending(first["id"])
    await ledger.effect_done(first["id"], {"head": "aaa"})
    again = await ledger.effect_plan("git.push", "turn:1", {"commit": "ccc"})
    assert (again["id"], again["state"], again["result"]) == (first["id"], "done", {"head": "aaa"})


async def test_of_two_senders_only_one_may_send(ledger: Ledger) -> None:
    effect = await planned(ledger)
    allowed = await asyncio.gather(*(ledger.effect_sending(effect) for _ in range(4)))
    assert sorted(allowed) == [False, False, False, True]
    assert (await row(ledger, effect))["attempt"] == 1


async def test_a_retry_makes_it_pending_again_and_keeps_the_error(ledger: Ledger) -> None:
    effect = await planned(ledger)
    await ledger.effect_sending(effect)
    assert await ledger.effect_failed(effect, "rate limited \ud800", retry=True)
    after = await row(ledger, effect)
    assert (after["state"], after["error"], after["attempt"]) == ("pending", "rate limited ?", 1)
    assert await ledger.effect_sending(effect)
    assert (await row(ledger, effect))["attempt"] == 2
    assert await ledger.effect_done(effect, {"ts": "1.2"})
    done = await row(ledger, effect)
    assert (done["state"], done["result"], done["error"]) == ("done", {"ts": "1.2"}, None)


STEPS = {
    "sending": lambda ledger, effect: ledger.effect_sending(effect),
    "done": lambda ledger, effect: ledger.effect_done(effect, {"a": 1}),
    "retry": lambda ledger, effect: ledger.effect_failed(effect, "e", retry=True),
    "failed": lambda ledger, effect: ledger.effect_failed(effect, "e", retry=False),
}
ALLOWED = {
    "pending": {"sending", "failed"},
    "sending": {"done", "retry", "failed"},
    "done": set(),
    "failed": set(),
}
WAY_TO = {"pending": [], "sending": ["sending"], "done": ["sending", "done"], "failed": ["failed"]}


@pytest.mark.parametrize("state", ALLOWED)
@pytest.mark.parametrize("step", STEPS)
async def test_from_each_state_only_the_allowed_steps_are_taken(
    ledger: Ledger, state: str, step: str
) -> None:
    effect = await planned(ledger)
    for way in WAY_TO[state]:
        assert await STEPS[way](ledger, effect)
    before = await row(ledger, effect)
    assert before["state"] == state
    assert await STEPS[step](ledger, effect) == (step in ALLOWED[state])
    if step not in ALLOWED[state]:
        assert await row(ledger, effect) == before


async def test_a_step_of_an_unknown_effect_is_refused(ledger: Ledger) -> None:
    assert [await step(ledger, 99) for step in STEPS.values()] == [False] * 4


async def test_effects_are_listed_in_order_by_state_and_by_the_beginning_of_their_kind(
    ledger: Ledger,
) -> None:
    for kind, key in (("slack.post", "1"), ("git.push", "1"), ("slack.react", "1"), ("slack_post", "1")):
        await ledger.effect_plan(kind, key, {})
    await ledger.effect_sending(2)
    assert [effect["id"] for effect in await ledger.effects()] == [1, 2, 3, 4]
    assert [effect["id"] for effect in await ledger.effects({"sending"})] == [2]
    assert [effect["id"] for effect in await ledger.effects({"pending"}, "slack.")] == [1, 3]
    assert await ledger.effects(set()) == []


async def test_a_planned_effect_with_odd_characters_is_one_effect(ledger: Ledger) -> None:
    tricky = NewEffect("slack.post", "'; DROP TABLE effects; --%_", {"text": "\ud83d"})
    ids = {(await ledger.effect_plan(tricky.kind, tricky.key, tricky.intent))["id"] for _ in range(2)}
    assert ids == {1}
