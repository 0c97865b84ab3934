"""What a gap may have hidden: channels and threads are read back from a durable watermark.

Slack stops redelivering after a few tries, so after every connection the messages since the watermark are
read and heard like deliveries; what was accepted already is recognised by its key. The watermark is a
timestamp of Slack's, so that no clock of ours can lose anything. It is never newer than the beginning of
the pass that set it, and only a pass in which everything was heard moves it.

What stays lost: messages said more than a day before the connection; a reply in a thread that is no session
and whose root is older than a week; replies beyond the 200 threads of each kind that spoke last; whatever
is no message, that is edits, deletions, reactions and clicks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.errors import UserError
from bot.slack.calls import (
    GONE,
    LONGEST_PAUSE_SECONDS,
    UNREACHABLE,
    advice,
    pause_after,
    reading,
    reason,
)
from bot.slack.listener import Listener
from bot.slack.workspace import SlackWorkspace
from storage import IndexFile, StateFile, StorageError

log = logging.getLogger(__name__)

_WATERMARK = "slack.watermark"
_OVERLAP_SECONDS = 120.0
_OLDEST_SECONDS = 24 * 3600.0
_THREADS_KEPT_SECONDS = 7 * 24 * 3600.0
_ROOT_PAGES = 10  # of a channel, that are read only to find old roots with new replies
_MOST_THREADS = 200
_PAGE = 200
_FIRST_PAUSE_SECONDS = 1.0
_UNHEARD_TRIES = 5


@dataclass
class _Pass:
    """One reading. All times are Slack's: seconds since the epoch."""

    team: str
    began: float
    oldest: float  # exclusive
    ahead: float  # our clock of Slack's
    newest: float = 0.0
    read: int = 0
    unheard: int = 0
    threads: set[tuple[str, str]] = field(default_factory=set)  # those that were read


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
        connection, which would try as well, may be hours away. Messages that cannot be accepted leave it
        too, and are tried a few times; then the next connection tries them.
        """
        pause, tries = _FIRST_PAUSE_SECONDS, 0
        async with self._one:
            while True:
                try:
                    made = await self._pass()
                    tries += 1
                    if not made.unheard or tries == _UNHEARD_TRIES:
                        return made.read
                    log.warning("%d messages of a gap cannot be accepted; trying again", made.unheard)
                except (*UNREACHABLE, UserError, StorageError) as error:
                    pause = pause_after(error, pause)
                    log.warning(
                        "cannot read back a gap (%s); again in %.0f s. %s",
                        *(reason(error), pause, _fix(error)),
                    )
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _pass(self) -> _Pass:
        me = await reading(self._client.auth_test)
        began, mark = _slacks_time(me.headers), await self._state.get(_WATERMARK)
        # Nothing can have been missed before the first connection ever: then only the newest is looked up.
        oldest = began if mark is None else max(float(mark) - _OVERLAP_SECONDS, began - _OLDEST_SECONDS)
        made = _Pass(str(me["team_id"]), began, oldest, time.time() - began)
        for channel in await _channels(self._client):
            if mark is None:
                await self._newest(made, str(channel["id"]))
            else:
                await self._channel(made, str(channel["id"]), "im" if channel.get("is_im") else "channel")
        if mark is not None:
            await self._sessions(made)
        if not made.unheard:
            await self._state.set(_WATERMARK, max(float(mark or 0.0), min(made.newest, began)))
        return made

    async def _newest(self, made: _Pass, channel: str) -> None:
        ask = partial(self._client.conversations_history, channel=channel, limit=1)
        async for page in _pages(ask, channel):
            made.newest = max([made.newest, *map(_ts, page)])
            break

    async def _channel(self, made: _Pass, channel: str, kind: str) -> None:
        """What was said in it, and then in the threads that hang from it."""
        messages = await self._history(made, channel)
        await self._hear_all(made, channel, kind, reversed(messages))
        spoke = [message for message in messages if _seconds(message.get("latest_reply")) > made.oldest]
        spoke.sort(key=lambda message: _seconds(message["latest_reply"]))
        for root in spoke[-_MOST_THREADS:]:
            await self._thread(made, channel, str(root["ts"]), kind)

    async def _history(self, made: _Pass, channel: str) -> list[Any]:
        """Newest first: all that is new, and some pages more for the sake of old roots with new replies."""
        found: list[Any] = []
        since, extra = made.began - _THREADS_KEPT_SECONDS, 0
        oldest = _stamp(min(since, made.oldest))
        ask = partial(self._client.conversations_history, channel=channel, oldest=oldest, limit=_PAGE)
        async for page in _pages(ask, channel):
            found += page
            extra += not any(_ts(message) > made.oldest for message in page)
            if extra >= _ROOT_PAGES:
                break
        return found

    async def _sessions(self, made: _Pass) -> None:
        """Replies in threads that are sessions: their roots may be older than any history that is read."""
        since = time.time() - _THREADS_KEPT_SECONDS  # by our clock, which wrote those rows
        for row in await self._index.list(limit=_MOST_THREADS):
            if row["updated_at"] < since:
                break
            await self._thread(made, row["channel"], row["thread_ts"], "channel")

    async def _thread(self, made: _Pass, channel: str, thread_ts: str, kind: str) -> None:
        if (channel, thread_ts) in made.threads:
            return
        made.threads.add((channel, thread_ts))
        ask = partial(
            self._client.conversations_replies,
            channel=channel,
            ts=thread_ts,
            oldest=_stamp(made.oldest),
            limit=_PAGE,
        )
        async for page in _pages(ask, channel):
            await self._hear_all(made, channel, kind, page)

    async def _hear_all(
        self, made: _Pass, channel: str, kind: str, messages: Iterable[Mapping[str, Any]]
    ) -> None:
        """Those that are new; a thread's root comes with its replies however old it is."""
        for message in messages:
            if _ts(message) <= made.oldest or message.get("type", "message") != "message":
                continue
            made.read += 1
            made.newest = max(made.newest, _ts(message))
            try:
                await self._hear(made, channel, kind, message)
            except Exception:  # of this one message; the others are not to suffer for it
                log.exception("a message in %s that was read back cannot be accepted", channel)
                made.unheard += 1

    async def _hear(self, made: _Pass, channel: str, kind: str, message: Mapping[str, Any]) -> None:
        """As if it had been delivered: the same way in, so the same rules."""
        me = await self._workspace.me()
        event = {**message, "type": "message", "channel": channel, "channel_type": kind}
        body = {
            "type": "event_callback",
            "team_id": made.team,
            "event": event,
            "authorizations": [{"is_bot": True, "user_id": me}],
        }
        afterwards = await self._listener.hear(body, time.time(), late=made.ahead)
        if afterwards is not None:
            await afterwards


async def _pages(ask: Callable[..., Awaitable[AsyncSlackResponse]], place: str) -> AsyncIterator[list[Any]]:
    """A list of messages, page by page; none where there is nothing any more. Raises one of UNREACHABLE."""
    cursor = None
    while True:
        try:
            page = await reading(partial(ask, cursor=cursor))
        except SlackApiError as error:
            if reason(error) not in GONE:
                raise
            log.info("%s is not read back: %s", place, reason(error))
            return
        yield page.get("messages") or []
        cursor = _next(page)
        if not cursor:
            return


async def _channels(client: AsyncWebClient) -> list[Any]:
    """Those the bot is in; raises one of UNREACHABLE."""
    found: list[Any] = []
    cursor = None
    while True:
        kinds = "public_channel,private_channel,im,mpim"
        page = await reading(partial(client.users_conversations, types=kinds, limit=_PAGE, cursor=cursor))
        found += page.get("channels") or []
        cursor = _next(page)
        if not cursor:
            return found


def _fix(error: Exception) -> str:
    return error.fix if isinstance(error, StorageError) else advice(error)


def _next(page: AsyncSlackResponse) -> str | None:
    return (page.get("response_metadata") or {}).get("next_cursor")


def _ts(message: Mapping[str, Any]) -> float:
    return _seconds(message.get("ts"))


def _seconds(ts: object) -> float:
    """A timestamp of Slack's as a number; 0 for what is none."""
    try:
        return float(ts) if isinstance(ts, str) else 0.0
    except ValueError:
        return 0.0


def _stamp(seconds: float) -> str:
    return f"{max(0.0, seconds):.6f}"


def _slacks_time(headers: Mapping[str, str]) -> float:
    """What time it is where the answer came from; ours where it does not say."""
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return time.time()
