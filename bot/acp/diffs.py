"""What an edit changed, counted and in a few lines for people: all of it linear in the size of the texts.

A true diff could be made to take hours by whoever writes the texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bot.acp.text import clean

EXCERPT_LINES = 40
EXCERPT_CHARACTERS = 2_000
CONTEXT_LINES = 2
LINE_CHARACTERS = 200


def line_counts(old: str, new: str) -> dict[str, int]:
    """Counted as multisets of lines."""
    before, after = Counter(old.splitlines()), Counter(new.splitlines())
    return {"added": (after - before).total(), "deleted": (before - after).total()}


def excerpt(old: str, new: str) -> str:
    """The stretch from the first to the last changed line, as one hunk of a unified diff, cut to a bound."""
    before, after = old.splitlines(), new.splitlines()
    start = _same(before, after)
    end = _same(before[start:][::-1], after[start:][::-1])
    gone, come = before[start : len(before) - end], after[start : len(after) - end]
    if not gone and not come:
        return ""
    first = max(0, start - CONTEXT_LINES)
    lead, tail = before[first:start], before[len(before) - end :][:CONTEXT_LINES]
    around = len(lead) + len(tail)
    head = f"@@ -{_range(first, len(gone) + around)} +{_range(first, len(come) + around)} @@"
    half = EXCERPT_LINES // 2
    most = half + max(0, half - len(come)), half + max(0, half - len(gone))
    return _joined([
        head, *_marked(" ", lead), *_cut("-", gone, most[0]), *_cut("+", come, most[1]), *_marked(" ", tail),
    ])  # fmt: skip


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines they begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _range(first: int, lines: int) -> str:
    return f"{first + 1 if lines else first},{lines}"


def _cut(sign: str, lines: Sequence[str], most: int) -> list[str]:
    more = [f"{sign}… {len(lines) - most} more"] if len(lines) > most else []
    return [*_marked(sign, lines[:most]), *more]


def _marked(sign: str, lines: Sequence[str]) -> list[str]:
    return [f"{sign}{clean(line, LINE_CHARACTERS)}" for line in lines]


def _joined(lines: Sequence[str]) -> str:
    return clean("\n".join(lines), EXCERPT_CHARACTERS)
