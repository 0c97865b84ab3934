"""One turn's way out of its sandbox."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from bot.config_gateway import RouteSettings
from bot.domain import Repository, Spender
from bot.gateway import mcp
from bot.gateway.bounds import BUFFERED_BYTES, CONNECTIONS, TOLD_DENIALS, WHERE_CHARS, Deadlines, Room
from bot.gateway.hosts import AllowList, destination
from bot.gateway.outside import Outside, Streams, reach
from bot.gateway.refusals import Refused
from bot.gateway.tunnel import relay
from bot.gateway.wire import Connection, Incoming, Outgoing
from bot.gateway.words import Denial, Reply, Request, Watcher

log = logging.getLogger(__name__)
_CONTROL = re.compile(r"[^\x20-\x7e]")
_ROUTE = re.compile(r"/routes/(?P<name>[a-z0-9][a-z0-9-]{0,31})(?P<rest>/.*)?")
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

ServeRoute = Callable[[RouteSettings, Request, Reply, Spender, Watcher], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ground:
    """What all doors of a gateway stand on."""

    egress: tuple[str, ...]
    routes: Mapping[str, RouteSettings]
    serve_route: ServeRoute
    outside: Outside
    deadlines: Deadlines
    connections: Room


class Door:
    """See `bot.domain.Egress`. Who is talking is known by whose door it is; nothing a client says counts."""

    def __init__(self, spender: Spender, repository: Repository, watcher: Watcher, ground: Ground) -> None:
        self._spender, self._repository, self._watcher, self._ground = spender, repository, watcher, ground
        self._allowed = AllowList((*ground.egress, *repository.egress))
        self._open: set[asyncio.Task[None]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._memory = Room(BUFFERED_BYTES)
        self._told: set[str] = set()
        self._closed = False
        self.untold = 0  # denials beyond those the turn was told of

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.transport.abort()
            return
        if len(self._open) >= CONNECTIONS or not self._ground.connections.take():
            writer.write(_BUSY)
            writer.close()
            return
        task = asyncio.create_task(self._serve((reader, writer)))
        self._open.add(task)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._open.discard(task)
            self._ground.connections.give()

    async def close(self) -> None:
        """Cut every connection and let no other in. Safe to call twice."""
        self._closed = True
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, *self._telling, return_exceptions=True)

    async def _serve(self, streams: Streams) -> None:
        connection = Connection(*streams, self._ground.deadlines, self._memory)
        await connection.serve(partial(self._answer, streams))

    async def _answer(self, streams: Streams, request: Incoming, reply: Outgoing) -> None:
        try:
            await self._dispatch(streams, request, reply)
        except Refused as refused:
            if refused.denial is not None:
                await self._deny(refused.denial)
            raise

    async def _dispatch(self, streams: Streams, request: Incoming, reply: Outgoing) -> None:
        if request.method == "CONNECT":
            await self._connect(streams, request, reply)
            return
        _check_form(request)
        if request.path == "/mcp":
            await mcp.serve(request, reply, self._watcher)
        elif found := _ROUTE.fullmatch(request.path):
            request.path = found["rest"] or "/"
            route = self._route(found["name"])
            await self._ground.serve_route(route, request, reply, self._spender, self._watcher)
        else:
            raise Refused(404, "not_found", "Here are CONNECT, /routes/NAME and /mcp.")

    # -- where it may lead -----------------------------------------------------------------------

    async def _connect(self, streams: Streams, request: Incoming, reply: Outgoing) -> None:
        wanted = destination(request.target)
        if wanted is None:
            reason = "only hosts are reached, by name and port"
            raise Refused(403, "not_a_host", f"Here {reason}.", Denial(request.target, reason))
        if request.has_body:
            raise Refused(400, "malformed", "A CONNECT has no body.")
        if request.host and request.host.lower().partition(":")[0].removesuffix(".") != wanted.host:
            raise Refused(400, "malformed", "Host names another host than CONNECT does.")
        if not self._allowed.allows(wanted):
            fix = f'egress = ["{wanted.entry}"] under [[repositories]] {self._repository.name} or [gateway]'
            denial = Denial(str(wanted), "it is not on the list of hosts", fix)
            raise Refused(
                403, "host", f"{wanted} is not on the list of hosts this sandbox may reach.", denial
            )
        outside = await reach(self._ground.outside, wanted, self._ground.deadlines.connect_seconds)
        try:
            early = await reply.switch()
            await relay(streams, outside, early, self._ground.deadlines.idle_seconds)
        finally:
            outside[1].transport.abort()

    def _route(self, name: str) -> RouteSettings:
        """Whether a route is there for others is not told."""
        route = self._ground.routes.get(name)
        if route is not None and (not route.repositories or self._repository.name in route.repositories):
            return route
        fix = f'[[gateway.routes]] name = "{name}"'
        if route is not None:
            fix = f'repositories = ["{self._repository.name}"] under {fix}'
        denial = Denial(f"/routes/{name}", "this repository has no such route", fix)
        raise Refused(403, "route", f"There is no route {name} for this repository.", denial)

    # -- what the turn hears of it ---------------------------------------------------------------

    async def _deny(self, denial: Denial) -> None:
        where = _clean(denial.where)
        if where in self._told:
            return
        if len(self._told) >= TOLD_DENIALS:
            self.untold += 1
            return
        self._told.add(where)
        task = asyncio.create_task(self._tell(replace(denial, where=where, fix=_clean(denial.fix))))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        await asyncio.shield(task)  # whoever asked may leave; the turn hears of it all the same

    async def _tell(self, denial: Denial) -> None:
        try:
            await self._watcher.denied(denial)
        except Exception as error:  # not the client's concern
            log.error("a denial could not be told: %s", type(error).__name__)


def _clean(text: str) -> str:
    return _CONTROL.sub("?", text)[:WHERE_CHARS]


def _check_form(request: Incoming) -> None:
    """Only a path is asked for. What a forward proxy would do besides is not done here."""
    if request.upgrade not in ("", "h2c"):  # some clients offer h2c, and do not mind its being ignored
        reason = "a connection is not turned into something else"
        raise Refused(403, "upgrade", f"Here {reason}.", Denial(_place(request), reason))
    if request.method == "TRACE":
        raise Refused(405, "method", "TRACE is not done here.", Denial(_place(request), "TRACE is not done"))
    if not request.target.startswith("/") or "#" in request.target:
        reason = "only CONNECT leads to other hosts, so use https"
        raise Refused(403, "form", f"Here {reason}.", Denial(_place(request), reason))


def _place(request: Incoming) -> str:
    """What was asked for, of a whole address only the host and port."""
    _, scheme, rest = request.target.rpartition("://")
    return rest.partition("/")[0].rpartition("@")[2] if scheme else request.target
