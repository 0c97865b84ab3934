"""A session whose file cannot be used: its thread is told, and nothing is ever begun in its place."""

from __future__ import annotations

import logging

from bot.domain import SessionId, ThreadKey
from bot.sessions.house import House
from storage import StorageError, Unusable

log = logging.getLogger(__name__)


async def tell_unusable(
    house: House, session: SessionId, error: Unusable, thread: ThreadKey | None = None, about: str = ""
) -> None:
    """Owe the thread one message, on the disk; `about` is what is answered by it: each is answered once.

    It lies in `state.db`, since the session's own file cannot take it. Raises StorageError.
    """
    log.error("session %s cannot go on: %s", session, error)
    place = await _known_place(house, session) if thread is None else thread
    if place is None:
        log.error("session %s: nobody knows its thread any more, so nobody was told there", session)
        return
    facts = {
        "kind": "unusable",
        "channel": place.channel,
        "thread_ts": place.thread_ts,
        "message_ts": about or None,
    }
    await house.state.effect_plan("thread.post", f"unusable:{session}:{about}", facts)


async def _known_place(house: House, session: SessionId) -> ThreadKey | None:
    """The id of a session does not tell its thread; the index does, as long as it is there."""
    try:
        row = await house.index.get(session)
    except StorageError:
        log.exception("session %s: the index cannot be read; `threadsmith reindex` mends it", session)
        return None
    return None if row is None else ThreadKey(row["team"], row["channel"], row["thread_ts"])
