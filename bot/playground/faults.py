"""Faults on order: asked for by a test or a curious person, used up one by one by what they strike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

MAX_TIMES = 1000
_PENDING = 100


class FaultRefused(ValueError):
    """This fault could never strike; the text says why."""


@dataclass(slots=True)
class Fault:
    """`kind` strikes the next `times` things whose name matches the pattern `method`."""

    method: str
    kind: str
    times: int


class Faults:
    """The pending faults, oldest first. They live in memory: a restart is a clean slate."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = kinds
        self._pending: list[Fault] = []

    def add(self, method: str, kind: str, times: int) -> None:
        """Ask for a fault. Raises FaultRefused."""
        if kind not in self._kinds:
            raise FaultRefused(f"kind must be one of {', '.join(self._kinds)}, got {kind!r}")
        if not 1 <= times <= MAX_TIMES:
            raise FaultRefused(f"times must be 1 to {MAX_TIMES}, got {times}")
        if len(self._pending) >= _PENDING:
            raise FaultRefused(f"{_PENDING} faults are waiting already")
        self._pending.append(Fault(method, kind, times))

    def take(self, names: Sequence[str], kinds: Sequence[str] | None = None) -> str | None:
        """Use up one fault of these kinds (None: any) that matches one of `names`; its kind, or None."""
        for fault in self._pending:
            wanted = kinds is None or fault.kind in kinds
            if wanted and any(fnmatchcase(name, fault.method) for name in names):
                fault.times -= 1
                if fault.times == 0:
                    self._pending.remove(fault)
                return fault.kind
        return None
