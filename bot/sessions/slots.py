"""How many turns run at once: in all, and per person. First come, first served among those who fit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    def __init__(self, total: int, per_person: int) -> None:
        self._total = total
        self._per_person = per_person
        self._taken: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def take(self, person: str) -> AsyncIterator[None]:
        """Hold one slot for `person`; waits while there is none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(person))
            self._taken[person] += 1
        try:
            yield
        finally:
            async with self._changed:
                self._taken[person] -= 1
                self._changed.notify_all()

    def _fits(self, person: str) -> bool:
        return self._taken.total() < self._total and self._taken[person] < self._per_person
