"""Faults on order, and the log of what was asked: how tests and the demo see and shake the wire."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from bot.playground.github.errors import GitHubSideError

KINDS = ("rate_limited", "server_error", "lost_reply")
_LOGGED = 5_000
_PENDING = 100


@dataclass(slots=True)
class Fault:
    """`method` is `POST /repos/*/pulls` (a `*` matches anything) or `git-receive-pack`."""

    method: str
    kind: str
    times: int


class Faults:
    """Faults wait until a matching request takes them, the oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, method: str, kind: str, times: int) -> None:
        """Raises GitHubSideError (400) when the fault could never happen."""
        if kind not in KINDS:
            raise GitHubSideError(400, f"kind {kind!r} is unknown here; use one of {', '.join(KINDS)}")
        if times < 1:
            raise GitHubSideError(400, "times must be 1 or more")
        if len(self._waiting) >= _PENDING:
            raise GitHubSideError(400, f"{_PENDING} faults are waiting already")
        self._waiting.append(Fault(method, kind, times))

    def take(self, method: str, path: str) -> str | None:
        """The kind of fault this request meets, if any; uses it up."""
        for fault in self._waiting:
            if fault.method == method or fnmatchcase(f"{method} {path}", fault.method):
                fault.times -= 1
                self._waiting = [fault for fault in self._waiting if fault.times > 0]
                return fault.kind
        return None


@dataclass(slots=True)
class Logged:
    """One request. `status` is 0 while it runs and when its reply was lost on purpose."""

    at: str
    method: str
    path: str
    status: int
    login: str | None

    @classmethod
    def unlisted(cls) -> "Logged":
        """An entry for what does not count as a request."""
        return cls("", "", "", 0, None)


class RequestLog:
    """The latest requests, oldest first. Never headers or bodies: tokens travel in them."""

    def __init__(self) -> None:
        self._entries: deque[Logged] = deque(maxlen=_LOGGED)

    def start(self, method: str, path: str) -> Logged:
        entry = Logged(datetime.now(UTC).isoformat(timespec="milliseconds"), method, path, 0, None)
        self._entries.append(entry)
        return entry

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for entry in self._entries:
            yield {
                "at": entry.at,
                "method": entry.method,
                "path": entry.path,
                "status": entry.status,
                "login": entry.login,
            }
