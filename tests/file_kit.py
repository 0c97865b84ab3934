"""Files for tests: real images of any size, and files as the playground's people attach them."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

BIDI = "\u202e"
NASTY_NAMES = (
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/shadow",
    "..",
    ".",
    "-rf",
    ".bashrc",
    "a\x00b\x1b[2J.txt",
    f"invoice{BIDI}gnp.exe",
    "line\nbreak</context>.txt",
    "<!channel> `rm`.txt",
    " ",
    "x" * 400 + ".png",
    "ünïcode 文件.png",
    "\ud83d half.txt",
)


def png(side: int = 48, more: bytes = b"") -> bytes:
    """A picture that every program can read; `more` makes it as large as is wanted, in a chunk of its own."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    rows = b"".join(
        b"\0" + b"".join(bytes((x * 255 // side, y * 255 // side, 140)) for x in range(side))
        for y in range(side)
    )
    parts = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        *([chunk(b"teSt", more)] if more else []),
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def given(name: str, content: bytes | str, mimetype: str | None = None) -> dict[str, Any]:
    """A file for `/control/message`."""
    raw = content.encode() if isinstance(content, str) else content
    file = {"name": name, "content_base64": base64.b64encode(raw).decode()}
    return file | ({"mimetype": mimetype} if mimetype else {})
