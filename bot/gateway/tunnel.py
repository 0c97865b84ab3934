"""Bytes both ways until both sides are done. What is inside them is between the two ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from bot.gateway.outside import STREAM_BYTES, Streams

FLUSH_SECONDS = 10.0  # for the last bytes to leave


async def relay(inside: Streams, outside: Streams, early: bytes, idle_seconds: float) -> None:
    """Ends when both have said their last, or nothing moved for `idle_seconds`; closes only `outside`.

    One side's end is passed on while the other still talks. Raises OSError when either breaks.
    """
    try:
        async with asyncio.timeout(idle_seconds) as limit, asyncio.TaskGroup() as ways:
            moved = _Clock(limit, idle_seconds)
            ways.create_task(_pump(inside[0], outside[1], moved, early))
            ways.create_task(_pump(outside[0], inside[1], moved))
    except* OSError as broken:
        raise ConnectionAbortedError from broken
    else:
        with suppress(OSError):
            async with asyncio.timeout(FLUSH_SECONDS):
                outside[1].close()
                await outside[1].wait_closed()
    finally:
        outside[1].transport.abort()


class _Clock:
    """Every byte that moves gives both ways the whole time again."""

    def __init__(self, limit: asyncio.Timeout, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._now = asyncio.get_running_loop().time

    def wind(self) -> None:
        self._limit.reschedule(self._now() + self._seconds)


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, moved: _Clock, first: bytes = b""
) -> None:
    data = first or await source.read(STREAM_BYTES)
    while data:
        moved.wind()
        sink.write(data)
        await sink.drain()  # the slower end sets the pace; nothing piles up here
        data = await source.read(STREAM_BYTES)
    with suppress(OSError):
        if sink.can_write_eof():
            sink.write_eof()
