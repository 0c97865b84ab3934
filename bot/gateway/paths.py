"""Which paths of a route may be asked for. Each is written in one way, and has no second reading."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

_ALLOWED = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# How npm, pnpm and yarn ask for "@scope/name"; the one encoded slash that is let through.
_SCOPED = re.compile(r"/(@[a-z0-9~_-][a-z0-9~._-]*)%2[Ff]([a-z0-9~_-][a-z0-9~._-]*)", re.IGNORECASE)


def normal(path: str) -> str | None:
    """The path as it is compared and sent on; None when there could be two opinions on what it names."""
    if not _ALLOWED.fullmatch(path):
        return None
    written = _ESCAPE.sub(_shortest, path)
    plain = _SCOPED.sub(r"/\1/\2", written, count=1)
    try:
        read = unquote_to_bytes(plain).decode("utf-8")
    except UnicodeDecodeError:  # overlong forms of / and . among them
        return None
    # What a service may make of it: look-alikes folded, ";parameters" dropped.
    for reading in (read, unicodedata.normalize("NFKC", read)):
        if reading.count("/") != plain.count("/") or not all(map(_harmless, reading.split("/")[1:])):
            return None
    return None if "//" in plain else written


def _shortest(escape: re.Match[str]) -> str:
    letter = chr(int(escape[1], 16))
    return letter if letter in _UNRESERVED else escape[0].upper()


def _harmless(segment: str) -> bool:
    name = segment.partition(";")[0]
    return name not in (".", "..") and not any(char in "\\%" or not char.isprintable() for char in segment)


def allowed(path: str, patterns: Iterable[str]) -> bool:
    """Does a normal path match one of them? A * at the end of a pattern stands for all that follows."""
    compared = _SCOPED.sub(r"/\1/\2", path, count=1)
    return any(
        compared.startswith(pattern[:-1]) if pattern.endswith("*") else compared == pattern
        for pattern in patterns
    )
