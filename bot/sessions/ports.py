"""What sessions need from the outside, as they see it: each edge brings its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bot.domain import Attachment, Person, ThreadKey, ThreadMessage


class Directory(Protocol):
    """People and places. A read that failed raises; it never becomes "no such person"."""

    async def person(self, team: str, user: str) -> Person: ...
    async def channel_name(self, channel: str) -> str: ...
    async def thread(
        self, thread: ThreadKey, before_ts: str | None, limit: int
    ) -> Sequence[ThreadMessage]: ...
    async def fetch(self, file: Attachment, most_bytes: int) -> bytes:
        """The content of a file that came with a prompt. UserError says why there is none."""
