"""JSON-RPC messages over a `Process`: the SDK's `Transport`, hardened against what runs in a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from bot.acp.failures import flooded, too_long
from bot.domain import Process

MAX_LINE_BYTES = 8 * 1024 * 1024  # read in one go on the event loop: some 50 ms at worst
MAX_PARTS = 1_000_000  # values in one message: each costs some 60 bytes here for 2 on the wire
MAX_UNANSWERED = 32  # requests of the agent that wait for our answer; beyond, it is not read further
MAX_NOISE = 100_000  # lines that are no messages, and requests, in the life of one agent
NOISE_BYTES = 16 * 1024  # of one of those that count as one more
MAX_NAME = 256

Message = dict[str, Any]


class LineTooLong(Exception):
    """One line went beyond the cap."""


class Lines:
    """Splits chunks into lines over bytes, since a chunk may end within a character."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._begun = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines this chunk completes; raises LineTooLong as soon as one is certain to be."""
        *complete, rest = chunk.split(b"\n")
        for part in complete:
            self._append(part)
            yield self.rest()
        self._append(rest)

    def rest(self) -> bytes:
        """What was not ended by a newline, and forgets it."""
        line = bytes(self._begun)
        self._begun.clear()
        return line

    def _append(self, part: bytes) -> None:
        if len(self._begun) + len(part) > self._max_bytes:
            raise LineTooLong
        self._begun += part


def parse(line: bytes) -> Message | None:
    """A JSON-RPC message, or None for anything that is not one or would cost too much to read."""
    if line.count(b",") + line.count(b"[") + line.count(b"{") > MAX_PARTS:
        return None
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and _is_message(value) else None


def _no_constant(name: str) -> None:
    """NaN and Infinity are not JSON: whoever reads our events could not parse them."""


def _is_message(value: Message) -> bool:
    """The SDK's loop dies of an id or error of the wrong type, so those stop here."""
    if "method" in value:
        return _is_name(value["method"]) and ("id" not in value or _is_request_id(value["id"]))
    return type(value.get("id")) is int and isinstance(value.get("error", {}), dict)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME


def _is_request_id(value: object) -> bool:
    return value is None or type(value) is int or _is_name(value)


class ProcessTransport:
    """Moves messages between an agent's stdio and the SDK.

    Notifications never reach the SDK, which would run each in a task of its own and lose their order: they
    go to `notice` with their size in bytes, awaited one by one, so that a slow listener slows the agent and
    nothing piles up.
    `failure` says why the stream ended when the agent did not simply close it.
    """

    def __init__(
        self,
        name: str,
        process: Process,
        notice: Callable[[Message, int], Awaitable[None]],
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self.skipped_lines = 0
        self.ended = False
        self.failure: Exception | None = None
        self._name = name
        self._process = process
        self._notice = notice
        self._max_line_bytes = max_line_bytes
        self._writing = asyncio.Lock()
        self._unanswered = asyncio.Semaphore(MAX_UNANSWERED)
        self._asked: set[int] = set()
        self._noise = 0
        self._incoming = self._read()

    async def send(self, message: Message) -> None:
        """Write one message. An answer that nobody takes any more is dropped: its asker has gone."""
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if "method" in message:
            if "id" in message:
                self._asked.add(message["id"])
            await self._write(line)
            return
        with contextlib.suppress(OSError):
            await self._write(line)
        self._unanswered.release()

    async def receive(self) -> Message | None:
        """The next request or response; None once the stream has ended for any reason."""
        try:
            return await anext(self._incoming)
        except StopAsyncIteration:
            pass
        except LineTooLong:
            self.failure = too_long(self._name, self._max_line_bytes)
        except Exception as error:  # whatever a provider's stream raises: kept, and raised to whoever waits
            self.failure = error
        self.ended = True
        return None

    async def close(self) -> None:
        """Nothing to give back: the process belongs to the client, the stream ends with it."""

    async def _write(self, line: bytes) -> None:
        async with self._writing:
            await self._process.write(line)

    async def _read(self) -> AsyncIterator[Message]:
        async for line in self._lines():
            message = parse(line)
            if message is None:
                self._skip(line)
            elif "id" not in message:
                await self._notice(message, len(line))
            elif "method" in message:
                self._bear_noise(line)
                await self._unanswered.acquire()
                yield message
            elif message["id"] in self._asked:
                self._asked.discard(message["id"])
                yield message
            else:
                self._skip(line)

    def _skip(self, line: bytes) -> None:
        if line.strip():
            self.skipped_lines += 1
            self._bear_noise(line)

    def _bear_noise(self, line: bytes) -> None:
        """Reading costs the host; an agent that only makes noise is not read forever."""
        self._noise += 1 + len(line) // NOISE_BYTES
        if self._noise > MAX_NOISE:
            raise flooded(self._name, "lines that are no messages, or requests")

    async def _lines(self) -> AsyncIterator[bytes]:
        lines = Lines(self._max_line_bytes)
        async for chunk in self._process.stdout():
            for line in lines.feed(chunk):
                yield line
        yield lines.rest()
