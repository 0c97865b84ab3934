"""What Slack knows: people, channels, threads. Reads that fail raise; they never become "nobody"."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.domain import Attachment, Person, ThreadKey, ThreadMessage
from bot.errors import Denied, UserError
from bot.slack.calls import UNREACHABLE, advice, reading, reason
from bot.slack.files import SlackFiles
from bot.slack.text import plain, visible

_KEEP_SECONDS = 600.0
_KEEP_AT_MOST = 5000
_NAME_CHARS = 100
_NOBODY = frozenset({"user_not_found", "user_not_visible"})
Ask = Callable[[], Awaitable[AsyncSlackResponse]]


class SlackWorkspace:
    """The `Directory` of sessions, with a short memory so that a thread does not ask for the same twice."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._files = SlackFiles(client)
        self._kept: dict[tuple[str, str], tuple[float, Any]] = {}
        self._me: str | None = None

    async def me(self) -> str:
        """The bot's own user id."""
        if self._me is None:
            self._me = str((await _answer(self._client.auth_test, "learn who I am"))["user_id"])
        return self._me

    async def person(self, team: str, user: str) -> Person:
        """Who a user id is, seen from the installation's `team`. Denied when Slack knows nobody by it."""
        found = await self._remember("user", user, lambda: self._client.users_info(user=user), "user")
        profile = found.get("profile") or {}
        return Person(
            id=user,
            team=str(found.get("team_id") or team),
            name=_name(profile.get("display_name"), found.get("real_name"), found.get("name")) or user,
            is_guest=bool(found.get("is_restricted") or found.get("is_ultra_restricted")),
            is_stranger=bool(found.get("is_stranger")) or str(found.get("team_id") or team) != team,
            is_bot=bool(found.get("is_bot")),
        )

    async def channel_name(self, channel: str) -> str:
        """A channel's name without the hash; a direct message has none."""
        found = await self._remember(
            "channel", channel, lambda: self._client.conversations_info(channel=channel), "channel"
        )
        return str(found.get("name") or "")

    async def thread(self, thread: ThreadKey, before_ts: str | None, limit: int) -> Sequence[ThreadMessage]:
        """The last `limit` messages people wrote in a thread before `before_ts`, oldest first."""
        answer = await _answer(
            lambda: self._client.conversations_replies(
                channel=thread.channel, ts=thread.thread_ts, latest=before_ts, limit=200
            ),
            "read this thread",
        )
        me = await self.me()
        said = [m for m in answer["messages"] if m.get("user") not in (None, me) and m["ts"] != before_ts]
        return [
            ThreadMessage(
                author_id=m["user"],
                author_name=(await self.person(thread.team, m["user"])).name,
                text=plain(m.get("text") or "", me),
                ts=m["ts"],
            )
            for m in said[-limit:]
        ]

    async def thread_of(self, team: str, channel: str, ts: str) -> ThreadKey:
        """The thread that a message is in; a message outside of threads is the first of its own."""
        answer = await _answer(
            lambda: self._client.conversations_replies(channel=channel, ts=ts, limit=1), "read this message"
        )
        found = answer["messages"]
        return ThreadKey(team, channel, str((found[0].get("thread_ts") if found else None) or ts))

    async def fetch(self, file: Attachment, most_bytes: int) -> bytes:
        """The content of a file that somebody posted. UserError says why there is none."""
        return await self._files.fetch(file, most_bytes)

    async def unkeyed_posts(self, thread: ThreadKey) -> list[Mapping[str, Any]]:
        """The bot's own messages in a thread that no outbox row owns, so its streams, oldest first."""
        me, cursor = await self.me(), None
        found: list[Mapping[str, Any]] = []
        while True:
            answer = await _answer(partial(self._page, thread, cursor), "read this thread")
            ours = [m for m in answer["messages"] if m.get("user") == me and not m.get("metadata")]
            found += [m for m in ours if not m.get("files")]  # posted by the outbox, and kept by their ids
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return found

    async def _page(self, thread: ThreadKey, cursor: str | None) -> AsyncSlackResponse:
        return await self._client.conversations_replies(
            channel=thread.channel, ts=thread.thread_ts, include_all_metadata=True, limit=200, cursor=cursor
        )

    async def _remember(self, kind: str, key: str, ask: Ask, field: str) -> dict[str, Any]:
        kept = self._kept.get((kind, key))
        if kept is not None and time.monotonic() - kept[0] < _KEEP_SECONDS:
            return dict(kept[1])
        value = (await _answer(ask, f"look up the {kind}"))[field]
        if len(self._kept) >= _KEEP_AT_MOST:
            self._kept.clear()
        self._kept[kind, key] = (time.monotonic(), value)
        return dict(value)


def _name(*names: object) -> str:
    """The first that shows anything, on one line: a name is put into commits and requests."""
    shown = (" ".join(visible(name).split()) for name in names if isinstance(name, str))
    return next((name for name in shown if name), "")[:_NAME_CHARS]


async def _answer(ask: Ask, doing: str) -> AsyncSlackResponse:
    """Slack's answer, after a few tries; UserError with what to do when there is none."""
    try:
        return await reading(ask)
    except UNREACHABLE as error:
        if reason(error) in _NOBODY:
            raise Denied("Slack does not show me who that is, and strangers may do nothing here.") from error
        fix = (
            "Slack asks us to slow down; try again in a minute."
            if reason(error) == "ratelimited"
            else f"Try again; if it stays so: {advice(error)}"
        )
        raise UserError(f"Slack did not let me {doing} ({reason(error)}). {fix}") from error
