"""Who sees the code host's pages: whoever came in by a link that carries their token."""

from __future__ import annotations

import hmac

from aiohttp import web
from yarl import URL

from bot.playground.github.errors import GitHubSideError
from bot.playground.github.gate import Handler

TOKEN = "token"  # noqa: S105 - the name of it in a link
_CLOSED = (
    "This page opens from the playground's own page: follow a link there, or start at the address that the "
    "demo printed."
)


class Door:
    """A link with `?token=` sets a cookie; what has neither is refused. git and the API have their own keys.

    Cookies know hosts and no ports, so the port is in its name: two playgrounds do not lock each other out.
    """

    def __init__(self, token: str, url: str) -> None:
        self._token = token
        self._cookie = f"playground_pages_{URL(url).port}"

    def __call__(self, handler: Handler) -> Handler:
        """The same page, for those who may see it."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if request.method in ("GET", "HEAD") and self._opens(request.query.get(TOKEN, "")):
                return self._enter(request)
            if not self.is_open(request):
                raise GitHubSideError(401, _CLOSED)
            return await handler(request)

        return guarded

    def is_open(self, request: web.Request) -> bool:
        """Whether whoever asks came in before."""
        return self._opens(request.cookies.get(self._cookie, ""))

    def _opens(self, given: str) -> bool:
        return bool(self._token) and hmac.compare_digest(given.encode(errors="replace"), self._token.encode())

    def _enter(self, request: web.Request) -> web.StreamResponse:
        """On to the same address without the token, so that no history and no bookmark keeps it."""
        place = str(request.rel_url.without_query_params(TOKEN))
        response = web.Response(status=303, headers={"Location": place})
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict")
        return response
