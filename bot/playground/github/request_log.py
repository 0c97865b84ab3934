"""The log of what was asked: how tests and the demo see the wire."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_LOGGED = 20_000


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
