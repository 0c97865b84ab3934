"""The bot's own server: `/live`, `/ready`, and what plugins mount. Loopback unless configured otherwise."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bot.config_models import WebSettings
from bot.errors import UserError
from bot.registries import Handler

log = logging.getLogger(__name__)

_PING_SECONDS = 5.0
_OK_SECONDS, _FAILED_SECONDS = 5.0, 1.0  # how long a part's answer is good for
Ping = Callable[[], Awaitable[None]]


class WebServer:
    """`pings` are asked for `/ready`, each with a limit of its own; `work` tells what is undone."""

    def __init__(
        self,
        settings: WebSettings,
        pings: Mapping[str, Ping],
        work: Callable[[], Awaitable[Mapping[str, int]]],
        notices: Callable[[], Sequence[str]],
        routes: Sequence[tuple[str, str, Handler]],
    ) -> None:
        self._settings = settings
        self._parts = {name: _Part(ping) for name, ping in pings.items()}
        self._work = work
        self._notices = notices
        app = web.Application(middlewares=[_json_errors])
        app.router.add_get("/live", self._live)
        app.router.add_get("/ready", self._ready)
        for method, path, handler in routes:
            app.router.add_route(method, path, handler)
        self._runner = web.AppRunner(app, access_log=None, logger=_http_log())
        self.url = ""

    async def start(self) -> None:
        """Raises UserError when it cannot listen where it should."""
        await self._runner.setup()
        wanted = f"{self._settings.host}:{self._settings.port}"
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise UserError(
                f"Cannot listen on {wanted}: {error.strerror or error}. "
                "Choose another `web.port` or `web.host`, or stop what listens there."
            ) from error
        host, port = self._runner.addresses[0][:2]
        self.url = self._settings.public_url or f"http://{host}:{port}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        """200 when every part answers, 503 with the parts that do not; what is undone either way."""
        answers = await asyncio.gather(*(part.answer() for part in self._parts.values()))
        parts = dict(zip(self._parts, answers, strict=True))
        ready = all(answer == "ok" for answer in answers)
        body: dict[str, Any] = {
            "ready": ready,
            "parts": parts,
            "work": dict(await self._work()),
            "notices": list(self._notices()),
        }
        return web.json_response(body, status=200 if ready else 503)


def _http_log() -> logging.Logger:
    """aiohttp's own complaints. What was no HTTP is its sender's mistake: not worth a traceback."""
    logger = logging.getLogger(f"{__name__}.http")
    if _no_http not in logger.filters:
        logger.addFilter(_no_http)
    return logger


def _no_http(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


class _Part:
    """One part's answer, remembered for a moment: anybody may ask, and a ping may go far and cost."""

    def __init__(self, ping: Ping) -> None:
        self._ping = ping
        self._one = asyncio.Lock()
        self._said = ""
        self._until = 0.0

    async def answer(self) -> str:
        async with self._one:
            if time.monotonic() >= self._until:
                self._said = await _asked(self._ping)
                good = _OK_SECONDS if self._said == "ok" else _FAILED_SECONDS
                self._until = time.monotonic() + good
            return self._said


async def _asked(ping: Ping) -> str:
    """ "ok", or the kind of the failure: details belong to the log, since this page needs no sign-in."""
    try:
        async with asyncio.timeout(_PING_SECONDS):
            await ping()
    except Exception as error:
        return f"failed: {type(error).__name__}"
    return "ok"


@web.middleware
async def _json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return web.json_response({"error": error.reason.lower(), "detail": error.text}, status=error.status)
    except Exception:
        incident = uuid.uuid4().hex[:8]
        log.exception("%s %s failed (incident %s)", request.method, request.path, incident)
        detail = f"The bot's log has it as incident {incident}."
        return web.json_response({"error": "internal server error", "detail": detail}, status=500)
