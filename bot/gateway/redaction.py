"""A key does not come back: whatever a service repeats of it is taken out of its answers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import quote

from storage import Secret

SHORTEST = 6  # below it is a word, which any answer may hold by chance
MARK = b"[key]"


def spellings(secret: Secret | None) -> tuple[bytes, ...]:
    """How a key may be repeated."""
    if secret is None or len(secret.reveal()) < SHORTEST:
        return ()
    plain = secret.reveal().encode()
    coded = base64.b64encode(plain).rstrip(b"=")
    found = (plain, quote(plain, safe="").encode(), coded, coded.translate(_URL_SAFE), plain.hex().encode())
    return tuple(dict.fromkeys(found))


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def redacted(data: bytes, secrets: Sequence[bytes]) -> bytes:
    for secret in secrets:
        data = data.replace(secret, MARK)
    return data


class Redactor:
    """The same in a stream. Only what may be the beginning of a key is held back, until it is clear."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = secrets
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        data = redacted(self._held + piece, self._secrets)
        begun = max((_begun(data, secret) for secret in self._secrets), default=0)
        self._held = data[len(data) - begun :]
        return data[: len(data) - begun]

    def end(self) -> bytes:
        held, self._held = self._held, b""
        return held


def _begun(data: bytes, secret: bytes) -> int:
    """How many bytes at the end of `data` may be the beginning of `secret`."""
    start = data.find(secret[:1], max(0, len(data) - len(secret) + 1))
    while start >= 0:
        if secret.startswith(data[start:]):
            return len(data) - start
        start = data.find(secret[:1], start + 1)
    return 0
