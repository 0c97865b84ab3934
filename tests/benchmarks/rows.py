"""What a bench hands in: rows of one table, times in milliseconds at the median."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def row(what: str, ours: float, baseline: float | None = None, note: str = "") -> Row:
    """One line: `ours` and `baseline` in milliseconds. The ratio is ours by the baseline."""
    return {
        "what": what,
        "ours_ms": round(ours, 3),
        "baseline_ms": None if baseline is None else round(baseline, 3),
        "ratio": None if baseline is None else round(ours / baseline, 2),
        "note": note,
    }


def p50(seconds: Sequence[float]) -> float:
    """The median of times in seconds, in milliseconds."""
    return statistics.median(seconds) * 1000
