"""Permissions by policy or by the word of people, and what people hear of an agent's silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import acp.schema
import pytest
from acp_process import Bench, asked, play

from bot.acp.answers import OPEN_QUESTIONS, Answers
from bot.acp.requests import PermissionAsk, policy_of
from bot.acp.turn import TOOLS_KEPT, AgentLimits, StopReason, Turn


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.close()


# -- permissions ---------------------------------------------------------------------------------

PERMISSION = "session/request_permission"


def permission(*kinds: str, **tool: Any) -> dict[str, Any]:
    options = [{"optionId": f"id-{kind}", "name": kind, "kind": kind} for kind in kinds]
    return {"sessionId": "puppet-1", "toolCall": {"toolCallId": "t", **tool}, "options": options}


ALL = ("allow_always", "allow_once", "reject_always", "reject_once")


def picked(result: dict[str, Any]) -> str:
    acp.schema.RequestPermissionResponse.model_validate(result)
    return str(result["outcome"].get("optionId", result["outcome"]["outcome"]))


async def nobody(ask: PermissionAsk) -> str | None:
    return None


@pytest.mark.parametrize(
    ("permissions", "kinds", "answer"),
    [
        ("allow", ALL, "id-allow_once"),
        ("allow", ("allow_always", "reject_once"), "id-allow_always"),
        ("deny", ALL, "id-reject_once"),
        ("deny", ("allow_once", "reject_always"), "cancelled"),
        ("ask", ALL, "id-reject_once"),
        ("whatever", ALL, "id-reject_once"),
    ],
)
async def test_a_recipes_word_decides_and_what_is_no_word_denies(bench, permissions, kinds, answer):
    client = await bench.puppet(policy=policy_of(permissions, nobody))
    assert picked(await asked(client, PERMISSION, permission(*kinds))) == answer


@pytest.mark.parametrize(
    ("answer", "result"),
    [("id-allow_always", "id-allow_always"), ("id-unheard-of", "id-reject_once"), ("", "id-reject_once")],
)
async def test_people_choose_among_what_was_offered_and_nothing_else(bench, answer, result):
    async def ask(ask: PermissionAsk) -> str | None:
        return answer

    client = await bench.puppet(policy=policy_of("ask", ask))
    assert picked(await asked(client, PERMISSION, permission(*ALL))) == result


async def test_people_see_what_is_to_be_done_also_what_the_agent_said_of_it_before(bench):
    asks: list[PermissionAsk] = []

    async def ask(ask: PermissionAsk) -> str | None:
        asks.append(ask)
        return None

    client = await bench.puppet(policy=policy_of("ask", ask))
    diff = {"type": "diff", "path": f"{bench.folder}/a.py", "oldText": "one\ntwo\n", "newText": "one\n2\n"}
    before = [
        ["update", {"sessionUpdate": "tool_call", "toolCallId": "t", "title": "Edit a.py", "kind": "edit"}],
        ["update", {"sessionUpdate": "tool_call_update", "toolCallId": "t", "content": [diff]}],
        ["update", {"sessionUpdate": "tool_call", "toolCallId": "other", "title": "Not this"}],
    ]
    raw = {"command": ["rm", "-rf", "x\u202e\x1b[2J"]}
    await asked(client, PERMISSION, permission(*ALL, rawInput=raw), *before)
    assert asks == [
        PermissionAsk(
            tool_id="t",
            title="Edit a.py",
            kind="edit",
            options=asks[0].options,
            command="rm -rf x",
            paths=("a.py",),
            diff="@@ -1,2 +1,2 @@\n one\n-two\n+2",
        )
    ]


async def test_what_is_remembered_of_tools_is_bounded(bench):
    asks: list[PermissionAsk] = []

    async def ask(ask: PermissionAsk) -> str | None:
        asks.append(ask)
        return None

    client = await bench.puppet(policy=policy_of("ask", ask))
    tools = [
        ["update", {"sessionUpdate": "tool_call", "toolCallId": f"{n}", "title": f"Tool {n}"}]
        for n in range(TOOLS_KEPT + 1)
    ]
    requests = [
        ["request", f"q{n}", PERMISSION, permission(*ALL, toolCallId=f"{n}")] for n in (0, TOOLS_KEPT)
    ]
    await play(client, *tools, *requests)
    assert [each.title for each in asks] == ["", f"Tool {TOOLS_KEPT}"]


async def test_a_permission_that_nobody_decides_is_a_no_after_its_limit_and_the_agent_goes_on(bench):
    ended = asyncio.Event()

    async def ask(ask: PermissionAsk) -> str | None:
        try:
            return await asyncio.Event().wait() and None
        finally:
            ended.set()

    client = await bench.puppet(policy=policy_of("ask", ask), answer_seconds=0.1)
    assert picked(await asked(client, PERMISSION, permission(*ALL))) == "id-reject_once"
    await asyncio.wait_for(ended.wait(), 20)
    assert (await play(client, ["say", "on"]))[1].text == "on"


async def test_only_a_few_questions_are_open_at_a_time():
    waiting: list[PermissionAsk] = []
    go_on = asyncio.Event()

    async def ask(ask: PermissionAsk) -> str | None:
        waiting.append(ask)
        await go_on.wait()
        return "id-allow_once"

    loop = asyncio.get_running_loop()
    turn = Turn(asyncio.create_task(go_on.wait()), loop.create_future(), AgentLimits())
    desk = Answers("puppet", policy_of("ask", ask), None, 60)
    asked = [
        asyncio.create_task(desk.answer(turn, "puppet-1", PERMISSION, permission(*ALL), "/"))
        for _ in range(10)
    ]
    for _ in range(100):  # as often as it takes for all that can run to have run
        await asyncio.sleep(0)
    assert (turn.questions, len(waiting)) == (10, OPEN_QUESTIONS)
    go_on.set()
    assert {picked(await each) for each in asked} == {"id-allow_once"}
    assert (turn.questions, len(waiting)) == (0, 10)


# -- silence -------------------------------------------------------------------------------------


async def test_people_are_told_again_and_again_that_it_is_waited_for(bench):
    told: list[float] = []
    thrice = asyncio.Event()

    async def quiet(seconds: float) -> None:
        told.append(seconds)
        if len(told) == 3:
            thrice.set()

    client = await bench.puppet(on_quiet=quiet, quiet_seconds=0.05)
    turn = asyncio.create_task(play(client, ["cancelled"]))
    await asyncio.wait_for(thrice.wait(), 20)
    assert await client.cancel() is True
    assert (await turn)[0] is StopReason.CANCELLED
    assert sorted(set(told)) == told


async def test_a_word_about_the_silence_that_fails_ends_nothing(bench, caplog):
    said = asyncio.Event()

    async def broken(seconds: float) -> None:
        said.set()
        raise OSError("disk full")

    client = await bench.puppet(on_quiet=broken, quiet_seconds=0.05)
    turn = asyncio.create_task(play(client, ["cancelled"]))
    await asyncio.wait_for(said.wait(), 20)
    assert await client.cancel() is True
    assert (await turn)[0] is StopReason.CANCELLED


async def test_while_people_think_nobody_is_told_that_it_is_waited_for(bench):
    told: list[float] = []
    while_thinking: list[int] = []

    async def quiet(seconds: float) -> None:
        told.append(seconds)

    async def slow(ask: PermissionAsk) -> str | None:
        before = len(told)
        await asyncio.sleep(0.4)
        while_thinking.append(len(told) - before)
        return ask.options[0].id

    client = await bench.puppet(policy=slow, on_quiet=quiet, quiet_seconds=0.05)
    await asked(client, PERMISSION, permission(*ALL))
    assert while_thinking == [0]
