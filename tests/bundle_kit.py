"""Bundles as no git would write them: objects of any bytes, packed by hand."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha1

from bot.domain import CommitSha

COMMIT, TREE, BLOB, TAG, REF_DELTA = 1, 2, 3, 4, 7
_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
_WHO = "Agent <agent@example.com> 0 +0000"
Entry = tuple[str, bytes, str]


@dataclass(frozen=True, slots=True)
class Thing:
    """One object: its name, and how it stands in a pack."""

    oid: str
    packed: bytes


def thing(kind: int, content: bytes) -> Thing:
    head = b"%s %d\0" % (_NAMES[kind], len(content))
    return Thing(sha1(head + content).hexdigest(), _header(kind, len(content)) + zlib.compress(content, 1))


def blob(content: bytes) -> Thing:
    return thing(BLOB, content)


def tree(*entries: Entry) -> Thing:
    """Of (mode, name, object) in this very order, sorted or not."""
    return thing(TREE, b"".join(f"{m} ".encode() + n + b"\0" + bytes.fromhex(o) for m, n, o in entries))


def commit(tree: str, base: str) -> Thing:
    text = f"tree {tree}\nparent {base}\nauthor {_WHO}\ncommitter {_WHO}\n\nturn\n"
    return thing(COMMIT, text.encode())


def zeros(count: int, oid: str = "") -> Thing:
    """A blob of so many zero bytes (whole MiB), made without ever holding them; `oid` spares the hashing."""
    mib = bytes(1 << 20)
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = squeezed.compress(mib) + squeezed.flush(zlib.Z_FULL_FLUSH)
    end = squeezed.flush(zlib.Z_FINISH)
    digest = sha1(b"blob %d\0" % count)
    for _ in range(0 if oid else count >> 20):
        digest.update(mib)
    checksum = ((count % 65521) << 16 | 1).to_bytes(4, "big")
    body = b"\x78\xda" + first * (count >> 20) + end + checksum
    return Thing(oid or digest.hexdigest(), _header(BLOB, count) + body)


def copies(base: Thing, base_size: int, times: int) -> bytes:
    """A delta that is `base` (at most 16 MiB - 1) so many times over, as it stands in a pack."""
    copy = b"\xf0" + base_size.to_bytes(3, "little")
    delta = _varint(base_size) + _varint(base_size * times) + copy * times
    return _header(REF_DELTA, len(delta)) + bytes.fromhex(base.oid) + zlib.compress(delta)


def pack(things: Iterable[Thing | bytes]) -> bytes:
    packed = [each.packed if isinstance(each, Thing) else each for each in things]
    body = b"PACK" + (2).to_bytes(4, "big") + len(packed).to_bytes(4, "big") + b"".join(packed)
    return body + sha1(body).digest()


def bundle(
    base: CommitSha, tip: str, things: Iterable[Thing | bytes], ref: str = "refs/threadsmith/turn"
) -> bytes:
    return f"# v2 git bundle\n-{base} \n{tip} {ref}\n\n".encode() + pack(things)


def turn(base: CommitSha, root: Thing, *things: Thing | bytes) -> bytes:
    """The bundle of a turn that ends in the tree `root`."""
    tip = commit(root.oid, base)
    return bundle(base, tip.oid, [tip, root, *things])


def _header(kind: int, size: int) -> bytes:
    first, size = kind << 4 | size & 15, size >> 4
    return bytes([first | 0x80]) + _varint(size) if size else bytes([first])


def _varint(size: int) -> bytes:
    out = b""
    while size > 0x7F:
        out += bytes([size & 0x7F | 0x80])
        size >>= 7
    return out + bytes([size])
