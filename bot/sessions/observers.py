"""Plugins that watch: each reads committed events by a cursor of its own, so a slow one delays nobody."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from bot.domain import Event, EventType, PromptId, SessionId
from bot.sessions.house import House
from storage import NoSession, StorageError

log = logging.getLogger(__name__)

_HOOK = "session_event"
_BATCH = 200
_LOOKED_AT = 1000  # sessions, the latest ones, that are compared with their cursors at the start
_KNOWN = frozenset(EventType)


class Observers:
    """One reader per plugin and session with news; it ends when it has caught up.

    A cursor is durable and moves after the plugin has answered, so after a crash a plugin may see an event
    again; an event that it fails on is blamed on it and passed by. What a close or a crash cut off is
    delivered after the next start: `catch_up` each session that recovery took up, and once `recover`.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._names: list[str] | None = None
        self._readers: dict[tuple[str, SessionId], asyncio.Task[None]] = {}
        self._news: set[tuple[str, SessionId]] = set()
        self._closed = False

    def notify(self, session: SessionId, last_seq: int) -> None:
        if self._closed:
            return
        for name in self._watchers():
            self._news.add((name, session))
            if (name, session) not in self._readers:
                self._readers[name, session] = asyncio.create_task(self._read(name, session))

    def catch_up(self, session: SessionId) -> None:
        """Show the plugins what they have not seen of this session, if anything."""
        self.notify(session, 0)

    async def recover(self) -> None:
        """Catch up where a plugin's cursor lies behind what the index knows of a session."""
        cursors = await self._house.state.settings("cursor.")
        for row in await self._house.index.list(limit=_LOOKED_AT):
            keys = {f"cursor.{name}.{row['id']}" for name in self._watchers()} & cursors.keys()
            if any(cursors[key] < row["last_seq"] for key in keys):
                self.catch_up(SessionId(row["id"]))

    async def close(self) -> None:
        self._closed = True
        readers = list(self._readers.values())
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    def _watchers(self) -> list[str]:
        if self._names is None:
            self._names = self._house.plugins.implementers(_HOOK)
        return self._names

    async def _read(self, name: str, session: SessionId) -> None:
        key = f"cursor.{name}.{session}"
        try:
            async with self._house.store.use(session) as file:
                cursor = int(await self._house.state.get(key, 0))
                while (name, session) in self._news:
                    self._news.discard((name, session))
                    while rows := await file.events(cursor, _BATCH):
                        cursor = await self._show(name, session, key, rows)
        except (NoSession, StorageError):
            log.exception("session %s: the plugin %s cannot be shown its events", session, name)
        finally:
            self._readers.pop((name, session), None)

    async def _show(self, name: str, session: SessionId, key: str, rows: list[dict[str, Any]]) -> int:
        """Show these events; the cursor is kept also when a close cuts in. Returns it."""
        cursor = rows[0]["seq"] - 1
        try:
            for row in rows:
                if row["type"] in _KNOWN:
                    await self._house.plugins.ask_one(
                        name, _HOOK, session=session, event=_event(session, row)
                    )
                else:  # of a newer version that was taken back
                    log.warning("session %s: %s is no event we know; passed by", session, row["type"])
                cursor = row["seq"]
        finally:
            await self._house.state.set(key, cursor)
        return int(cursor)


def _event(session: SessionId, row: dict[str, object]) -> Event:
    prompt = row["prompt_id"]
    return Event(
        session=session,
        seq=int(str(row["seq"])),
        type=EventType(str(row["type"])),
        at=float(str(row["at"])),
        prompt_id=None if prompt is None else PromptId(int(str(prompt))),
        author_id=None if row["author_id"] is None else str(row["author_id"]),
        data=dict(row["data"]),  # type: ignore[call-overload]  # a JSON object, as it was written
    )
