"""Slack timestamps: seconds with six decimals, unique and increasing, also across restarts."""

from __future__ import annotations

import re
import time

_TS = re.compile(r"\d{1,12}\.\d{6}")


class Clock:
    """Hands out timestamps later than `last`, the highest one already used (None for none)."""

    def __init__(self, last: str | None) -> None:
        self._last = int(last.replace(".", "")) if last else 0

    def ts(self) -> str:
        """The next timestamp, in the form "1700000000.000100"."""
        # Steps of 10 us keep a burst in order without running far ahead of the wall clock.
        self._last = max(int(time.time() * 1_000_000), self._last + 10)
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"


def is_ts(value: str) -> bool:
    """Whether `value` has the form of a timestamp."""
    return _TS.fullmatch(value) is not None


def seconds(ts: str) -> int:
    """The whole seconds of a timestamp."""
    return int(ts.split(".", 1)[0])
