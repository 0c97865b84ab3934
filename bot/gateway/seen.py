"""What an answer tells of itself while it passes: events, cut up anywhere, and the usage in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

EVENT_BYTES = 16 * 1024 * 1024  # of one event that is looked into; a longer one passes unread
WHOLE_BYTES = 64 * 1024 * 1024  # of an answer in one piece that is looked into
DONE = b"[DONE]"


@dataclass(slots=True)
class Seen:
    """`usage` is (read, of them cached, written, extra); it is right only once `final`.

    `trouble` is what went wrong in the middle, in a word of the provider's.
    """

    usage: tuple[int, int, int, int] | None = None
    final: bool = False
    wrote: bool = False
    trouble: str = ""

    @property
    def bill(self) -> tuple[int, int, int, int] | None:
        """What may be charged: told, final, and not denying what was seen with our own eyes."""
        if self.usage is None or not self.final or (self.wrote and self.usage[2] == 0):
            return None
        return self.usage


class Reader(Protocol):
    """Reads the usage out of one answer, in one protocol."""

    seen: Seen

    def event(self, data: dict[str, Any]) -> None:
        """The next event of a stream."""

    def done(self) -> None:
        """The stream says that this was all."""

    def whole(self, data: dict[str, Any]) -> None:
        """An answer in one piece."""


def number(value: Any) -> int | None:
    """A count of tokens; None when it is none. What is left out counts as nothing."""
    if value is None:
        return 0
    return value if type(value) is int and value >= 0 else None


def word(value: Any) -> str:
    """A word from outside that may be repeated."""
    fine = isinstance(value, str) and 0 < len(value) <= 40 and value.isascii() and value.isprintable()
    return value if fine else "an error"


def parsed(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class EventStream:
    """Finds the data of server-sent events in pieces of any size."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._line_size = 0
        self._data: list[bytes] = []
        self._size = 0  # of the event so far, in full; beyond the bound nothing of it is kept
        self._after_return = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that ends in this piece."""
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]  # the other half of a CR LF that was cut in two
            self._after_return = False
        if piece:
            self._after_return = piece.endswith(b"\r")
        for part in piece.splitlines(keepends=True):  # of bytes: at CR, LF and CR LF, as the standard has it
            text = part.rstrip(b"\r\n")
            self._keep(text)
            if len(text) < len(part) and (event := self._end_of_line()) is not None:
                yield event

    def end(self) -> Iterator[bytes]:
        """The data of an event that the end of the stream leaves without its empty line."""
        for _ in range(2):
            if (event := self._end_of_line()) is not None:
                yield event

    def _keep(self, text: bytes) -> None:
        self._line_size += len(text)
        self._size += len(text)
        if self._size <= EVENT_BYTES:
            self._line += text

    def _end_of_line(self) -> bytes | None:
        line, empty = bytes(self._line), self._line_size == 0
        self._line, self._line_size = bytearray(), 0
        if empty:
            return self._end_of_event()
        if line.startswith(b"data:"):
            self._data.append(line.removeprefix(b"data:").removeprefix(b" "))
        return None

    def _end_of_event(self) -> bytes | None:
        data, fits = b"\n".join(self._data), self._size <= EVENT_BYTES
        self._data, self._size = [], 0
        return data if data and fits else None
