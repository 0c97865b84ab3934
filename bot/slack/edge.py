"""Slack in: one Bolt app over Socket Mode, whose every message is on disk before Slack hears an answer.

The accepting is done in `before_authorize`: it is awaited before the acknowledgement and before anything
that can answer 200 without us, and raising there means no acknowledgement, so Slack sends it again.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.config_models import SlackSettings
from bot.slack.backfill import Backfill
from bot.slack.calls import reason
from bot.slack.commands import SlackCommands
from bot.slack.listener import Listener

log = logging.getLogger(__name__)

_ANYTHING = re.compile("")
_LOOK_SECONDS = 1.0
_CONNECT_SECONDS = 60.0


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
            logger=_quiet("slack_bolt"),
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
                    self._handler = AsyncSocketModeHandler(
                        self.app, self._settings.app_token.reveal(), logger=_quiet("slack_sdk.socket_mode")
                    )
                    async with asyncio.timeout(_CONNECT_SECONDS):
                        await self._handler.connect_async()  # type: ignore[no-untyped-call]  # Bolt has no types there
                    pause = 0.5
                await self._watch(self._handler)
            except Exception as error:  # whatever keeps us from Slack, trying again is all there is to do
                log.warning("no connection to Slack (%s); again in %.0f s", reason(error), pause)
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

    async def _before_authorize(
        self, body: dict[str, Any], next: Callable[[], Awaitable[None]]
    ) -> BoltResponse | None:
        """Commit first. What belongs to a session is answered here, without waiting for `auth.test`."""
        afterwards = await self._listener.hear(body, time.time())
        if afterwards is not None:
            self._spawn(afterwards)
            return BoltResponse(status=200, body="")
        if body.get("type") == "event_callback":
            return BoltResponse(status=200, body="")  # an event that says nothing to us
        await next()
        return None

    def _listen(self) -> None:
        """Few listeners, routing inside: each costs time on every message."""

        async def command(ack: Any, body: dict[str, Any], respond: Any) -> None:
            await ack()
            await respond(text=await self._commands.run(body), response_type="ephemeral")

        async def other_action(ack: Any) -> None:
            await ack()  # buttons that only open a link, and whatever is not ours

        self.app.command(self._settings.command)(command)
        self.app.action(_ANYTHING)(other_action)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._jobs.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("after an acknowledgement", exc_info=task.exception())


def _quiet(name: str) -> logging.Logger:
    """The SDK's logger, never at DEBUG: there it writes tokens and bodies."""
    logger = logging.getLogger(name)
    logger.setLevel(max(logging.WARNING, logging.getLogger().level))
    return logger
