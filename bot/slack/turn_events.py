"""Which events of a session end a turn, and which only make it wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from bot.domain import EventType

WELL = frozenset({EventType.TURN_FINISHED, EventType.QUESTION_ASKED})
_ENDS = WELL | {EventType.TURN_FAILED, EventType.TURN_STOPPED, EventType.TURN_MOVED}
_IN_TURN = frozenset({"ask", "permission"})
Event = Mapping[str, Any]


def is_end(event: Event) -> bool:
    """A question before any work ends its turn; one of the agent does not."""
    return event["type"] in _ENDS and not _in_turn(event)


def of_running_turn(events: Sequence[dict[str, Any]], begun: bool) -> Sequence[dict[str, Any]]:
    """Those that belong to the turn on show, its end included; an older one is not shown."""
    ends = [i for i, event in enumerate(events) if is_end(event)]
    if begun:
        return events[: ends[0] + 1] if ends else events
    starts = [i for i, event in enumerate(events) if event["type"] == EventType.TURN_STARTED]
    if not starts or (ends and ends[-1] > starts[-1]):
        return []
    return events[starts[-1] :]


def open_questions(events: Iterable[Event], before: Set[str]) -> set[str]:
    """The questions of the agent that nobody has answered after these events."""
    found = set(before)
    for event in events:
        if event["type"] == EventType.QUESTION_ASKED and _in_turn(event):
            found.add(str(event["data"]["key"]))
        elif event["type"] == EventType.QUESTION_ANSWERED:
            found.discard(str(event["data"].get("key")))
    return found


def _in_turn(event: Event) -> bool:
    return event["data"].get("question") in _IN_TURN
