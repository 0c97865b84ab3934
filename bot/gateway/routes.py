"""Plain routes: a service behind a path, with the key that only we know."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from bot.config_gateway import RouteSettings
from bot.gateway.bounds import Deadlines
from bot.gateway.paths import allowed, normal
from bot.gateway.redaction import spellings
from bot.gateway.refusals import Refused
from bot.gateway.words import Denial, Reply, Request

log = logging.getLogger(__name__)

# A client's own ways to say who it is or where it comes from, and to ask for something else than it asks for.
_CLIENTS = re.compile(
    r"authorization|proxy-.*|cookie2?|(x-)?api-?key|x-auth-.*|host|forwarded|x-forwarded-.*|x-real-ip|via"
    r"|x-(http-)?method(-override)?|x-original-.*|x-rewrite-.*"
)
# What a service says of itself rather than to the client.
_SERVICES = re.compile(r"set-cookie2?|alt-svc|location|content-location|refresh|proxy-.*|clear-site-data")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # what aiohttp would add by itself
_PORTS = {"http": 80, "https": 443}


class PlainRoute:
    """One `[[gateway.routes]]` of kind "plain"."""

    def __init__(self, route: RouteSettings, http: aiohttp.ClientSession, deadlines: Deadlines) -> None:
        self._route, self._http = route, http
        self._upstream = route.upstream.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=deadlines.connect_seconds, sock_read=deadlines.idle_seconds
        )
        self._answer_seconds = deadlines.answer_seconds
        self._secrets = spellings(route.secret)

    async def serve(self, request: Request, reply: Reply) -> None:
        """Raises Refused when it may not be done, or when the service does not do it."""
        url = self._upstream + self._checked(request) + (f"?{request.query}" if request.query else "")
        body = _Body(request)
        try:
            async with asyncio.timeout(self._answer_seconds) as limit:
                asked = self._http.request(
                    request.method,
                    URL(url, encoded=True),
                    headers=self._headers(request.headers),
                    data=await body.data(),
                    allow_redirects=False,
                    skip_auto_headers=_AUTOMATIC,
                    timeout=self._timeout,
                )
                async with asked as answer:
                    limit.reschedule(None)  # from here on it is the quiet between two pieces that counts
                    await self._pass_on(answer, url, reply)
        except (aiohttp.ClientError, TimeoutError) as error:
            if reply.started:
                raise ConnectionAbortedError from None
            raise body.broken or self._trouble(error) from None

    # -- the way there ---------------------------------------------------------------------------

    def _checked(self, request: Request) -> str:
        route, where = self._route, f"/routes/{self._route.name}{request.path}"
        under = f'under [[gateway.routes]] name = "{route.name}"'
        path = normal(request.path)
        if path is None:
            raise Refused(400, "bad_path", "Write the path plainly: no dots, empty parts or encoded slashes.")
        if request.method not in route.methods:
            methods = [*route.methods, request.method]
            fix = f"methods = {json.dumps(methods)} {under}"
            denial = Denial(where, f"{request.method} is not among its methods", fix)
            raise Refused(405, "method", f"This route takes {', '.join(route.methods)}.", denial)
        if not allowed(path, route.paths):
            fix = f'paths = ["{path}"] {under}'
            raise Refused(
                403, "path", "This route does not lead there.", Denial(where, "not among its paths", fix)
            )
        return path

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        own = self._route.header.lower()
        kept = {
            name: value
            for name, value in given.items()
            # Services that turn headers into variables tell no - from _.
            if (plain := name.replace("_", "-")) != own and not _CLIENTS.fullmatch(plain)
        }
        return kept | self._route.key_header()

    # -- the way back ----------------------------------------------------------------------------

    async def _pass_on(self, answer: aiohttp.ClientResponse, url: str, reply: Reply) -> None:
        await reply.start(answer.status, self._answer_headers(answer, url))
        async for piece in answer.content.iter_any():
            await reply.send(piece)

    def _answer_headers(self, answer: aiohttp.ClientResponse, url: str) -> dict[str, str]:
        named = {each.strip().lower() for each in answer.headers.get("Connection", "").split(",")}
        kept: dict[str, str] = {}
        for raw_name, raw_value in answer.raw_headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            if _SERVICES.fullmatch(name) or name in named or self._tells(raw_name.lower() + raw_value):
                continue
            kept[name] = f"{kept[name]}, {value}" if name in kept else value
        if "transfer-encoding" in kept:
            kept.pop("content-length", None)
        location = answer.headers.get("Location")
        if location is not None:
            kept |= self._moved(answer.status, url, location)
        return kept

    def _tells(self, text: bytes) -> bool:
        return any(secret in text for secret in self._secrets)

    def _moved(self, status: int, url: str, location: str) -> dict[str, str]:
        """A Location as the client has to ask for it. Refused when it leads elsewhere: no key goes there."""
        base, there = _parts(url, self._upstream), _parts(url, location)
        if base is not None and there is not None and not self._tells(_as_sent(location)):
            below = there.path.startswith(base.path)
            path = normal(there.path.removeprefix(base.path)) if below else None
            if there.origin == base.origin and path is not None:
                return {"location": f"/routes/{self._route.name}{path}{there.query}"}
        if status not in _REDIRECTS:
            return {}  # of something made elsewhere the client need not know
        where = "somewhere" if there is None else f"{there.origin[1]}:{there.origin[2]}"
        reason = f"route {self._route.name} redirects there, and a route leads only to its own service"
        raise Refused(502, "redirect", f"The service redirects to {where}: {reason}.", Denial(where, reason))

    def _trouble(self, error: Exception) -> Refused:
        log.warning("route %s: %s", self._route.name, type(error).__name__)
        name = f"The service behind route {self._route.name}"
        if isinstance(error, TimeoutError):
            return Refused(504, "timeout", f"{name} did not answer in time.")
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return Refused(502, "unknown_host", f"{name} has no address.")
        if isinstance(error, aiohttp.ClientSSLError):
            return Refused(502, "tls", f"{name} could not prove who it is.")
        if isinstance(error, aiohttp.ClientConnectorError):
            return Refused(502, "unreachable", f"{name} could not be reached.")
        return Refused(502, "broken_off", f"{name} broke off before it answered.")


class _Body:
    """A request's body on its way. `broken` is what was wrong with it, as aiohttp would not tell."""

    def __init__(self, request: Request) -> None:
        self._pieces = request.body()
        self.broken: Exception | None = None

    async def data(self) -> AsyncIterator[bytes] | None:
        """None when there is none: then nothing is said of one."""
        first = await anext(self._pieces, None)
        return None if first is None else self._all(first)

    async def _all(self, first: bytes) -> AsyncIterator[bytes]:
        yield first
        try:
            async for piece in self._pieces:
                yield piece
        except Exception as error:
            self.broken = error
            raise


@dataclass(frozen=True, slots=True)
class _Parts:
    origin: tuple[str, str, int]
    path: str
    query: str  # with "?"


def _parts(url: str, location: str) -> _Parts | None:
    """Where `location`, told in an answer from `url`, leads; None when that is nowhere sensible."""
    try:
        found = urlsplit(urljoin(url, location))
        port = found.port if found.port is not None else _PORTS[found.scheme]
    except (ValueError, KeyError):
        return None
    if found.hostname is None or found.username is not None:
        return None
    return _Parts((found.scheme, found.hostname, port), found.path, f"?{found.query}" if found.query else "")


def _as_sent(header: str) -> bytes:
    """The bytes of a header that aiohttp has read."""
    return header.encode("utf-8", "surrogateescape")
