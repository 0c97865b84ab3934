"""One call to a model on its way: passed on with our key, its answer passed back as it comes, and charged."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import aiohttp
from yarl import URL

from bot.config_gateway import RouteSettings
from bot.domain import Model
from bot.gateway.asked import Ask, Declined, Fields
from bot.gateway.meter import OpenCall
from bot.gateway.redaction import Redactor, redacted, spellings
from bot.gateway.seen import DONE, WHOLE_BYTES, EventStream, Reader, parsed, word
from bot.gateway.words import Reply, Request

CONNECT_SECONDS = 10.0
ERROR_BYTES = 64 * 1024  # of an error that is looked into
ERROR_CHARS = 2000  # of its text that are repeated
# The agent's own mistakes, or too much of a conversation: it is told, and nobody else need know.
_AGENTS_OWN = frozenset({400, 413, 422})
_PASSED_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry", "request-id", "x-request-id")
_VALUE = re.compile(r"[A-Za-z0-9 ,:._-]{1,128}")

Check = Callable[[Fields, Mapping[str, Model]], tuple[Ask, Reader]]
Trouble = Callable[[str], Awaitable[None]]


class Shape(Protocol):
    """How one API is spoken."""

    @property
    def asking(self) -> Mapping[str, Check]:
        """The paths of what a model is asked by, and how that is checked."""

    @property
    def free(self) -> frozenset[str]:
        """Those of them that cost nothing."""

    list_path: str  # where the models are told; one of them below it
    query: str  # the only query that is passed on

    def headers(self, given: Mapping[str, str], model: Model) -> dict[str, str]:
        """Of a client's headers those that the provider needs."""

    def error(self, status: int, code: str, text: str) -> Mapping[str, Any]: ...
    def broken(self, text: str) -> bytes:
        """An event that ends a stream with an error."""

    def model(self, model: Model) -> Mapping[str, Any]: ...
    def models(self, models: Sequence[Model]) -> Mapping[str, Any]: ...


class Provider:
    """Who is behind a route, and how to ask there."""

    def __init__(
        self, route: RouteSettings, shape: Shape, http: aiohttp.ClientSession, idle_seconds: float
    ) -> None:
        self.shape = shape
        self.secrets = spellings(route.secret)
        self._route, self._http = route, http
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=idle_seconds
        )

    async def post(self, request: Request, ask: Ask) -> aiohttp.ClientResponse:
        query = f"?{request.query}" if request.query and request.query == self.shape.query else ""
        headers = {
            **self.shape.headers(request.headers, ask.model),
            "Content-Type": "application/json",
            "Accept": "text/event-stream" if ask.streamed else "application/json",
            "Accept-Encoding": "identity",  # so that the usage can be read in passing
            "User-Agent": "threadsmith",
            **self._route.key_header(),
        }
        return await self._http.post(
            URL(self._route.upstream.rstrip("/") + request.path + query, encoded=True),
            data=io.BytesIO(ask.body),  # bytes would be sent in one go, while all others wait
            headers=headers,
            allow_redirects=False,  # the key goes nowhere else
            timeout=self._timeout,
        )


class _Broken(Exception):
    """The provider failed in the middle. The text completes "it …"."""


class Call:
    """One call on its way. `money` is None for what costs nothing."""

    def __init__(
        self,
        provider: Provider,
        request: Request,
        reply: Reply,
        asked: tuple[Ask, Reader],
        money: OpenCall | None,
        tell_trouble: Trouble,
    ) -> None:
        self._provider, self._request, self._reply = provider, request, reply
        self._ask, self._reader = asked
        self._money, self._tell_trouble = money, tell_trouble
        self._told = False

    async def make(self) -> None:
        answer = await self._begin()
        try:
            if answer.status == 200:
                await self._pass_on(answer)
            else:
                await self._pass_error(answer)
        finally:
            answer.close()  # what has not been read is not wanted any more: the provider may stop

    async def _begin(self) -> aiohttp.ClientResponse:
        try:
            return await self._provider.post(self._request, self._ask)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            await self._release()  # nothing was sent
            raise await self._failed(502, "could not be reached") from None
        except TimeoutError:
            raise await self._failed(504, "did not answer in time") from None
        except (aiohttp.ClientError, OSError):
            raise await self._failed(502, "broke off before it answered") from None

    # -- an answer -------------------------------------------------------------------------------

    async def _pass_on(self, answer: aiohttp.ClientResponse) -> None:
        kind = answer.content_type
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise await self._failed(502, "answered in a form that was not asked for")
        if kind != "text/event-stream" and kind != "application/json":
            raise await self._failed(502, "answered with something else than a model does")
        try:
            await self._reply.start(200, {"content-type": kind, **self._headers(answer)})
            if kind == "text/event-stream":
                await self._stream(answer)
            else:
                await self._whole(answer)
        finally:
            await self._account()
        await self._look_back()

    async def _stream(self, answer: aiohttp.ClientResponse) -> None:
        events, redactor = EventStream(), Redactor(self._provider.secrets)
        try:
            async with aclosing(_pieces(answer)) as pieces:
                async for piece in pieces:
                    for data in events.feed(piece):
                        self._read(data)
                    if self._reader.seen.bill is not None:
                        await self._account()  # before the client knows that it may ask again
                    await self._reply.send(redactor.feed(piece))
        except _Broken as broken:
            text = f"The model's service {broken}."
            await self._reply.send(b"\n\n" + self._provider.shape.broken(text) + b"\n\n")
            await self._trouble(str(broken))
            return
        for data in events.end():
            self._read(data)
        await self._reply.send(redactor.end())

    def _read(self, data: bytes) -> None:
        if data == DONE:
            self._reader.done()
        elif (event := parsed(data)) is not None:
            self._reader.event(event)

    async def _whole(self, answer: aiohttp.ClientResponse) -> None:
        copy, redactor = bytearray(), Redactor(self._provider.secrets)
        try:
            async with aclosing(_pieces(answer)) as pieces:
                async for piece in pieces:
                    if len(copy) <= WHOLE_BYTES:
                        copy += piece
                    await self._reply.send(redactor.feed(piece))
        except _Broken as broken:
            await self._trouble(str(broken))
            raise ConnectionAbortedError from None  # an answer cut short must look like one
        found = parsed(bytes(copy)) if len(copy) <= WHOLE_BYTES else None
        if found is not None:
            self._reader.whole(found)
        await self._reply.send(redactor.end())

    async def _look_back(self) -> None:
        seen = self._reader.seen
        if seen.trouble:
            await self._trouble(f"reported {seen.trouble}")
        elif self._money is not None and seen.bill is None:
            await self._trouble("told no usage that can be true, so what was reserved is spent")

    # -- an error --------------------------------------------------------------------------------

    async def _pass_error(self, answer: aiohttp.ClientResponse) -> None:
        status = answer.status
        if status < 400:
            raise await self._failed(502, f"answered {status}, which is no answer")
        told = await _start_of(answer)
        if not isinstance(told.get("usage"), dict):
            await self._release()
        if status not in _AGENTS_OWN:
            await self._trouble(f"answered {status}")
        if status in (401, 403):  # their text may repeat the key, or part of it
            text = f"The provider refused the gateway's key ({status}). An administrator has to look at it."
            raise Declined(status, "key_refused", text)
        body = self._error(status, told)
        await self._reply.json(status, body, self._headers(answer))

    def _error(self, status: int, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """The provider's, as far as it keeps to the form: clients look at its words."""
        error = told.get("error")
        error = error if isinstance(error, dict) else {"message": error}
        text = error.get("message")
        text = text if isinstance(text, str) and text else f"The provider answered {status}."
        clean = redacted(text.encode("utf-8", "replace"), self._provider.secrets).decode("utf-8", "replace")
        code = error.get("code")
        body = json.loads(json.dumps(self._provider.shape.error(status, "upstream", clean[:ERROR_CHARS])))
        if isinstance(error.get("type"), str):
            body["error"]["type"] = self._clean(error["type"])
        if isinstance(code, str) and "code" in body["error"]:
            body["error"]["code"] = self._clean(code)
        return body if isinstance(body, dict) else {}

    def _clean(self, text: str) -> str:
        return redacted(word(text).encode(), self._provider.secrets).decode()

    def _headers(self, answer: aiohttp.ClientResponse) -> dict[str, str]:
        found = {name: answer.headers[name] for name in _PASSED_HEADERS if name in answer.headers}
        return {
            name: value
            for name, value in found.items()
            if _VALUE.fullmatch(value) and value.encode() == redacted(value.encode(), self._provider.secrets)
        }

    # -- money, and what the turn hears ----------------------------------------------------------

    async def _account(self) -> None:
        """Charge what was told; what was not is kept."""
        bill = self._reader.seen.bill
        if self._money is None:
            return
        if bill is None:
            await self._money.keep()
        else:
            read, cached, written, extra = bill
            await self._money.settle(read, cached, written, extra_input_tokens=extra)

    async def _release(self) -> None:
        if self._money is not None:
            await self._money.release()

    async def _failed(self, status: int, what: str) -> Declined:
        await self._trouble(what)
        return Declined(status, "upstream", f"The model's service {what}.")

    async def _trouble(self, what: str) -> None:
        """The first of it: what follows from that is none of its own."""
        if not self._told:
            self._told = True
            await self._tell_trouble(f"it {what}")


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """The answer as it comes. Raises _Broken: not to be mistaken for the client going away."""
    try:
        async for piece in answer.content.iter_any():
            yield piece
    except TimeoutError:
        raise _Broken("stopped in the middle of its answer") from None
    except (aiohttp.ClientError, OSError):
        raise _Broken("broke off in the middle of its answer") from None


async def _start_of(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """An error's content; empty when it is none that can be read."""
    found = bytearray()
    try:
        async with aclosing(_pieces(answer)) as pieces:
            async for piece in pieces:
                found += piece
                if len(found) > ERROR_BYTES:
                    return {}
    except _Broken:
        return {}
    return parsed(bytes(found)) or {}
