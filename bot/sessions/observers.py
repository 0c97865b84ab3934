"""Plugins that watch: each reads committed events by a cursor of its own, so a slow one delays nobody."""

from __future__ import annotations

import asyncio
import logging

from bot.domain import Event, EventType, PromptId, SessionId
from bot.sessions.house import House

log = logging.getLogger(__name__)

_HOOK = "session_event"
_BATCH = 200


class Observers:
    """One reader per plugin and session with news; it ends when it has caught up.

    A cursor is durable and moves after the plugin has answered, so after a crash a plugin may see an event
    again; an event that it fails on is blamed on it and passed by.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._names: list[str] | None = None
        self._readers: dict[tuple[str, SessionId], asyncio.Task[None]] = {}
        self._news: set[tuple[str, SessionId]] = set()

    def notify(self, session: SessionId, last_seq: int) -> None:
        if self._names is None:
            self._names = self._house.plugins.implementers(_HOOK)
        for name in self._names:
            self._news.add((name, session))
            if (name, session) not in self._readers:
                self._readers[name, session] = asyncio.create_task(self._read(name, session))

    async def close(self) -> None:
        readers = list(self._readers.values())
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    async def _read(self, name: str, session: SessionId) -> None:
        key = f"cursor.{name}.{session}"
        try:
            async with self._house.store.use(session) as file:
                cursor = int(await self._house.state.get(key, 0))
                while (name, session) in self._news:
                    self._news.discard((name, session))
                    while rows := await file.events(cursor, _BATCH):
                        for row in rows:
                            await self._house.plugins.ask_one(
                                name, _HOOK, session=session, event=_event(session, row)
                            )
                        cursor = rows[-1]["seq"]
                        await self._house.state.set(key, cursor)
        finally:
            self._readers.pop((name, session), None)


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
