"""Model routes over real sockets: the real client and raw lies in front, a provider on loopback behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from meter_kit import ANN
from provider_kit import (
    CHAT_USAGE,
    KEY,
    Place,
    chat_stream,
    chat_whole,
    chunk,
    event,
    message_stream,
    place,
    response_stream,
    saying,
    streaming,
)

from bot.gateway.meter import NAMES
from bot.gateway.money import NANOS
from storage import Account

HI = [{"role": "user", "content": "hi"}]
CHAT = {"model": "big", "messages": HI}
ASK = {"model": "big", "input": "hi"}
MESSAGE = {"model": "claude", "max_tokens": 50, "messages": HI}
# What a call with the usual usage costs, and what is reserved for one that says `max_tokens: 1000`.
CHARGED = ("settled", 60_000_000)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path) as here:
        yield here


@pytest.fixture
async def client(here: Place) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(here) as client:
        yield client


def sdk(here: Place, **more: Any) -> openai.AsyncOpenAI:
    url = f"http://127.0.0.1:{here.port}/routes/llm"
    return openai.AsyncOpenAI(base_url=url, api_key="none", **{"max_retries": 0} | more)


def error(body: bytes) -> dict[str, Any]:
    found = json.loads(body)["error"]
    assert isinstance(found, dict)
    return found


# -- what works ---------------------------------------------------------------------------------------


async def test_the_real_client_chats_and_the_call_is_charged_as_told(
    here: Place, client: openai.AsyncOpenAI
) -> None:
    answer = await client.chat.completions.create(model="big", messages=HI)
    assert answer.choices[0].message.content == "Hello"
    assert await here.ended() == [CHARGED]
    path, body, headers = here.provider.asked[0]
    assert (path, body) == ("/v1/chat/completions", {"model": "big", "messages": HI, "max_tokens": 1000})
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert {name.lower() for name in headers} <= {
        *("host", "authorization", "content-type", "accept", "accept-encoding", "user-agent"),
        "content-length",
    }


async def test_a_stream_is_asked_for_its_usage_and_passes_whole(
    here: Place, client: openai.AsyncOpenAI
) -> None:
    stream = await client.chat.completions.create(model="big", messages=HI, stream=True)
    chunks = [each async for each in stream]
    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == "Hello"
    assert here.provider.body["stream_options"] == {"include_usage": True}
    assert await here.ended() == [CHARGED]


async def test_each_piece_of_a_stream_is_passed_on_before_the_next_is_there(
    here: Place, client: openai.AsyncOpenAI
) -> None:
    seen = asyncio.Event()

    async def slow(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        first, *others = chat_stream()
        await reply.write(first)
        await seen.wait()
        for piece in others:
            await reply.write(piece)
        return reply

    here.provider.behave = slow
    stream = await client.chat.completions.create(model="big", messages=HI, stream=True)
    async for each in stream:
        if each.choices and each.choices[0].delta.content == "Hel":
            seen.set()
    assert await here.ended() == [CHARGED]


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_real_client_uses_the_responses_api(
    here: Place, client: openai.AsyncOpenAI, streamed: bool
) -> None:
    if streamed:
        stream = await client.responses.create(model="big", input="hi", stream=True)
        assert [each.type async for each in stream] == ["response.output_text.delta", "response.completed"]
    else:
        assert (await client.responses.create(model="big", input="hi")).output_text == "Hello"
    assert here.provider.body["max_output_tokens"] == 1000
    assert here.provider.body["store"] is False
    # 40 of 100 read in full, 60 from the cache, 10 written.
    assert await here.ended() == [("settled", 33_000_000)]


@pytest.mark.parametrize("streamed", [False, True])
async def test_messages_are_charged_with_what_the_cache_read_and_kept(here: Place, streamed: bool) -> None:
    answer = await here.post("claude/v1/messages?beta=true", MESSAGE | {"stream": streamed})
    assert (answer.status, b"Hello" in answer.body) == (200, True)
    path, _, headers = here.provider.asked[0]
    assert (path, headers["x-api-key"], headers["anthropic-version"]) == (
        "/v1/messages?beta=true",
        KEY,
        "2023-06-01",
    )
    # Streamed: 20 read, 40 written to the cache for a quarter more, 40 from the cache, 10 written.
    assert await here.ended() == [("settled", 47_000_000 if streamed else 60_000_000)]
    usage = here.turn.usages[0]
    assert (usage.input_tokens, usage.cached_input_tokens) == (100, 40 if streamed else 0)


async def test_counting_tokens_costs_nothing(here: Place) -> None:
    answer = await here.post("claude/v1/messages/count_tokens", {"model": "claude", "messages": HI})
    assert (answer.status, json.loads(answer.body)) == (200, {"input_tokens": 7})
    assert "max_tokens" not in here.provider.body
    assert await here.ended(0) == []
    other = await here.post("claude/v1/messages/count_tokens", {"model": "big", "messages": HI})
    assert other.status == 404


async def test_the_models_are_told_from_what_is_allowed_and_not_by_the_provider(
    here: Place, client: openai.AsyncOpenAI
) -> None:
    assert [model.id async for model in client.models.list()] == ["big", "small"]
    assert (await client.models.retrieve("small")).id == "small"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("claude")
    told = json.loads((await here.post("claude/v1/models?limit=9", b"", method="GET")).body)
    assert ([model["id"] for model in told["data"]], told["has_more"]) == (["claude"], False)
    assert not here.provider.asked


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        ({}, {"max_tokens": 1000}),
        ({"max_tokens": None}, {"max_tokens": 1000}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 9999}, {"max_tokens": 1000}),
        ({"max_completion_tokens": 9999}, {"max_completion_tokens": 1000}),
        ({"max_tokens": 7, "max_completion_tokens": 9999}, {"max_tokens": 7, "max_completion_tokens": 1000}),
    ],
)
async def test_an_answer_has_a_maximum_in_the_words_of_the_client(
    here: Place, sent: dict[str, Any], passed: dict[str, Any]
) -> None:
    assert (await here.post("llm/chat/completions", CHAT | sent)).status == 200
    assert {name: value for name, value in here.provider.body.items() if "max" in name} == passed


async def test_a_thought_has_to_fit_into_the_maximum_as_well(here: Place) -> None:
    thinking = {"type": "enabled", "budget_tokens": 31_999}
    await here.post("claude/v1/messages", MESSAGE | {"max_tokens": 32_000, "thinking": thinking})
    assert here.provider.body["max_tokens"] == 1000
    assert here.provider.body["thinking"]["budget_tokens"] == 999


async def test_what_is_not_known_passes_and_what_says_no_does_not_matter(here: Place) -> None:
    more = {
        "seed": 4,
        "n": 1,
        "store": False,
        "background": None,
        "service_tier": "auto",
        "unknown": {"a": 1},
    }
    assert (await here.post("llm/chat/completions", CHAT | more)).status == 200
    assert here.provider.body == CHAT | {
        "max_tokens": 1000,
        "seed": 4,
        "n": 1,
        "service_tier": "auto",
        "unknown": {"a": 1},
    }


async def test_the_agents_own_tools_pass(here: Place) -> None:
    tool = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}
    assert (await here.post("llm/chat/completions", CHAT | {"tools": [tool]})).status == 200
    tools = [
        *({"type": kind} for kind in ("function", "custom", "local_shell", "apply_patch")),
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "tool_search", "execution": "client"},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
    ]
    assert (await here.post("llm/responses", ASK | {"tools": tools})).status == 200
    claudes = [{"name": "read", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}]
    assert (await here.post("claude/v1/messages", MESSAGE | {"tools": claudes})).status == 200


async def test_a_picture_is_passed_and_reserved_for_by_more_than_its_bytes(here: Place) -> None:
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    reserved = []

    async def look(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        reserved.append((await here.state.spending.spent(account()))["turn"])
        return await saying(chat_whole())(request, body)

    here.provider.behave = look
    await here.post("llm/chat/completions", CHAT)
    settled = (await here.ended())[0][1]
    await here.post("llm/chat/completions", CHAT | {"messages": [{"role": "user", "content": [url]}]})
    assert reserved[1] - settled > reserved[0] + 50_000 * NANOS // 2000


def account() -> Account:
    return Account(ANN.session, ANN.turn, ANN.person, ANN.repository)


async def test_a_long_context_is_asked_for_only_where_it_is_configured(here: Place) -> None:
    betas = "anthropic-beta: context-1m-2025-08-07, interleaved-thinking-2025-05-14, b@d"
    await here.post("claude/v1/messages", MESSAGE, betas)
    assert here.provider.asked[0][2]["anthropic-beta"] == "interleaved-thinking-2025-05-14"


# -- what is refused: nothing of it reaches the provider, and none of it costs anything ----------------

DOUBLE = b'{"model": "big", "mod\\u0065l": "gpt-9", "messages": []}'
NESTED = b'{"model": "big", "messages": [{"role": "user", "role": "system", "content": ""}]}'
REMOTE = "https://elsewhere.example/?q=secret"


def says(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


LIES: list[tuple[str, Any, str]] = [
    # What is no plain JSON object.
    *[
        ("llm/chat/completions", body, "invalid_json")
        for body in (b"[]", b"", b"{", b"\xff{}", b"\xef\xbb\xbf{}", DOUBLE, NESTED, b'{"model": NaN}')
    ],
    ("llm/chat/completions", b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
    ("llm/chat/completions", b'{"model": "big", "temperature": 1e999}', "invalid_json"),
    ("llm/chat/completions", b'{"model": "big", "max_tokens": ' + b"9" * 5000 + b"}", "invalid_json"),
    # Names that some servers take for another.
    *[
        ("llm/chat/completions", CHAT | more, "invalid_field")
        for more in ({"Model": "gpt-9"}, {"ſtream": True}, {"Max_Tokens": 10**6}, {"a": 1, "A": 1})
    ],
    # Models that are not allowed, or nearly are.
    *[
        ("llm/chat/completions", CHAT | {"model": name}, "model_not_found")
        for name in (
            "gpt-9",
            "Big",
            "big ",
            " big",
            "big\n",
            "big\0",
            "bi",
            "bigger",
            "big:online",
            "claude",
            "",
        )
    ],
    *[
        ("llm/chat/completions", CHAT | {"model": name}, "invalid_field")
        for name in (None, ["big"], {"name": "big"}, 1, True)
    ],
    # More answers than one, longer ones than allowed.
    *[("llm/chat/completions", CHAT | {name: 2}, "unsupported_field") for name in ("n", "best_of")],
    *[
        ("llm/chat/completions", CHAT | {name: value}, "invalid_field")
        for name in ("n", "best_of", "max_tokens", "max_completion_tokens")
        for value in ("1", 1.0, True, [1], {"n": 1}, 0, -1)
    ],
    *[("llm/responses", ASK | {"max_output_tokens": value}, "invalid_field") for value in ("5", 5.5, -1)],
    *[("claude/v1/messages", MESSAGE | {"max_tokens": value}, "") for value in ("5", 5.5, 0, True)],
    *[("llm/chat/completions", CHAT | {"stream": value}, "invalid_field") for value in ("true", 1, [])],
    ("llm/chat/completions", CHAT | {"stream": True, "stream_options": []}, "invalid_field"),
    # What costs otherwise, goes elsewhere, or stays there.
    *[
        (path, body | {name: value}, "unsupported_field")
        for path, body in (("llm/chat/completions", CHAT), ("llm/responses", ASK))
        for name, value in (
            *[("service_tier", tier) for tier in ("priority", "fast", "flex", "scale", ["auto"])],
            *[("models", ["gpt-9"]), ("fallbacks", ["gpt-9"]), ("plugins", [{"id": "web"}]), ("store", True)],
            *[("extra_body", {"model": "gpt-9"}), ("web_search_options", {"x": 1}), ("background", True)],
            *[("previous_response_id", "r1"), ("conversation", "c1"), ("prompt", {"id": "p1"})],
            *[("context_management", [{"type": "compaction"}]), ("api_base", REMOTE), ("store", "yes")],
        )
    ],
    ("llm/chat/completions", CHAT | {"modalities": ["text", "audio"]}, "unsupported_field"),
    ("llm/chat/completions", CHAT | {"prediction": {"type": "content", "content": "x"}}, "unsupported_field"),
    *[
        ("claude/v1/messages", MESSAGE | {name: value}, "")
        for name, value in (
            *[
                ("mcp_servers", [{"url": REMOTE}]),
                ("container", "c1"),
                ("speed", "fast"),
                ("thread", {"id": 1}),
            ],
            *[("service_tier", "priority"), ("inference_geo", "us"), ("fallbacks", [{"model": "other"}])],
            ("context_management", {"edits": [{"type": "compact_20260112"}]}),
        )
    ],
    # Tools that the provider runs.
    *[
        ("llm/responses", ASK | {"tools": tools}, "unsupported_tool")
        for tools in (
            *[[{"type": kind}] for kind in ("web_search", "web_search_preview", "file_search", "mcp")],
            *[[{"type": kind}] for kind in ("code_interpreter", "image_generation", "tool_search", "shell")],
            *[[{"type": "shell", "environment": {"type": "container_auto"}}], [{}], ["web_search"], {"a": 1}],
            *[[{"type": "namespace", "tools": [{"type": "mcp"}]}], [{"type": ["function"]}], "web_search"],
            [{"type": "function"}, {"type": "Web_Search"}],
        )
    ],
    (
        "llm/responses",
        {"model": "big", "input": [{"type": "tool_search_output", "tools": [{}]}]},
        "unsupported_tool",
    ),
    *[
        ("claude/v1/messages", MESSAGE | {"tools": [{"type": kind, "name": "x"}]}, "")
        for kind in (
            "web_search_20250305",
            "web_fetch_20250910",
            "code_execution_20250825",
            "advisor_20260301",
        )
    ],
    # What the provider would fetch, or has already.
    *[
        ("llm/chat/completions", CHAT | says(part), "unsupported_content")
        for part in (
            {"type": "image_url", "image_url": {"url": REMOTE}},
            {"type": "image_url", "image_url": REMOTE},
            {"type": "image_url", "image_url": {"url": ["data:"]}},
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA"}},
            {"type": "input_audio", "input_audio": {"data": "AA"}},
            {"type": "file", "file": {"file_id": "f1"}},
        )
    ],
    *[
        ("llm/responses", {"model": "big", "input": [item]}, "unsupported_content")
        for item in (
            *[
                {"id": "m1"},
                {"type": "item_reference", "id": "m1"},
                {"type": "additional_tools", "tools": []},
            ],
            {"role": "user", "content": [{"type": "input_image", "image_url": REMOTE}]},
            {"role": "user", "content": [{"type": "input_file", "file_url": REMOTE}]},
            {"type": "function_call_output", "output": [{"type": "input_image", "file_id": "f"}]},
        )
    ],
    *[
        ("claude/v1/messages", MESSAGE | says(part), "")
        for part in (
            {"type": "image", "source": {"type": "url", "url": REMOTE}},
            {"type": "document", "source": {"type": "file", "file_id": "f1"}},
            {"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": REMOTE}}]},
            {"type": "container_upload", "file_id": "f1"},
        )
    ],
]


@pytest.mark.proof("budgets")
async def test_no_lie_about_what_is_asked_reaches_the_provider(
    here: Place, record_property: pytest.RecordProperty
) -> None:
    record_property("cases", len(LIES))
    for path, body, code in LIES:
        answer = await here.post(path, body)
        assert 400 <= answer.status < 500, (path, body, answer.body)
        assert answer.headers["x-should-retry"] == "false"
        found = error(answer.body)
        assert found.get("code", "") == code, (path, body, found)
        assert found["message"]
    assert not here.provider.asked
    assert await here.ended(0) == []
    assert not here.turn.exceedings


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        *[
            (path, "POST", 404)
            for path in ("llm/embeddings", "llm/chat/completions/", "llm/v1/chat/completions")
        ],
        *[
            ("llm/responses/r1", "POST", 404),
            ("llm/files", "POST", 404),
            ("llm/images/generations", "POST", 404),
        ],
        *[("llm/chat/completions", "GET", 405), ("llm/models", "DELETE", 405), ("llm/modelsx", "GET", 404)],
        *[("claude/v1/messages/batches", "POST", 404), ("claude/messages", "POST", 404)],
        *[("claude/v1/messages", "PUT", 405), ("claude/v1/files", "GET", 404), ("llm", "GET", 404)],
    ],
)
async def test_other_paths_and_methods_are_refused_in_the_words_of_the_protocol(
    here: Place, path: str, method: str, status: int
) -> None:
    answer = await here.post(path, MESSAGE if method != "GET" else b"", method=method)
    assert answer.status == status
    found = json.loads(answer.body)
    assert found["error"]["message"]
    assert found.get("type") == ("error" if path.startswith("claude") else None)
    assert not here.provider.asked


async def test_a_body_that_is_too_large_or_has_too_many_parts_or_is_packed_is_refused(here: Place) -> None:
    many = b'{"model": "big", "messages": [' + b"0," * 2_000_001 + b"0]}"
    assert error((await here.post("llm/chat/completions", many)).body)["code"] == "too_large"
    client = await here.client()
    await client.say(
        b"POST /routes/llm/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 33554433\r\n\r\n"
    )
    assert (await client.answer()).status == 413
    packed = await here.post("llm/chat/completions", CHAT, "Content-Encoding: gzip")
    assert packed.status == 415


async def test_a_large_conversation_passes(here: Place) -> None:
    long = CHAT | {"messages": [{"role": "user", "content": "é\ud800" + "x" * 3_000_000}]}
    assert (await here.post("llm/chat/completions", long)).status == 200
    assert here.provider.body["messages"] == long["messages"]


async def test_the_turn_hears_once_of_a_model_that_is_not_allowed_and_what_an_admin_would_add(
    here: Place,
) -> None:
    for name in ("gpt-9", "gpt-9", 'b"d\n'):
        await here.post("llm/chat/completions", CHAT | {"model": name})
    assert [denial.fix for denial in here.turn.denials] == [
        'Add [[gateway.models]] with name = "gpt-9" and route = "llm".',
        "",
    ]


# -- budgets ------------------------------------------------------------------------------------------


async def test_a_call_beyond_a_budget_ends_the_client_at_once_and_says_which_and_that_work_is_kept(
    tmp_path: Path,
) -> None:
    async with place(tmp_path, session_usd=1.0) as here, sdk(here, max_retries=5) as client:
        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(model="big", messages=HI)
        assert refused.value.status_code == 402
        for said in (NAMES["session"], "$0.00 of $1.00", "is kept", "session_usd"):
            assert said in refused.value.message
        assert len(here.turn.exceedings) == 1  # the client did not try again
        claude = await here.post("claude/v1/messages", MESSAGE)
        assert (claude.status, error(claude.body)["type"]) == (402, "billing_error")
        assert not here.provider.asked


@pytest.mark.proof("budgets")
async def test_fifty_requests_at_once_get_what_the_budget_holds(tmp_path: Path) -> None:
    """Each reserves something over a dollar for 1 token written and its input; ten fit."""
    body = CHAT | {"max_tokens": 1000}
    async with place(tmp_path) as here:
        reserved: list[int] = []

        async def look(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            reserved.append((await here.state.spending.spent(account()))["turn"])
            return await saying(chat_whole())(request, body)

        here.provider.behave = look
        await here.post("llm/chat/completions", body)
    each = reserved[0]
    (tmp_path / "tight").mkdir()
    async with place(tmp_path / "tight", turn_usd=each * 10 / NANOS) as here:
        go = asyncio.Event()

        async def hold(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            await go.wait()
            return await saying(chat_whole(usage=None))(request, body)

        here.provider.behave = hold
        asking = [asyncio.create_task(here.post("llm/chat/completions", body)) for _ in range(50)]
        async with asyncio.timeout(20):
            while len(here.turn.exceedings) < 40:
                await asyncio.sleep(0.005)
        go.set()
        statuses = [answer.status for answer in await asyncio.gather(*asking)]
        assert sorted(statuses) == [200] * 10 + [402] * 40
        assert await here.ended(10) == [("kept", each)] * 10
        assert len(here.provider.asked) == 10


# -- a provider that fails, lies or goes away ----------------------------------------------------------


async def kept(here: Place) -> None:
    """All that was reserved is spent."""
    ((end, spent),) = await here.ended()
    assert (end, spent > NANOS) == ("kept", True)
    async with asyncio.timeout(20):
        while not here.turn.usages:
            await asyncio.sleep(0.005)
    assert not here.turn.usages[0].metered


def told(**usage: Any) -> dict[str, Any]:
    return CHAT_USAGE | usage


LYING = [
    *[None, {}, [], "free", {"total_tokens": 5}, told(prompt_tokens=0), told(completion_tokens=0)],
    *[told(prompt_tokens=-5), told(completion_tokens=-1), told(prompt_tokens="100"), told(prompt_tokens=1e3)],
    *[told(completion_tokens=True), told(prompt_tokens=10**30), told(completion_tokens=10**9)],
    *[told(prompt_tokens_details={"cached_tokens": 101}), told(prompt_tokens_details={"cached_tokens": -1})],
]


@pytest.mark.proof("budgets")
@pytest.mark.parametrize("streamed", [False, True])
async def test_usage_that_is_missing_or_cannot_be_true_costs_what_was_reserved(
    here: Place, streamed: bool, record_property: pytest.RecordProperty
) -> None:
    record_property("cases", len(LYING))
    for count, usage in enumerate(LYING, 1):
        behave = streaming(chat_stream(usage)) if streamed else saying(chat_whole(usage))
        here.provider.behave = behave
        assert (await here.post("llm/chat/completions", CHAT | {"stream": streamed})).status == 200
        assert (await here.ended(count))[-1][0] == "kept", usage
    assert len({spent for _, spent in await here.ended(len(LYING))}) == 1
    assert "no usage" in here.turn.troubles[-1]


@pytest.mark.proof("budgets")
async def test_more_usage_than_was_reserved_is_charged_in_full(here: Place) -> None:
    here.provider.behave = saying(chat_whole(told(prompt_tokens=10_000, completion_tokens=5000)))
    await here.post("llm/chat/completions", CHAT)
    assert await here.ended() == [("settled", 10 * NANOS)]


SO_FAR = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 1}}
CUT: list[tuple[str, dict[str, Any], list[bytes]]] = [
    ("llm/chat/completions", CHAT, chat_stream()[:1]),
    ("llm/chat/completions", CHAT, [event(chunk("a", usage=told(completion_tokens=1)))]),
    ("llm/chat/completions", CHAT, [event(chunk(choices=[], usage=told(completion_tokens=0)))]),
    ("llm/responses", ASK, response_stream()[:1]),
    ("claude/v1/messages", MESSAGE, message_stream(end=False)),
    ("claude/v1/messages", MESSAGE, [*message_stream(end=False), event(SO_FAR, "message_delta")]),
]


@pytest.mark.proof("budgets")
@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize(("path", "body", "pieces"), CUT)
async def test_a_stream_that_ends_too_early_costs_what_was_reserved(
    here: Place, path: str, body: dict[str, Any], pieces: list[bytes], cut: bool
) -> None:
    here.provider.behave = streaming(pieces, cut=cut)
    answer = await here.post(path, body | {"stream": True})
    if cut:
        last = json.loads(answer.body.strip().split(b"data: ")[-1])
        assert "broke off" in last["error"]["message"]
        assert here.turn.troubles == ["it broke off in the middle of its answer"]
    await kept(here)


async def test_the_real_client_hears_that_a_stream_was_cut(here: Place, client: openai.AsyncOpenAI) -> None:
    here.provider.behave = streaming(chat_stream()[:2], cut=True)
    stream = await client.chat.completions.create(model="big", messages=HI, stream=True)
    with pytest.raises(openai.APIError, match="broke off"):
        async for _ in stream:
            pass


@pytest.mark.proof("budgets")
@pytest.mark.parametrize(("path", "body", "pieces"), [each for each in CUT if each[2] != CUT[2][2]])
async def test_a_client_that_hangs_up_ends_the_call_and_pays_what_was_reserved(
    here: Place, path: str, body: dict[str, Any], pieces: list[bytes]
) -> None:
    ended = asyncio.Event()

    async def endless(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        for piece in pieces:
            await reply.write(piece)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return reply

    here.provider.behave = endless
    client = await here.client()
    raw = json.dumps(body | {"stream": True}).encode()
    head = f"POST /routes/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(raw)}\r\n\r\n"
    await client.say(head.encode() + raw)
    await client.head()
    await client.chunk()
    client.writer.close()
    await kept(here)
    async with asyncio.timeout(20):
        await ended.wait()


@pytest.mark.proof("budgets")
async def test_a_client_that_hangs_up_after_the_usage_was_told_pays_that(here: Place) -> None:
    async def lingering(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        await reply.write(b"".join(chat_stream()))
        await asyncio.Event().wait()
        return reply

    here.provider.behave = lingering
    client = await here.client()
    raw = json.dumps(CHAT | {"stream": True}).encode()
    head = f"POST /routes/llm/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(raw)}\r\n\r\n"
    await client.say(head.encode() + raw)
    await client.head()
    await client.chunk()
    assert await here.ended() == [CHARGED]  # before the client could know
    client.writer.close()


@pytest.mark.proof("budgets")
@pytest.mark.parametrize("begun", [False, True])
async def test_a_provider_that_falls_silent_is_given_up_and_what_was_reserved_is_spent(
    tmp_path: Path, begun: bool
) -> None:
    async with place(tmp_path, idle_seconds=0.2) as here:

        async def silent(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            if begun:
                await reply.prepare(request)
                await reply.write(chat_stream()[0])
            await asyncio.Event().wait()
            return reply

        here.provider.behave = silent
        answer = await here.post("llm/chat/completions", CHAT | {"stream": True})
        if begun:
            assert b"stopped in the middle" in answer.body
            assert here.turn.troubles == ["it stopped in the middle of its answer"]
        else:
            assert (answer.status, here.turn.troubles) == (504, ["it did not answer in time"])
        await kept(here)


@pytest.mark.proof("budgets")
async def test_a_provider_that_is_not_there_costs_nothing(here: Place) -> None:
    assert here.provider.stop is not None
    await here.provider.stop()
    answer = await here.post("llm/chat/completions", CHAT)
    assert (answer.status, here.turn.troubles) == (502, ["it could not be reached"])
    assert await here.ended() == [("released", 0)]


@pytest.mark.parametrize("status", [400, 404, 408, 409, 422, 429, 500, 503, 529])
async def test_an_error_of_the_provider_is_passed_on_and_costs_nothing(here: Place, status: int) -> None:
    body = {
        "error": {"message": "Too long for you.", "type": "some_error", "code": "context_length_exceeded"}
    }
    here.provider.behave = saying(body, status, **{"Retry-After": "7", "Set-Cookie": "a=b"})
    answer = await here.post("llm/chat/completions", CHAT)
    assert (answer.status, answer.headers["retry-after"]) == (status, "7")
    assert "set-cookie" not in answer.headers
    found = error(answer.body)
    assert (found["message"], found["type"], found["code"]) == tuple(body["error"].values())
    assert here.turn.troubles == ([] if status in (400, 422) else [f"it answered {status}"])
    assert await here.ended() == [("released", 0)]


async def test_an_error_that_tells_usage_did_work_and_is_kept(here: Place) -> None:
    here.provider.behave = saying({"error": {"message": "x"}, "usage": CHAT_USAGE}, 500)
    await here.post("llm/chat/completions", CHAT)
    await kept(here)


@pytest.mark.parametrize("path", ["llm/chat/completions", "claude/v1/messages"])
@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_told_without_a_word_of_the_provider(
    here: Place, path: str, status: int
) -> None:
    here.provider.behave = saying({"error": {"message": f"Incorrect key {KEY[:9]}***{KEY[-4:]}"}}, status)
    answer = await here.post(path, MESSAGE if path.startswith("claude") else CHAT)
    assert (answer.status, "An administrator" in error(answer.body)["message"]) == (status, True)
    assert KEY[:9].encode() not in answer.body
    assert here.turn.troubles == [f"it answered {status}"]
    assert await here.ended() == [("released", 0)]


@pytest.mark.proof("budgets")
async def test_a_key_that_the_provider_repeats_is_taken_out_wherever_it_stands(here: Place) -> None:
    here.provider.behave = saying(
        {"error": {"message": f"bad {KEY}", "type": KEY, "code": KEY}}, 400, **{"x-request-id": KEY}
    )
    seen = [await here.post("llm/chat/completions", CHAT)]
    here.provider.behave = saying(chat_whole(text=f"It is {KEY}."))
    seen.append(await here.post("llm/chat/completions", CHAT))
    text = b"".join([event(chunk(f"It is {KEY}")), *chat_stream()])
    here.provider.behave = streaming([text[each : each + 7] for each in range(0, len(text), 7)])
    seen.append(await here.post("llm/chat/completions", CHAT | {"stream": True}))
    for answer in seen:
        assert KEY.encode() not in answer.body
        assert b"[key]" in answer.body
        assert KEY not in str(answer.headers)
    assert seen[2].body == text.replace(KEY.encode(), b"[key]")


@pytest.mark.proof("budgets")
@pytest.mark.parametrize(
    ("behave", "status"),
    [
        (saying(b"<html>", Content_Type="text/html"), 502),
        (saying(b"\x1f\x8b", **{"Content-Encoding": "br"}), 502),
        (saying(b"{", Content_Type="application/json"), 200),
        (saying(b"[1]"), 200),
        (saying(b'{"usage": {}}', 201), 502),
        (streaming([b"data: {\n\n", b"nonsense\r\n\r\n", b"data: [DONE]\n\n"]), 200),
    ],
)
async def test_nonsense_costs_what_was_reserved(here: Place, behave: Any, status: int) -> None:
    here.provider.behave = behave
    assert (await here.post("llm/chat/completions", CHAT)).status == status
    assert len(here.turn.troubles) == 1
    await kept(here)


async def test_a_redirect_is_not_followed_since_the_key_would_go_along(here: Place) -> None:
    here.provider.behave = saying(b"", 307, Location=REMOTE)
    assert (await here.post("llm/chat/completions", CHAT)).status == 502
    assert here.turn.troubles == ["it answered 307, which is no answer"]
    assert len(here.provider.asked) == 1


async def test_an_error_in_the_middle_of_a_stream_is_told_in_a_word(here: Place) -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
    here.provider.behave = streaming([*message_stream(end=False), event(overloaded, "error")])
    await here.post("claude/v1/messages", MESSAGE | {"stream": True})
    assert here.turn.troubles == ["it reported overloaded_error"]
    await kept(here)


async def test_a_failed_response_is_charged_as_it_tells(here: Place) -> None:
    here.provider.behave = streaming(response_stream("response.failed"))
    await here.post("llm/responses", ASK | {"stream": True})
    assert await here.ended() == [("settled", 33_000_000)]


async def test_trouble_in_a_loop_does_not_fill_the_thread(here: Place) -> None:
    here.provider.behave = saying({"error": {"message": "x"}}, 500)
    for _ in range(60):
        await here.post("llm/chat/completions", CHAT)
    assert len(here.turn.troubles) == 50
