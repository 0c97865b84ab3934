"""`/api/METHOD`: who is calling, what goes wrong on purpose, and the answer in Slack's form."""

from __future__ import annotations

import hmac
import time

from aiohttp import web

from bot.playground.settings import PlaygroundSettings
from bot.playground.slack import (
    agents,
    arguments,
    chat,
    conversations,
    file_calls,
    reactions,
    streams,
    users,
)
from bot.playground.slack.arguments import Arguments
from bot.playground.slack.calls import Call, Handler
from bot.playground.slack.errors import SlackError
from bot.playground.slack.messages import Json
from bot.playground.slack.sockets import Sockets
from bot.playground.slack.workspace import Workspace

METHODS: dict[str, Handler] = {
    **users.METHODS,
    **conversations.METHODS,
    **chat.METHODS,
    **streams.METHODS,
    **reactions.METHODS,
    **agents.METHODS,
    **file_calls.METHODS,
}
APP_TOKEN_METHODS = frozenset({"apps.connections.open"})
CONTINUES = frozenset({"chat.appendStream", "chat.stopStream"})
STREAM_METHODS = CONTINUES | {"chat.startStream"}
RETRY_AFTER_SECONDS = 1
FAULTS = ("rate_limited", "server_error", "lost_reply", "refused")


class Api:
    """The Web API over one workspace."""

    def __init__(self, workspace: Workspace, settings: PlaygroundSettings, sockets: Sockets) -> None:
        self._workspace = workspace
        self._settings = settings
        self._sockets = sockets

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any call, GET or POST; every one of them is logged for `/control/requests`."""
        method = request.match_info["method"]
        entry: Json = {"method": method, "at": time.time(), "args": {}}
        fault = self._workspace.faults.take([method], FAULTS)
        try:
            args = await arguments.read(request)
            entry["args"] = self._safe(args.without_token())
            if fault in ("rate_limited", "server_error"):
                return self._broken(entry, fault)
            if fault == "refused":
                raise SlackError("invalid_auth")  # what a call meets whose token was taken back
            answer = self._answer(method, args, request)
        except SlackError as error:
            answer = _refusal(error)
        self._log(entry, 200, ok=answer["ok"], error=answer.get("error"), fault=fault)
        self._workspace.observe("api", method, answer)
        if fault == "lost_reply":
            return _cut(request)
        return web.json_response(answer, headers={"X-OAuth-Scopes": ",".join(sorted(self._workspace.scopes))})

    def _answer(self, method: str, args: Arguments, request: web.Request) -> Json:
        if method == "api.test":
            return _api_test(args)
        if method not in METHODS and method not in APP_TOKEN_METHODS:
            raise SlackError("unknown_method")
        self._authorize(method, _token(request, args))
        call = Call(self._workspace, args, self._connect)
        if method in APP_TOKEN_METHODS:
            return {"ok": True, "url": self._connect()}
        if method in CONTINUES and self._workspace.faults.take(
            [method, "chat.startStream"], ("stream_expired",)
        ):
            streams.expire(call)
        with self._workspace.store.transaction():
            return {"ok": True, **METHODS[method](call)}

    def _authorize(self, method: str, token: str) -> None:
        if not token:
            raise SlackError("not_authed")
        is_bot = _same(token, self._settings.bot_token)
        is_app = _same(token, self._settings.app_token)
        if not is_bot and not is_app:
            raise SlackError("invalid_auth")
        if is_app is not (method in APP_TOKEN_METHODS):
            raise SlackError("not_allowed_token_type")

    def _connect(self) -> str:
        host = self._workspace.base_url.removeprefix("http://")
        return f"ws://{host}/link/?ticket={self._sockets.ticket()}&app_id=playground"

    def _broken(self, entry: Json, fault: str) -> web.Response:
        status, error = (429, "ratelimited") if fault == "rate_limited" else (500, "internal_error")
        self._log(entry, status, ok=False, error=error, fault=fault)
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 429 else {}
        answer = {"ok": False, "error": error}
        self._workspace.observe("api", entry["method"], answer)
        return web.json_response(answer, status=status, headers=headers)

    def _log(self, entry: Json, status: int, *, ok: bool, error: str | None, fault: str | None) -> None:
        self._workspace.log_request(entry | {"status": status, "ok": ok, "error": error, "fault": fault})

    def _safe(self, args: Json) -> Json:
        """The arguments without any of our own tokens, wherever a caller put them."""
        secrets = [self._settings.bot_token, self._settings.app_token, self._settings.control_token]
        return {key: _hidden(value, secrets) for key, value in args.items()}


def _hidden(value: object, secrets: list[str]) -> object:
    if isinstance(value, str):
        for secret in filter(None, secrets):
            value = value.replace(secret, "…")
    return value


def _token(request: web.Request, args: Arguments) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else args.text("token") or ""


def _same(given: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _api_test(args: Arguments) -> Json:
    error = args.text("error")
    answer: Json = {"ok": error is None, "args": args.without_token()}
    return answer if error is None else {**answer, "error": error}


def _refusal(error: SlackError) -> Json:
    answer: Json = {"ok": False, "error": error.code, **error.more}
    if error.messages:
        answer["response_metadata"] = {"messages": list(error.messages)}
    return answer


def _cut(request: web.Request) -> web.StreamResponse:
    """End the connection with nothing said, after the work was done."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
