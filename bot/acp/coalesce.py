"""Joins the many small chunks in which an agent speaks into few events."""

from __future__ import annotations

from collections.abc import Callable

from bot.acp.updates import Draft
from bot.domain import EventType

JOINED = frozenset({EventType.AGENT_TEXT, EventType.AGENT_THOUGHT})


class Coalescer:
    """Holds consecutive chunks of text until they are `after_seconds` old or `max_bytes` long.

    It has no timer: after each `add`, ask `due()` and call `flush()` when that time has passed. Anything
    that is no text comes out at once, after the text before it, so the order stays.
    """

    def __init__(
        self, clock: Callable[[], float], *, after_seconds: float = 0.15, max_bytes: int = 2048
    ) -> None:
        self._clock = clock
        self._after_seconds = after_seconds
        self._max_bytes = max_bytes
        self._type = EventType.AGENT_TEXT
        self._parts: list[str] = []
        self._bytes = 0
        self._since = 0.0

    def add(self, draft: Draft) -> list[Draft]:
        """Take a draft in; what must be written now comes out."""
        if draft.type not in JOINED:
            return [*self.flush(), draft]
        ready = self.flush() if draft.type != self._type else []
        self._hold(draft)
        return ready + self.flush() if self._is_full() else ready

    def due(self) -> float | None:
        """The clock's time at which the held text should be flushed; None when nothing is held."""
        return self._since + self._after_seconds if self._parts else None

    def flush(self) -> list[Draft]:
        """Give out what is held."""
        if not self._parts:
            return []
        text = "".join(self._parts)
        self._parts.clear()
        self._bytes = 0
        return [Draft(self._type, {"text": text})]

    def _hold(self, draft: Draft) -> None:
        if not self._parts:
            self._since = self._clock()
        self._type = draft.type
        text = draft.data["text"]
        self._parts.append(text)
        self._bytes += len(text.encode())

    def _is_full(self) -> bool:
        return self._bytes >= self._max_bytes or self._clock() - self._since >= self._after_seconds
