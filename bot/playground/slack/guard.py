"""Who may talk to the playground: this machine, from its own page, with the token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from bot.playground.browsers import is_of_another_page
from bot.playground.slack.errors import ControlError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOCAL_NAMES = ("127.0.0.1", "localhost")


def local_only(port: Callable[[], int]) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Middleware that refuses a foreign Host or Origin, so that no website can reach in (DNS rebinding)."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        hosts = {f"{name}:{port()}" for name in LOCAL_NAMES}
        if request.host not in hosts:
            return _refused(403, "foreign Host header; use the address that the playground printed")
        if is_of_another_page(request, hosts):
            return _refused(403, "sent by another page: foreign Origin or Sec-Fetch-Site header")
        try:
            return await handler(request)
        except ControlError as error:
            return _refused(error.status, error.message)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return _refused(error.status, error.reason)

    return middleware


def _refused(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


def require_token(request: web.Request, expected: str) -> None:
    """ControlError unless the request carries the control token, in its header or query."""
    given = request.headers.get("X-Playground-Token") or request.query.get("token", "")
    if not expected or not hmac.compare_digest(given.encode(errors="replace"), expected.encode()):
        raise ControlError(401, "missing or wrong token: send X-Playground-Token or ?token=")
