"""What a recorded process said and heard over the network, cut into requests and Socket Mode messages."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from disk_kit import Op

Json = dict[str, Any]
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")
_TEXT = 1


@dataclass(frozen=True)
class Request:
    """An HTTP request that left with step `at`."""

    at: int
    method: str
    path: str
    body: bytes

    @property
    def json(self) -> Json:
        return dict(json.loads(self.body))


@dataclass(frozen=True)
class Acknowledged:
    """An envelope, and the step with which its acknowledgement left."""

    at: int
    payload: Json


@dataclass
class _Side:
    """One direction of a connection: its bytes, and with which step which of them came."""

    data: bytearray = field(default_factory=bytearray)
    starts: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    def add(self, step: int, data: bytes) -> None:
        self.starts.append(len(self.data))
        self.steps.append(step)
        self.data += data

    def step(self, offset: int) -> int:
        return self.steps[bisect_right(self.starts, offset) - 1]


@dataclass
class _Connection:
    out: _Side = field(default_factory=_Side)
    back: _Side = field(default_factory=_Side)


def _connections(ops: list[Op]) -> list[_Connection]:
    """A descriptor is used again: each `connect` begins another conversation."""
    found: list[_Connection] = []
    now: dict[int, _Connection] = {}
    for step, op in enumerate(ops):
        if op.kind == "C" or (op.kind in "NV" and op.inode not in now):
            now[op.inode] = _Connection()
            found.append(now[op.inode])
        if op.kind == "N":
            now[op.inode].out.add(step, op.data)
        elif op.kind == "V":
            now[op.inode].back.add(step, op.data)
    return found


def requests(ops: list[Op]) -> Iterator[Request]:
    """All that the process asked for, in no order."""
    for connection in _connections(ops):
        side, at = connection.out, 0
        while (end := side.data.find(b"\r\n\r\n", at)) >= 0:
            head = bytes(side.data[at : end + 2])
            method, path = head.split(b" ", 2)[:2]
            if not method.isalpha() or not method.isupper():
                break  # an answer of its own, or a socket that speaks frames
            length = _LENGTH.search(head)
            stop = end + 4 + (int(length[1]) if length else 0)
            yield Request(side.step(at), method.decode(), path.decode(), bytes(side.data[end + 4 : stop]))
            at = stop


def acknowledged(ops: list[Op]) -> Iterator[Acknowledged]:
    """Every envelope that was acknowledged over Socket Mode."""
    for connection in _connections(ops):
        if not connection.out.data.startswith(b"GET /link/"):
            continue
        envelopes = {
            body["envelope_id"]: body for _, body in _frames(connection.back) if "envelope_id" in body
        }
        for at, body in _frames(connection.out):
            if body.get("envelope_id") in envelopes:
                yield Acknowledged(at, envelopes[body["envelope_id"]]["payload"])


def _frames(side: _Side) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The JSON texts of one direction of a WebSocket, each with its first byte's step."""
    data, at = side.data, side.data.find(b"\r\n\r\n") + 4
    while at + 2 <= len(data):
        kind, begin, size, masked = data[at] & 15, at, data[at + 1] & 127, data[at + 1] & 128
        at += 2
        wide = {126: 2, 127: 8}.get(size, 0)
        if wide:
            size = int.from_bytes(data[at : at + wide])
            at += wide
        key = bytes(data[at : at + 4]) if masked else b"\0\0\0\0"
        at += 4 if masked else 0
        body = bytes(byte ^ key[i % 4] for i, byte in enumerate(data[at : at + size]))
        at += size
        if kind == _TEXT and len(body) == size:
            yield side.step(begin), dict(json.loads(body))
