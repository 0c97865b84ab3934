"""Text from inside a sandbox, made fit to store and to show: bounded, without control characters."""

from __future__ import annotations

import re

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_LINE_ENDS = re.compile(r"\r\n?")
# C0 and C1 controls but tab and newline, marks that reorder text for its reader, and lone surrogates,
# which no database or socket can encode.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SLACK = 4096  # characters looked at beyond the limit, since cleaning removes some


def clean(value: object, limit: int) -> str:
    """The first `limit` characters of a string without what must not be shown; "" for anything else."""
    if not isinstance(value, str):
        return ""
    text = _strip(value[: limit + _SLACK])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clean_line(value: object, limit: int) -> str:
    """As `clean`, on one line and trimmed."""
    return clean(" ".join(clean(value, limit * 2).split()), limit)


def clean_tail(value: object, limit: int) -> str:
    """The last `limit` characters, for output, whose end says most."""
    if not isinstance(value, str):
        return ""
    text = _strip(value[-(limit + _SLACK) :])
    return text if len(text) <= limit else "…" + text[len(text) - limit + 1 :]


def _strip(text: str) -> str:
    return _HIDDEN.sub("", _LINE_ENDS.sub("\n", _ESCAPES.sub("", text)))


class ByteTail:
    """Keeps the last `limit` bytes of a stream, to name the end of it in an error."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._kept += chunk[-self._limit :]
        del self._kept[: -self._limit]

    def text(self) -> str:
        return clean_tail(self._kept.decode("utf-8", "replace"), self._limit).strip()
