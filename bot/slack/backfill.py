"""What a gap may have hidden: channels and threads are read back from a durable watermark.

Slack stops redelivering after a few tries, so after every connection the messages since the watermark are
read and heard like deliveries; what was accepted already is recognised by its key. The watermark is older
than anything that could be undelivered: it moves only while connected, and only after a complete pass.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.listener import Listener
from bot.slack.workspace import SlackWorkspace
from storage import IndexFile, StateFile

log = logging.getLogger(__name__)

_WATERMARK = "slack.watermark"
_OVERLAP_SECONDS = 120.0
_OLDEST_SECONDS = 24 * 3600.0
_THREADS_KEPT_SECONDS = 7 * 24 * 3600.0
_MOST_THREADS = 200


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
        """Hear what was missed; returns how many messages were read. A failed pass leaves the watermark."""
        async with self._one:
            began = time.time()
            mark = await self._state.get(_WATERMARK)
            if mark is None:  # nothing can have been missed before the first connection ever
                await self._state.set(_WATERMARK, began)
                return 0
            oldest = max(float(mark) - _OVERLAP_SECONDS, began - _OLDEST_SECONDS)
            try:
                read = await self._channels(oldest) + await self._threads(oldest)
            except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("could not read back what a gap may have hidden (%s)", type(error).__name__)
                return 0
            await self._state.set(_WATERMARK, began)
            return read

    async def _channels(self, oldest: float) -> int:
        auth = await self._client.auth_test()
        read, cursor = 0, None
        while True:
            page = await self._client.users_conversations(
                types="public_channel,private_channel,im,mpim", limit=200, cursor=cursor
            )
            for channel in page["channels"]:
                read += await self._history(str(auth["team_id"]), channel, oldest)
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return read

    async def _history(self, team: str, channel: Mapping[str, Any], oldest: float) -> int:
        answer = await self._client.conversations_history(
            channel=str(channel["id"]), oldest=f"{oldest:.6f}", limit=200
        )
        kind = "im" if channel.get("is_im") else "channel"
        for message in reversed(answer["messages"]):
            await self._hear(team, str(channel["id"]), kind, message)
        return len(answer["messages"])

    async def _threads(self, oldest: float) -> int:
        """Replies in threads that are sessions: history does not list them."""
        read = 0
        since = time.time() - _THREADS_KEPT_SECONDS
        for row in await self._index.list(limit=_MOST_THREADS):
            if row["updated_at"] < since:
                break
            answer = await self._client.conversations_replies(
                channel=row["channel"], ts=row["thread_ts"], oldest=f"{oldest:.6f}", limit=200
            )
            for message in answer["messages"]:
                await self._hear(row["team"], row["channel"], "channel", message)
            read += len(answer["messages"])
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
        afterwards = await self._listener.hear(body, time.time(), late=True)
        if afterwards is not None:
            await afterwards
