"""What every API and git request passes: the log, faults on order, who is asking, GitHub's error form."""

import base64
import binascii
import json
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from yarl import URL

from bot.playground.browsers import is_of_another_page
from bot.playground.faults import Faults
from bot.playground.github.accounts import Account, Accounts
from bot.playground.github.errors import GitHubSideError
from bot.playground.github.git import GitError
from bot.playground.github.request_log import Logged, RequestLog

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ACCOUNT = web.RequestKey("account", Account)
RATE_LIMIT = 5_000
_HOUR = 3_600
_DOCUMENTATION = "https://docs.github.com/rest"


def account_of(request: web.Request) -> Account | None:
    """Who is asking; None when nobody said."""
    return request.get(ACCOUNT)


def presented_token(request: web.Request) -> str | None:
    """The token of `token X`, `Bearer X` or `Basic user:X`, None without a header, "" for a broken one."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() in ("token", "bearer"):
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _clean(text: str) -> bool:
    """Whether a text can be handed to git and SQLite: no NUL, nothing that is not Unicode."""
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)


def own_host_only(url: str) -> Middleware:
    """Refuse what is meant for another host name, which a page could point at us, or sent by such a page."""
    port = URL(url).port
    known = {f"127.0.0.1:{port}", f"localhost:{port}"}

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host not in known:
            return web.Response(status=403, text=f"This is a local playground; open it at {url}\n")
        if is_of_another_page(request, known):
            return web.Response(
                status=403, text="This was sent by another page; open the playground itself\n"
            )
        if not _clean(request.path) or not all(map(_clean, request.query.values())):
            return web.Response(status=400, text="The address holds characters that no name can have\n")
        return await handler(request)

    return check


class Gate:
    """The middleware of the REST application, and the pieces of it that git over HTTP shares."""

    def __init__(self, accounts: Accounts, faults: Faults, log: RequestLog, prefix: str) -> None:
        self._accounts = accounts
        self._faults = faults
        self._log = log
        self._prefix = prefix
        self._used: Counter[tuple[str, int]] = Counter()

    def identify(self, request: web.Request, entry: Logged) -> None:
        """Note who is asking. Raises GitHubSideError (401) for a token that nobody has."""
        token = presented_token(request)
        if token is None:
            return
        account = self._accounts.by_token(token) if token else None
        if account is None:
            raise GitHubSideError(401, "Bad credentials")
        request[ACCOUNT] = account
        entry.login = account.login

    def admit(self, method: str, path: str) -> tuple[Logged, str | None]:
        """Log a request and say which fault it meets."""
        return self._log.start(method, path), self._faults.take([method, f"{method} {path}"])

    @web.middleware
    async def rest(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.removeprefix(self._prefix)
        entry, fault = self.admit(request.method, path if path else "/")
        response = await self._answer(request, handler, entry, fault)
        if fault == "lost_reply":
            return cut(request)
        entry.status = response.status
        self._add_headers(request, response)
        return response

    async def _answer(
        self, request: web.Request, handler: Handler, entry: Logged, fault: str | None
    ) -> web.StreamResponse:
        try:
            self.identify(request, entry)
            if fault in ("rate_limited", "server_error"):
                return _faulty(fault)
            if fault == "refused":
                raise GitHubSideError(401, "Bad credentials")  # of a token that was taken back
            return await handler(request)
        except GitHubSideError as error:
            return error_response(error)
        except web.HTTPException as error:
            return error_response(GitHubSideError(error.status, error.reason))
        except GitError as error:
            return error_response(GitHubSideError(500, str(error)))

    def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        account = account_of(request)
        window = int(time.time()) // _HOUR
        who = "" if account is None else account.login
        self._used[who, window] += 1
        used = self._used[who, window]
        if len(self._used) > 1_000:  # old windows are of no use
            self._used = Counter({key: count for key, count in self._used.items() if key[1] == window})
        response.headers.update(
            {
                "X-GitHub-Media-Type": "github.v3; format=json",
                "X-GitHub-Request-Id": uuid.uuid4().hex[:20].upper(),
                "X-GitHub-Api-Version-Selected": "2022-11-28",
                "X-RateLimit-Limit": str(RATE_LIMIT),
                "X-RateLimit-Remaining": str(max(0, RATE_LIMIT - used)),
                "X-RateLimit-Used": str(used),
                "X-RateLimit-Reset": str((window + 1) * _HOUR),
                "X-RateLimit-Resource": "core",
                "Cache-Control": "private, no-store",
            }
        )


def cut(request: web.Request) -> web.Response:
    """End the connection without a reply; the response returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def error_response(error: GitHubSideError) -> web.Response:
    """An error the way GitHub's API words it."""
    body: dict[str, Any] = {"message": error.message}
    if error.errors is not None:
        body["errors"] = error.errors
    body |= {"documentation_url": _DOCUMENTATION, "status": str(error.status)}
    return web.json_response(body, status=error.status)


def _faulty(kind: str) -> web.Response:
    if kind == "server_error":
        return web.json_response({"message": "Server Error"}, status=502)
    message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    response = error_response(GitHubSideError(403, message))
    response.headers["Retry-After"] = "1"
    return response


async def json_value(request: web.Request) -> Any:
    """The request's JSON, {} without a body. Raises GitHubSideError (400) when it cannot be read."""
    raw = await request.read()
    try:
        value = json.loads(raw) if raw else {}
        json.dumps(value, ensure_ascii=False).encode()  # an escaped half of a character is no text
    except (ValueError, RecursionError):
        raise GitHubSideError(400, "Problems parsing JSON") from None
    return value


async def json_body(request: web.Request) -> dict[str, Any]:
    """The request's JSON object. Raises GitHubSideError (400) for anything else."""
    body = await json_value(request)
    if not isinstance(body, dict):
        raise GitHubSideError(400, "Body should be a JSON object")
    return body
