"""One prompt on its way: its bounds, and the three things that may end the wait for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bot.acp.transport import MAX_LINE_BYTES
from bot.acp.updates import Draft

TOOLS_KEPT = 100


class StopReason(StrEnum):
    """Why a turn ended. OTHER is a reason of a newer protocol."""

    END_TURN = "end_turn"
    MAX_TOKENS = "max_tokens"
    MAX_TURN_REQUESTS = "max_turn_requests"
    REFUSAL = "refusal"
    CANCELLED = "cancelled"
    OTHER = "other"

    @classmethod
    def read(cls, value: object) -> StopReason:
        known = {reason.value: reason for reason in cls}
        return known.get(value, cls.OTHER) if isinstance(value, str) else cls.OTHER


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """The bounds of one agent. `idle_seconds` is above the 70 s in which opencode silently retries a model.

    `turn_characters`, `turn_updates` and `turn_bytes` are what one turn may say; after `turn_dropped` beyond,
    or several times the bytes, it is ended.
    """

    start_seconds: float = 90.0
    idle_seconds: float = 180.0
    quiet_seconds: float = 20.0  # of silence, after which people are told that it is waited for
    answer_seconds: float = 900.0  # in which a permission or a form is decided; then it is a no
    turn_seconds: float = 3600.0
    drain_seconds: float = 2.0
    close_seconds: float = 3.0
    queued_updates: int = 256
    turn_characters: int = 1_000_000
    turn_updates: int = 20_000
    turn_bytes: int = 64 * 1024 * 1024
    turn_dropped: int = 100_000
    line_bytes: int = MAX_LINE_BYTES


class Turn:
    """Ends when `response` is there, when it was `given_up`, or when the listener of its updates `failed`."""

    def __init__(
        self, response: asyncio.Task[Any], failed: asyncio.Future[None], limits: AgentLimits
    ) -> None:
        self.response = response
        self.failed = failed
        self.given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.cancelling = asyncio.Event()
        self.questions = 0  # permissions somebody still thinks about: that silence is not the agent's
        self.tools: dict[str, dict[str, Any]] = {}  # what was said of the last ones
        self._limits = limits
        self._last_sign = self._began = self._told = _now()
        response.add_done_callback(_look_at)

    def touch(self) -> None:
        """The agent gave a sign of life."""
        self._last_sign = self._told = _now()

    def note(self, draft: Draft) -> None:
        """Remember what is said of a tool: a request for permission may leave it out."""
        tool_id = draft.data.get("tool_id")
        if tool_id is None:
            return
        self.tools[tool_id] = {**self.tools.pop(tool_id, {}), **draft.data}
        if len(self.tools) > TOOLS_KEPT:
            del self.tools[next(iter(self.tools))]

    @property
    def over(self) -> bool:
        return self.response.done() or self.given_up.done() or self.failed.done()

    @property
    def answered(self) -> bool:
        """Whether the agent itself ended it, well or not so well."""
        done = self.response.done() and not self.response.cancelled()
        return done and self.response.exception() is None

    def idle_left(self) -> float:
        """Seconds of silence that are left."""
        return self._last_sign + self._limits.idle_seconds - _now()

    def quiet_left(self) -> float:
        """Seconds until somebody is to be told of the silence, once more."""
        return self._told + self._limits.quiet_seconds - _now()

    def silence(self) -> float:
        """Seconds since its last sign, of which somebody is told now."""
        self._told = _now()
        return self._told - self._last_sign

    def time_left(self) -> float:
        """Seconds left for the turn as a whole."""
        return self._began + self._limits.turn_seconds - _now()

    async def wait(self, seconds: float) -> None:
        """Until it is over, at most `seconds`."""
        ends = {self.response, self.given_up, self.failed}
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    def give_up(self) -> None:
        if not self.given_up.done():
            self.given_up.set_result(None)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _look_at(response: asyncio.Task[Any]) -> None:
    """A response that fails after the turn was given up interests nobody, and is no warning in the log."""
    if not response.cancelled():
        response.exception()
