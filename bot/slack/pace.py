"""How fast we may speak: Slack counts per method, app and workspace, so all sessions share one pacer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Pacer:
    """A token bucket: `per_minute` calls over time, `burst` at once. `hold` is for a 429's Retry-After."""

    def __init__(self, per_minute: float, burst: int, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60.0
        self._burst = float(burst)
        self._now = now
        self._tokens = float(burst)
        self._at = now()
        self._turn = asyncio.Lock()

    def hold(self, seconds: float) -> None:
        """Nobody speaks for so long."""
        self._refill()
        self._tokens = min(self._tokens, 1.0 - seconds * self._rate)

    async def wait(self) -> None:
        """Returns when one more call may be made; first come, first served."""
        async with self._turn:
            self._refill()
            while self._tokens < 1.0:
                await asyncio.sleep((1.0 - self._tokens) / self._rate)
                self._refill()
            self._tokens -= 1.0

    def _refill(self) -> None:
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
