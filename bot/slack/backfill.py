"""What a gap may have hidden: channels and threads are read back from a durable watermark.

Slack stops redelivering after a few tries, so after every connection the messages since the watermark are
read and heard like deliveries; what was accepted already is recognised by its key. The watermark is older
than anything that could be undelivered: it moves only while connected, and only after a complete pass.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.errors import UserError
from bot.slack.calls import LONGEST_PAUSE_SECONDS, UNREACHABLE, pause_after, reading, reason
from bot.slack.listener import Listener
from bot.slack.workspace import SlackWorkspace
from storage import IndexFile, StateFile, StorageError

log = logging.getLogger(__name__)

_WATERMARK = "slack.watermark"
_OVERLAP_SECONDS = 120.0
_OLDEST_SECONDS = 24 * 3600.0
_THREADS_KEPT_SECONDS = 7 * 24 * 3600.0
_MOST_THREADS = 200
_PAGE = 200
_FIRST_PAUSE_SECONDS = 1.0


class Backfill:
    """One pass per connection, never two at once."""

    def __init__(
        self,
        client: AsyncWebClient,
        workspace: SlackWorkspace,
        state: StateFile,
        index: IndexFile,
        listener: Listener,
    ) -> None:
        self._client = client
        self._workspace = workspace
        self._state = state
        self._index = index
        self._listener = listener
        self._one = asyncio.Lock()

    async def run(self) -> int:
        """Hear what was missed; returns how many messages were read.

        A pass that fails leaves the watermark and is made again, for as long as it takes: the next
        connection, which would try as well, may be hours away.
        """
        pause = _FIRST_PAUSE_SECONDS
        async with self._one:
            while True:
                try:
                    return await self._pass()
                except (*UNREACHABLE, UserError) as error:
                    pause = pause_after(error, pause)
                    log.warning("cannot read back a gap (%s); again in %.0f s", reason(error), pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _pass(self) -> int:
        began = time.time()
        mark = await self._state.get(_WATERMARK)
        read = 0
        if mark is not None:  # nothing can have been missed before the first connection ever
            oldest = max(float(mark) - _OVERLAP_SECONDS, began - _OLDEST_SECONDS)
            read = await self._channels(oldest) + await self._threads(oldest)
        await self._state.set(_WATERMARK, began)
        return read

    async def _channels(self, oldest: float) -> int:
        team = str((await reading(self._client.auth_test))["team_id"])
        kinds = "public_channel,private_channel,im,mpim"
        channels = await _all("channels", self._client.users_conversations, types=kinds)
        return sum([await self._history(team, channel, oldest) for channel in channels])

    async def _history(self, team: str, channel: Mapping[str, Any], oldest: float) -> int:
        place = {"channel": str(channel["id"]), "oldest": f"{oldest:.6f}"}
        messages = await _all("messages", self._client.conversations_history, **place)
        kind = "im" if channel.get("is_im") else "channel"
        for message in reversed(messages):
            await self._hear(team, str(channel["id"]), kind, message)
        return len(messages)

    async def _threads(self, oldest: float) -> int:
        """Replies in threads that are sessions: history does not list them."""
        read = 0
        since = time.time() - _THREADS_KEPT_SECONDS
        for row in await self._index.list(limit=_MOST_THREADS):
            if row["updated_at"] < since:
                break
            place = {"channel": row["channel"], "ts": row["thread_ts"], "oldest": f"{oldest:.6f}"}
            messages = await _all("messages", self._client.conversations_replies, **place)
            for message in messages:
                await self._hear(row["team"], row["channel"], "channel", message)
            read += len(messages)
        return read

    async def _hear(self, team: str, channel: str, kind: str, message: Mapping[str, Any]) -> None:
        """As if it had been delivered: the same way in, so the same rules."""
        if message.get("type", "message") != "message":
            return
        me = await self._workspace.me()
        event = {**message, "type": "message", "channel": channel, "channel_type": kind}
        body = {
            "type": "event_callback",
            "team_id": team,
            "event": event,
            "authorizations": [{"is_bot": True, "user_id": me}],
        }
        try:
            afterwards = await self._listener.hear(body, time.time(), late=True)
        except StorageError:  # of this one thread; the others are not to suffer for it
            log.exception("a message in %s that was read back cannot be kept", channel)
            return
        if afterwards is not None:
            await afterwards


async def _all(what: str, ask: Callable[..., Awaitable[AsyncSlackResponse]], **arguments: str) -> list[Any]:
    """Every page of a list; raises one of UNREACHABLE."""
    found: list[Any] = []
    cursor = None
    while True:
        page = await reading(partial(ask, **arguments, limit=_PAGE, cursor=cursor))
        found += page[what]
        cursor = (page.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return found
