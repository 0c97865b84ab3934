"""One turn's way out of its sandbox."""

from __future__ import annotations

import asyncio


class Door:
    """See `bot.domain.Egress`."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def close(self) -> None:
        """Cut every connection and let no other in. Safe to call twice."""
