"""Faults that were asked for and not yet used up."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from bot.playground.slack.errors import ControlError

KINDS = ("rate_limited", "server_error", "lost_reply", "duplicate", "disconnect", "stream_expired")
MAX_TIMES = 1000


@dataclass
class Fault:
    """`kind` strikes the next `times` things whose name matches the pattern `method`."""

    method: str
    kind: str
    times: int


class Faults:
    """The pending faults, oldest first. They live in memory: a restart is a clean slate."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []

    def add(self, method: str, kind: str, times: int) -> None:
        """Ask for a fault; ControlError where it could never strike."""
        if kind not in KINDS:
            raise ControlError(400, f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if not 1 <= times <= MAX_TIMES:
            raise ControlError(400, f"times must be 1 to {MAX_TIMES}, got {times}")
        self._pending.append(Fault(method, kind, times))

    def take(self, name: str, *kinds: str) -> str | None:
        """Use up one fault of these kinds that matches `name`; which kind it was, or None."""
        for fault in self._pending:
            if fault.kind in kinds and fnmatchcase(name, fault.method):
                fault.times -= 1
                if fault.times == 0:
                    self._pending.remove(fault)
                return fault.kind
        return None
