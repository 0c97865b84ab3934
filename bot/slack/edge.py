"""Slack in: one Bolt app over Socket Mode, whose every message is on disk before Slack hears an answer.

The accepting is done in `before_authorize`: it is awaited before the acknowledgement and before anything
that can answer 200 without us, and raising there means no acknowledgement, so Slack sends it again.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.adapter.socket_mode.async_internals import send_async_response
from slack_bolt.adapter.socket_mode.internals import build_headers
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.request.payload_utils import to_action, to_message, to_step, to_view
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.config_models import SlackSettings
from bot.slack.backfill import Backfill
from bot.slack.calls import UNREACHABLE, advice, quiet, reason
from bot.slack.commands import SlackCommands
from bot.slack.listener import Listener

log = logging.getLogger(__name__)

_ANYTHING = re.compile("")
_LOOKS = (to_action, to_message, to_step, to_view)  # Bolt makes all of them before it asks anybody
_LOOK_SECONDS = 1.0
_CONNECT_SECONDS = 60.0
_NO_APP_TOKEN = frozenset({"invalid_auth", "not_authed", "token_revoked", "not_allowed_token_type"})


class SlackEdge:
    """Connects, listens, reconnects. `start` returns once connected or after the first failed try."""

    def __init__(
        self,
        settings: SlackSettings,
        http: aiohttp.ClientSession,
        listener: Listener,
        commands: SlackCommands,
        backfill: Backfill,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._commands = commands
        self._backfill = backfill
        # Bolt's own client may retry; posts go through the outbox, and must not be repeated behind its back.
        bolt_client = AsyncWebClient(settings.bot_token.reveal(), settings.api_url, session=http)
        self.app = AsyncApp(
            name="threadsmith",  # or Bolt looks for one through all the source files of the call stack
            client=bolt_client,
            before_authorize=self._before_authorize,
            logger=quiet("slack_bolt"),
        )
        self._listen()
        self._handler: AsyncSocketModeHandler | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._jobs: set[asyncio.Task[Any]] = set()

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to connect; goes on trying in the background for as long as it takes."""
        self._keeper = asyncio.create_task(self._keep_connected(), name="slack socket")

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._handler is not None:
            await self._handler.close_async()  # type: ignore[no-untyped-call]  # Bolt has no types there
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def ping(self) -> None:
        """Raises when no socket to Slack is open."""
        if not await self.connected():
            raise ConnectionError("no Socket Mode connection to Slack")

    async def connected(self) -> bool:
        return self._handler is not None and await self._handler.client.is_connected()

    async def _keep_connected(self) -> None:
        pause = 0.5
        while True:
            try:
                if self._handler is None:
                    self._handler = _Socket(self, self._settings.app_token.reveal())
                    async with asyncio.timeout(_CONNECT_SECONDS):
                        # Asked for here, since the SDK would ask on in silence whatever Slack says to it.
                        client = self._handler.client
                        client.wss_uri = await client.issue_new_wss_url()
                        await self._handler.connect_async()  # type: ignore[no-untyped-call]  # Bolt has no types there
                    pause = 0.5
                await self._watch(self._handler)
            except Exception as error:  # whatever keeps us from Slack, trying again is all there is to do
                log.warning(
                    "no connection to Slack (%s); again in %.0f s. %s", reason(error), pause, _fix(error)
                )
                await self._drop_handler()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 30.0)

    async def _watch(self, handler: AsyncSocketModeHandler) -> None:
        """Read back what a gap may have hidden, once per connection; the SDK reconnects by itself.

        Raises ConnectionError when it does not manage to: it may cling to an address whose ticket is used up.
        """
        session: object = None
        seen = time.monotonic()
        while time.monotonic() - seen < _CONNECT_SECONDS:
            if await handler.client.is_connected():
                seen = time.monotonic()
                current = handler.client.current_session
                if current is not session:
                    session = current
                    self._spawn(self._backfill.run())
            await asyncio.sleep(_LOOK_SECONDS)
        raise ConnectionError("the socket did not come back")

    async def _drop_handler(self) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            await handler.close_async()  # type: ignore[no-untyped-call]  # Bolt has no types there

    # -- listeners -------------------------------------------------------------------------------

    async def answer(self, body: dict[str, Any], headers: Any = None) -> BoltResponse:
        """What one delivery gets: 200 once it is on disk or says nothing to us; else Slack sends it again."""
        try:
            request = AsyncBoltRequest(mode="socket_mode", body=body, headers=headers)
            for look in _LOOKS:
                look(request.body)
        except Exception as error:  # Bolt takes its form for granted; sent again it would be no better
            log.warning("a delivery that is none of Slack's forms was dropped (%s)", type(error).__name__)
            return _taken()
        return await self.app.async_dispatch(request)

    async def _before_authorize(
        self, body: dict[str, Any], next: Callable[[], Awaitable[None]]
    ) -> BoltResponse | None:
        """Commit first. All but slash commands is answered here, without waiting for `auth.test`.

        What says nothing to us is answered too: a button that only opens a link, another app's event.
        """
        afterwards = await self._listener.hear(body, time.time())
        if afterwards is not None:
            self._spawn(afterwards)
        elif _is_command(body):
            await next()
            return None
        return _taken()

    def _listen(self) -> None:
        """Few listeners, routing inside: each costs time on every message."""

        async def command(ack: Any, body: dict[str, Any], respond: Any) -> None:
            await ack()
            try:
                await respond(text=await self._said_to(body), response_type="ephemeral")
            except UNREACHABLE as error:
                log.warning("the answer to a slash command did not arrive (%s)", reason(error))

        self.app.command(_ANYTHING)(command)

    async def _said_to(self, body: Mapping[str, Any]) -> str:
        if body["command"] == self._settings.command:
            return await self._commands.run(body)
        return (
            f"I answer to `{self._settings.command}` only. To change that, set `slack.command` in my "
            "configuration to the command of the Slack app."
        )

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._jobs.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("after an acknowledgement", exc_info=task.exception())


class _Socket(AsyncSocketModeHandler):
    """Bolt's handler with our way in, which nothing that arrives can make raise."""

    def __init__(self, edge: SlackEdge, app_token: str) -> None:
        super().__init__(edge.app, app_token, logger=quiet("slack_sdk"))
        self._edge = edge

    async def handle(self, client: AsyncBaseSocketModeClient, req: SocketModeRequest) -> None:
        begun = time.time()
        answer = await self._edge.answer(req.payload, build_headers(req))
        await send_async_response(client, req, answer, begun)


def _taken() -> BoltResponse:
    return BoltResponse(status=200, body="")


def _is_command(body: Mapping[str, Any]) -> bool:
    """A slash command as Slack delivers it: flat, with who, where and how to answer."""
    named = all(isinstance(body.get(key), str) for key in ("command", "team_id", "user_id", "response_url"))
    return named and not any(isinstance(value, list | dict) for value in body.values())


def _fix(error: Exception) -> str:
    if reason(error) in _NO_APP_TOKEN:
        return "Make a new app-level token with connections:write and put it into the configuration."
    return advice(error)
