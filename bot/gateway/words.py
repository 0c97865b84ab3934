"""What the gateway tells a turn, and how its own parts hand a request to each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Denial:
    """A refused request. `where` is "host:port" or a route's path, untrusted; `fix` is for an admin."""

    where: str
    reason: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one model call cost. Not `metered`: nothing told its usage, so what was reserved is spent."""

    model: str
    purpose: str  # "agent", or what a call of our own was for
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    usd: float
    metered: bool


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget as it stands: `scope` is turn, session, person_day, repository_day or day."""

    scope: str
    limit_usd: float
    spent_usd: float  # reserved included


class Watcher(Protocol):
    """The turn that a door was opened for. It is told in order, and never raises."""

    async def denied(self, denial: Denial) -> None: ...
    async def used(self, usage: Usage) -> None: ...
    async def warned(self, budget: Budget) -> None:
        """The warning mark of a budget was passed; once a turn and scope."""

    async def exceeded(self, budget: Budget) -> None:
        """A call was refused for want of budget: the turn is to end, and to keep its work."""

    async def model_trouble(self, what: str) -> None:
        """The model's service did not answer well ("it answered 500"); the agent may be trying again."""

    async def tool(self, message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """One JSON-RPC message of the agent to the session's own MCP server, and the answer to it, if any."""


class TooLarge(Exception):
    """A body beyond its bound."""


class Request(Protocol):
    """A request to a route, its head read and checked. `path` is below the route and begins with "/"."""

    method: str
    path: str
    query: str  # without "?"
    headers: Mapping[str, str]  # names in small letters, hop-by-hop ones left out

    def body(self) -> AsyncIterator[bytes]: ...
    async def read(self, limit: int) -> bytes:
        """All of the body; TooLarge beyond `limit` bytes."""


class Reply(Protocol):
    """The answer to a request. Every piece is sent when it is there; nothing is held back."""

    started: bool

    async def start(self, status: int, headers: Mapping[str, str]) -> None: ...
    async def send(self, data: bytes) -> None: ...
    async def json(
        self, status: int, answer: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> None:
        """A whole answer."""
