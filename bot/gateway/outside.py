"""The internet as the gateway sees it: a name is resolved once, and what was checked is what is reached."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from bot.gateway.hosts import Destination, is_public
from bot.gateway.refusals import Refused
from bot.gateway.words import Denial

RESOLVERS = 8  # names looked up at a time; those of slow servers wait among themselves
TRIED_ADDRESSES = 4
STREAM_BYTES = 256 * 1024  # read at once

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Outside(Protocol):
    """Where names lead, and the way there. Both raise OSError; neither decides anything."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a name."""

    async def connect(self, address: str, port: int) -> Streams: ...
    def close(self) -> None: ...


class Internet:
    """The real one: the resolver of this machine, and TCP."""

    def __init__(self) -> None:
        # Threads of its own: the bot's shared ones must not all wait for a name server somebody else runs.
        self._threads = ThreadPoolExecutor(RESOLVERS, "gateway-dns")

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    async def connect(self, address: str, port: int) -> Streams:
        reader, writer = await asyncio.open_connection(address, port, limit=STREAM_BYTES)
        if writer.get_extra_info("sockname")[0] == writer.get_extra_info("peername")[0]:
            writer.transport.abort()
            raise ConnectionRefusedError("this machine itself")  # its public address is its own, too
        return reader, writer

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


async def reach(outside: Outside, wanted: Destination, seconds: float) -> Streams:
    """A connection to an allowed destination. Refused when it is not on the internet, or not there."""
    try:
        async with asyncio.timeout(seconds):
            addresses = await outside.resolve(wanted.host, wanted.port)
    except TimeoutError:
        raise Refused(504, "name_timeout", f"Looking up {wanted.host} took too long.") from None
    except (OSError, UnicodeError):
        raise Refused(502, "unknown_host", f"{wanted.host} has no address.") from None
    if not addresses:
        raise Refused(502, "unknown_host", f"{wanted.host} has no address.")
    if not all(map(is_public, addresses)):  # one is enough: whoever answers for the name is not to be trusted
        reason = "its name leads to an address that is not on the internet"
        fix = "A service of your own network is reached through a route: [[gateway.routes]]."
        raise Refused(403, "private_address", f"{wanted.host}: {reason}.", Denial(str(wanted), reason, fix))
    return await _first(outside, addresses[:TRIED_ADDRESSES], wanted, seconds)


async def _first(outside: Outside, addresses: Sequence[str], wanted: Destination, seconds: float) -> Streams:
    timed_out = False
    for address in addresses:
        try:
            async with asyncio.timeout(seconds):
                return await outside.connect(address, wanted.port)
        except TimeoutError:
            timed_out = True
        except OSError:
            timed_out = False
    if timed_out:
        raise Refused(504, "connect_timeout", f"{wanted} did not answer in time.")
    raise Refused(502, "unreachable", f"{wanted} could not be reached.")
