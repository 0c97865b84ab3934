"""A stand-in for a model's service: chat completions over HTTP on loopback, answered as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from bot.config_gateway import GatewaySettings
from storage import Secret

KEY = "sk-canary-9f31c"
Body = dict[str, Any]
Answer = web.StreamResponse | str | Mapping[str, Any]


def completion(text: str | None, usage: Any = "some", **more: Any) -> Body:
    """An answer as OpenAI's reference has it. `usage` None leaves it out."""
    message = {"role": "assistant", "content": text, "refusal": more.pop("refusal", None)}
    choice = {"index": 0, "message": message, "finish_reason": more.pop("finish", "stop"), "logprobs": None}
    body: Body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "own-1"}
    if usage == "some":
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return body | {"choices": [choice]} | ({} if usage is None else {"usage": usage}) | more


def failing(status: int, text: str = "no", **headers: str) -> web.Response:
    """An error as OpenAI words it; what it says is untrusted."""
    error = {"error": {"message": text, "type": "invalid_request_error", "code": None}}
    return web.json_response(error, status=status, headers=headers)


@dataclass
class StandIn:
    """`answers` are given in turn, the last one for ever: a text is a whole completion's content."""

    answer: Callable[[Body], Awaitable[Answer]] | None = None
    streams: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    answers: list[Answer | Callable[[], Answer]] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(request.headers)
        self.asked.set()
        if self.streams is not None:
            return await self.streams(request)
        answer = await self.answer(body) if self.answer is not None else self._next()
        if isinstance(answer, web.StreamResponse):
            return answer
        return web.json_response(completion(answer) if isinstance(answer, str) else answer)

    def _next(self) -> Answer:
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return found() if callable(found) else found

    def settings(self, secret: Secret | None = None, **changes: Any) -> GatewaySettings:
        found = GatewaySettings.model_validate_json(json.dumps(self.table(**changes)))
        route = found.routes[0].model_copy(update={"secret": secret})
        return found.model_copy(update={"routes": [route]})

    def table(self, **changes: Any) -> dict[str, Any]:
        """`[gateway]` with a model of its own here, at prices that can be counted."""
        route = {"name": "llm", "kind": "openai", "upstream": f"{self.url}/v1", **changes}
        model = {"name": "own-1", "route": "llm", "input_usd": 1.0, "output_usd": 2.0}
        return {"own_model": "own-1", "routes": [route], "models": [model]}


@asynccontextmanager
async def stand_in() -> AsyncIterator[StandIn]:
    service = StandIn()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", service.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    service.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    try:
        yield service
    finally:
        await runner.cleanup()


def rung_of(body: Body) -> str:
    """How a schema was handed over: json_schema, json_object, or text."""
    return str((body.get("response_format") or {"type": "text"})["type"])


def asked_data(body: Body) -> Any:
    """What stands between the fences of a request, as JSON."""
    lines = str(body["messages"][-1]["content"]).split("\n")
    assert lines[0] == lines[-1]
    return json.loads("\n".join(lines[1:-1]))
