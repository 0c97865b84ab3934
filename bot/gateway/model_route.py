"""A route to a model's provider: what is asked is checked, reserved, passed on with our key, and metered."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, OrderedDict
from collections.abc import Sequence
from functools import partial
from urllib.parse import urlsplit

import aiohttp

from bot.config_gateway import RouteKind, RouteSettings
from bot.domain import Model, PromptId, SessionId, Spender
from bot.gateway.anthropic_shape import AnthropicShape
from bot.gateway.asked import BODY_BYTES, Ask, Declined, UnknownModel, read_fields
from bot.gateway.meter import Meter, OverBudget
from bot.gateway.model_call import Call, Check, Provider, Shape
from bot.gateway.openai_shape import OpenAIShape
from bot.gateway.seen import Reader
from bot.gateway.words import Denial, Reply, Request, TooLarge, Watcher

IDLE_SECONDS = 300.0  # in which the provider says nothing at all; those that think long send pings
TOLD = 50  # times that one turn hears of trouble or of a model it may not use
TOLD_TURNS = 1024  # remembered at a time
_AT_ONCE_BYTES = 256 * 1024  # checked where it stands; more would stop everybody else meanwhile
_NAME = re.compile(r"[A-Za-z0-9._:/@+-]{1,100}")


class ModelRoute:
    """One `[[gateway.routes]]` of kind "openai" or "anthropic"."""

    def __init__(
        self,
        route: RouteSettings,
        models: Sequence[Model],
        http: aiohttp.ClientSession,
        meter: Meter,
        *,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._route, self._meter = route, meter
        self._models = {model.name: model for model in models if model.route == route.name}
        host = urlsplit(route.upstream).hostname or ""
        self._shape: Shape = OpenAIShape(host) if route.kind is RouteKind.OPENAI else AnthropicShape()
        self._provider = Provider(route, self._shape, http, idle_seconds)
        self._told: OrderedDict[tuple[SessionId, PromptId], Counter[str]] = OrderedDict()

    async def serve(self, request: Request, reply: Reply, spender: Spender, watcher: Watcher) -> None:
        try:
            await self._serve(request, reply, spender, watcher)
        except UnknownModel as unknown:
            await self._deny(unknown.name, spender, watcher)
            await self._decline(reply, unknown)
        except Declined as declined:
            await self._decline(reply, declined)
        except OverBudget as over:
            # Clients try again after 408, 409, 429 and 5xx, some of them for minutes. 402 is what providers
            # say when an account is empty, and every client ends with it.
            await self._decline(reply, Declined(402, "budget_exceeded", str(over)))

    async def _serve(self, request: Request, reply: Reply, spender: Spender, watcher: Watcher) -> None:
        check = self._shape.asking.get(request.path)
        if check is None:
            await self._tell_models(request, reply)
            return
        if request.method != "POST":
            raise Declined(405, "method_not_allowed", "This is asked with POST.")
        asked = await self._checked(request, check)
        tell = partial(self._tell_trouble, spender, watcher)
        if request.path in self._shape.free:
            await Call(self._provider, request, reply, asked, None, tell).make()
            return
        ask = asked[0]
        reservation = await self._meter.reserve(
            spender,
            ask.model,
            "agent",
            ask.input_tokens,
            ask.output_tokens,
            watcher,
            extra_input_tokens=ask.extra_input_tokens,
        )
        async with self._meter.keeping(reservation) as money:
            await Call(self._provider, request, reply, asked, money, tell).make()

    async def _checked(self, request: Request, check: Check) -> tuple[Ask, Reader]:
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Declined(415, "unsupported_encoding", "Send the body as it is, not compressed.")
        try:
            raw = await request.read(BODY_BYTES)
        except TooLarge:
            raise Declined(413, "too_large", f"A body has at most {BODY_BYTES} bytes.") from None

        def checked() -> tuple[Ask, Reader]:
            return check(read_fields(raw), self._models)

        return checked() if len(raw) <= _AT_ONCE_BYTES else await asyncio.to_thread(checked)

    async def _tell_models(self, request: Request, reply: Reply) -> None:
        """From what is configured: the provider's own list names more than may be used."""
        below = request.path.removeprefix(self._shape.list_path)
        if below == request.path or (below and not below.startswith("/")):
            paths = ", ".join([*self._shape.asking, self._shape.list_path])
            raise Declined(404, "not_found", f"There is no such path here. There are {paths}.")
        if request.method != "GET":
            raise Declined(405, "method_not_allowed", "The models are asked for with GET.")
        if not below:
            await reply.json(200, self._shape.models(list(self._models.values())))
        elif below[1:] in self._models:
            await reply.json(200, self._shape.model(self._models[below[1:]]))
        else:
            raise Declined(404, "model_not_found", "There is no such model here.")

    async def _decline(self, reply: Reply, declined: Declined) -> None:
        body = self._shape.error(declined.status, declined.code, declined.text)
        retry = {"x-should-retry": "false"} if declined.status < 500 else {}
        await reply.json(declined.status, body, retry)

    async def _deny(self, name: str, spender: Spender, watcher: Watcher) -> None:
        if not self._may_tell(spender, f"model {name[:100]}", most=1):
            return
        fix = f'Add [[gateway.models]] with name = "{name}" and route = "{self._route.name}".'
        reason = "this model is not among those allowed"
        where = f"/routes/{self._route.name}, model {name[:100]}"
        await watcher.denied(Denial(where, reason, fix if _NAME.fullmatch(name) else ""))

    async def _tell_trouble(self, spender: Spender, watcher: Watcher, what: str) -> None:
        if self._may_tell(spender, "trouble"):
            await watcher.model_trouble(what)

    def _may_tell(self, spender: Spender, what: str, most: int = TOLD) -> bool:
        """Whether the turn is to hear of it: a program in a loop must not fill the thread's log."""
        told = self._told.setdefault((spender.session, spender.turn), Counter())
        self._told.move_to_end((spender.session, spender.turn))
        while len(self._told) > TOLD_TURNS:
            self._told.popitem(last=False)
        if told.total() >= TOLD or told[what] >= most:
            return False
        told[what] += 1
        return True
