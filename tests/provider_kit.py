"""A provider of models on loopback that keeps to the published shapes, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from gateway_kit import Answer, Client, listening
from meter_kit import ANN, Turn, budgets, opened_state

from bot.config_gateway import GatewaySettings, RouteKind
from bot.domain import Repository, Spender
from bot.gateway import Gateway
from bot.gateway.bounds import Deadlines
from storage import Secret, StateFile

KEY = "sk-key-of-the-provider-0123456789"
Behaviour = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]
CHAT_USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


def event(data: dict[str, Any] | str, name: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"role": "assistant", "content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "big"}
    return head | {"choices": [choice]} | more


def chat_stream(usage: Any = CHAT_USAGE) -> list[bytes]:
    pieces = [event(chunk("Hel")), event(chunk("lo")), event(chunk(finish="stop"))]
    if usage is not None:
        pieces.append(event(chunk(choices=[], usage=usage)))
    return [*pieces, event("[DONE]")]


def chat_whole(usage: Any = CHAT_USAGE, text: str = "Hello") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    found = {"id": "c1", "object": "chat.completion", "created": 1, "model": "big", "choices": [choice]}
    return found if usage is None else found | {"usage": usage}


def response(usage: Any, status: str = "completed") -> dict[str, Any]:
    said = {"type": "output_text", "text": "Hello", "annotations": []}
    item = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [said]}
    found = {"id": "r1", "object": "response", "created_at": 1, "model": "big", "status": status}
    more = {"output": [item], "tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    return found | more | {"usage": usage}


RESPONSE_USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 110,
}


def response_stream(last: str = "response.completed", usage: Any = RESPONSE_USAGE) -> list[bytes]:
    delta = {"type": "response.output_text.delta", "delta": "Hello", "item_id": "m1", "output_index": 0}
    delta |= {"content_index": 0, "sequence_number": 1, "logprobs": []}
    ended = {"type": last, "sequence_number": 2, "response": response(usage, last.partition(".")[2])}
    return [event(delta, delta["type"]), event(ended, last)]


def message_stream(end: bool = True, output: Any = 10, **started: Any) -> list[bytes]:
    usage = {"input_tokens": 20, "cache_creation_input_tokens": 40, "cache_read_input_tokens": 40}
    usage |= {"output_tokens": 1} | started
    message = {"id": "m1", "type": "message", "role": "assistant", "content": [], "model": "claude"}
    text = {"type": "text_delta", "text": "Hello"}
    pieces = [
        event({"type": "message_start", "message": message | {"usage": usage}}, "message_start"),
        event({"type": "ping"}, "ping"),
        event({"type": "content_block_delta", "index": 0, "delta": text}, "content_block_delta"),
    ]
    if end:
        stop = {"stop_reason": "end_turn", "stop_sequence": None}
        delta = {"type": "message_delta", "delta": stop, "usage": {"output_tokens": output}}
        pieces += [event(delta, "message_delta"), event({"type": "message_stop"}, "message_stop")]
    return pieces


def message_whole() -> dict[str, Any]:
    usage = {"input_tokens": 100, "output_tokens": 10}
    found = {"id": "m1", "type": "message", "role": "assistant", "model": "claude", "usage": usage}
    return found | {"content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"}


def streaming(pieces: Sequence[bytes], cut: bool = False) -> Behaviour:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        for piece in pieces:
            await reply.write(piece)
        if cut and request.transport is not None:
            request.transport.abort()
        return reply

    return answer


def saying(body: Any, status: int = 200, **headers: str) -> Behaviour:
    async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        if isinstance(body, bytes):
            kind = headers.pop("Content_Type", "application/json")
            return web.Response(body=body, status=status, headers={"Content-Type": kind, **headers})
        return web.json_response(body, status=status, headers=headers)

    return answer


@dataclass
class Provider:
    """`behave` answers; by default it does what the path and the body ask for."""

    port: int = 0
    asked: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    behave: Behaviour | None = None
    stop: Callable[[], Awaitable[None]] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append((request.path_qs, body, dict(request.headers)))
        return await (self.behave or self._usual(request.path, body))(request, body)

    def _usual(self, path: str, body: dict[str, Any]) -> Behaviour:
        stream = body.get("stream")
        if path.endswith("/chat/completions"):
            told = CHAT_USAGE if (body.get("stream_options") or {}).get("include_usage") else None
            return streaming(chat_stream(told)) if stream else saying(chat_whole())
        if path.endswith("/responses"):
            return streaming(response_stream()) if stream else saying(response(RESPONSE_USAGE))
        if path.endswith("/count_tokens"):
            return saying({"input_tokens": 7})
        return streaming(message_stream()) if stream else saying(message_whole())

    @property
    def body(self) -> dict[str, Any]:
        """What it was asked last."""
        return self.asked[-1][1]


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/{path:.*}", made.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]  # it has just been started
    made.stop = runner.cleanup
    yield made
    await runner.cleanup()


def settings(port: int) -> GatewaySettings:
    key = Secret(KEY, "env MODEL_KEY")
    at = f"http://127.0.0.1:{port}"
    prices = {"input_usd": 500.0, "cached_input_usd": 50.0, "output_usd": 1000.0, "output_tokens": 1000}
    openai = {"name": "llm", "kind": RouteKind.OPENAI, "upstream": f"{at}/v1", "secret": key}
    claude = {"name": "claude", "kind": RouteKind.ANTHROPIC, "upstream": at, "secret": key}
    claude |= {"header": "x-api-key", "format": "{}"}
    models = [{"name": "big", "route": "llm"}, {"name": "small", "route": "llm"}]
    models += [{"name": "claude", "route": "claude"}]
    return GatewaySettings.model_validate(
        {"routes": [openai, claude], "models": [model | prices for model in models]}
    )


@dataclass
class Place:
    """A turn with its door, a provider behind the gateway, and the accounts of both."""

    port: int
    turn: Turn
    provider: Provider
    state: StateFile
    gateway: Gateway
    stack: AsyncExitStack

    async def post(self, path: str, body: Any, *headers: str, method: str = "POST") -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        client = await self.client()
        try:
            return await client.ask(f"/routes/{path}", *headers, method=method, body=raw)
        finally:
            client.writer.close()

    async def client(self) -> Client:
        streams = await asyncio.open_connection("127.0.0.1", self.port)
        self.stack.callback(streams[1].close)
        return Client(streams)

    async def ended(self, count: int = 1) -> list[tuple[str, int]]:
        """The turn's calls, once so many have ended."""
        async with asyncio.timeout(20):
            while True:
                rows = await self.state.spending.calls(ANN.session, ANN.turn)
                if sum(row["state"] != "reserved" for row in rows) >= count:
                    return [(row["state"], row["spent"]) for row in rows]
                await asyncio.sleep(0.005)


@asynccontextmanager
async def place(
    folder: Path, spender: Spender = ANN, idle_seconds: float = 300.0, **limits: float
) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(opened_state(folder))
        behind = await stack.enter_async_context(provider())
        deadlines = Deadlines(answer_seconds=idle_seconds)
        made = Gateway(settings(behind.port), budgets(**limits), state, deadlines=deadlines)
        stack.push_async_callback(made.close)
        turn = Turn()
        door = made.door(spender, Repository("acme/web"), turn)
        stack.push_async_callback(door.close)
        port = await stack.enter_async_context(listening(door.serve))
        yield Place(port, turn, behind, state, made, stack)
