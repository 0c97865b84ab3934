"""Attacks by what an agent opens its session with, and by what it says a permission is about."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from acp_process import MANY, Bench, play

from bot.acp.options import CHOICES_KEPT, OPTIONS_KEPT
from bot.acp.requests import PermissionAsk, asking
from bot.errors import AgentError

pytestmark = pytest.mark.proof("output")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.close()


OPENED: dict[str, Any] = {
    "wrong kinds all over": {"modes": [1], "models": "x", "configOptions": {"a": 1}},
    "wrong kinds within": {
        "modes": {"currentModeId": {}, "availableModes": [[], 7, None, {"id": ["x"]}]},
        "models": {"currentModelId": 7, "availableModels": {"modelId": "x"}},
        "configOptions": [None, "x", {"id": 7, "type": "select"}, {"id": "x", "type": ["select"]}],
    },
    "ids nobody could send back": {
        "configOptions": [
            {"id": name, "type": "boolean"} for name in ("\ud800", "a\0b", "", "x" * 257, "a\nb")
        ],
    },
    "ten thousand options": {"configOptions": MANY},
    "ten thousand modes": {"modes": {"availableModes": [{"id": f"m{n}"} for n in range(10_000)]}},
    "values in values": {
        "configOptions": [{"id": "x", "type": "select", "options": [{"options": [{"options": []}]}] * 5_000}]
    },
}
HELLO: dict[str, Any] = {
    "promptCapabilities": [1],
    "mcpCapabilities": {"http": "yes", "sse": 1},
    "sessionCapabilities": {"resume": True, "close": []},
    "auth": None,
}


@pytest.mark.parametrize("opened", OPENED.values(), ids=OPENED)
async def test_a_session_that_opens_with_nonsense_is_one_without_settings(bench, opened):
    client = await bench.puppet({"opened": opened, "capabilities": HELLO, "auth": [7, {"id": "\x1b"}]})
    able = client.abilities
    assert not (able.image or able.mcp_http or able.mcp_sse or able.resume_session or able.auth_methods)
    assert len(able.options) <= OPTIONS_KEPT
    assert len(able.modes) <= CHOICES_KEPT
    assert all(option.id.isprintable() for option in able.options)
    assert (await play(client, ["say", "ok"]))[1].text == "ok"


QUIRKS: dict[str, Any] = {
    "nothing": None,
    "a list": [1],
    "options that are a number": {"configOptions": 7},
    "other options": {"configOptions": [{"id": "other", "type": "boolean", "currentValue": "x"}]},
    "an error of any shape": {"code": [1], "message": {"a": "\x1b[2J"}},
}


@pytest.mark.parametrize("quirk", QUIRKS.values(), ids=QUIRKS)
async def test_a_setting_answered_with_nonsense_is_taken_as_set_or_told_in_a_line(bench, quirk):
    options = {"opened": {"configOptions": [{"id": "x", "type": "boolean", "currentValue": False}]}}
    process = await bench.puppet_process(**options, quirk=quirk)
    client = bench.client(options={"x": "true"})
    try:
        await client.start(process, str(bench.folder))
    except AgentError as error:
        assert str(error).isprintable()
        assert quirk is QUIRKS["an error of any shape"]
    else:
        assert (await play(client, ["say", "ok"]))[1].text == "ok"


async def test_what_a_permission_is_about_is_shown_bounded_and_clean(bench):
    asks: list[PermissionAsk] = []

    async def ask(ask: PermissionAsk) -> str | None:
        asks.append(ask)
        return "y"

    client = await bench.puppet(policy=asking(ask))
    lines = "\x1b[2J\u202e" + "line\n" * 10_000
    tools: list[Any] = [
        {"toolCallId": "a", "title": "x" * 90_000, "kind": "x" * 999, "rawInput": {"command": lines}},
        {"toolCallId": "b", "content": [{"type": "diff", "path": "p\x07" * 999, "newText": lines}] * 20},
        {"toolCallId": "c", "locations": [{"path": f"/{n}"} for n in range(10_000)]},
        {"toolCallId": ["d"], "title": 7, "kind": {}, "rawInput": [1], "content": "x", "locations": {"a": 1}},
        "not even an object",
    ]
    options = [{"optionId": "y", "name": "\x1b[1mYes" * 20, "kind": "allow_once"}] * 5_000
    asked = [{"sessionId": "puppet-1", "toolCall": tool, "options": options} for tool in tools]
    await play(
        client, *[["request", f"q{n}", "session/request_permission", ask] for n, ask in enumerate(asked)]
    )
    assert len(asks) == len(tools)
    for each in asks:
        shown = json.dumps(asdict(each), ensure_ascii=False)
        assert len(shown.encode()) < 40_000
        assert not set(shown) & set("\x00\x1b\x07\u202e\u2066")
