"""Waiting for an outside that is away for a moment: told in the thread, bounded, and cut short by a stop.

What is asked again must be a read, or a write with a durable intent that looks before it writes once more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from bot.errors import Unreachable
from bot.git import FailureKind, GitFailure

T = TypeVar("T")
log = logging.getLogger(__name__)

PAUSES_SECONDS = (2.0, 5.0, 15.0, 30.0, 60.0)
LONGEST_SECONDS = 180.0  # no try begins later than this after the first one
_PASSING = frozenset({FailureKind.UNREACHABLE, FailureKind.TIMED_OUT})


class Patience:
    """One turn's. `tell` is given words for the thread, and whether the waiting is over."""

    def __init__(self, what: str, tell: Callable[[str, bool], Awaitable[None]]) -> None:
        self._what = what
        self._tell = tell
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Somebody does not want to wait any longer: what is being tried is the last try."""
        self._ended.set()

    async def over(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer of `ask`, which is called again while that may help. Raises its last failure."""
        began = time.monotonic()
        for tried, pause in enumerate((*PAUSES_SECONDS, None)):
            try:
                found = await ask()
            except (Unreachable, GitFailure) as error:
                if pause is None or not _passes(error):
                    raise
                seconds = max(pause, error.after_seconds if isinstance(error, Unreachable) else 0.0)
                if self._ended.is_set() or seconds > began + LONGEST_SECONDS - time.monotonic():
                    raise
                await self._wait(error, seconds)
            else:
                if tried:
                    await self._tell(f"{self._what} answers again", True)
                return found
        raise AssertionError("not reached")

    async def _wait(self, error: Exception, seconds: float) -> None:
        log.warning(
            "%s Trying again in %.0f s. If it stays so, look at the host's status page and at this machine's "
            "network.",
            *(error, seconds),
        )
        await self._tell(f"{self._what} does not answer; trying again for a few minutes", False)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)


def _passes(error: Exception) -> bool:
    return isinstance(error, Unreachable) or (isinstance(error, GitFailure) and error.kind in _PASSING)
