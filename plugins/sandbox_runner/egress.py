"""The host's end of a sandbox's one way out: a listener inside of it that is accepted from here.

Whatever connects to it is a program of that sandbox, since nothing else is in its network namespace. Sockets
hold that namespace: none of them outlives its sandbox.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass

from bot import Egress
from plugins.sandbox_runner.supervisor import GATEWAY

log = logging.getLogger(__name__)
CONNECTIONS = 128  # at a time
A_SECOND, AT_ONCE = 500, 500  # new ones: a program that only ever connects must not keep the bot busy
AT_A_TIME = 16  # accepted before the loop's other work gets its turn
CUT_SECONDS = 5.0
LINGER_SECONDS = 30.0  # for the last of an answer, once its egress is done with it
NO_DESCRIPTOR_SECONDS = 1.0
RESET = struct.pack("ii", 1, 0)  # a SO_LINGER that makes close() tell the other side that this was no end


def taken(descriptor: int) -> socket.socket | None:
    """The listener that a descriptor is; any other descriptor is closed."""
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return None
    if not is_gateway(listener):
        listener.close()
        return None
    listener.setblocking(False)
    return listener


def is_gateway(each: socket.socket) -> bool:
    """TCP by the name of IPv4's, listening there, and alone."""
    options = (socket.SO_ACCEPTCONN, socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    found = [bool(each.getsockopt(socket.SOL_SOCKET, option)) for option in options]
    alone = found == [True, False, False]
    return alone and each.proto == socket.IPPROTO_TCP and each.getsockname() == GATEWAY


@dataclass(slots=True)
class Connection:
    """One that is served; `writer` once it has one."""

    socket: socket.socket
    writer: asyncio.StreamWriter | None = None

    def cut(self) -> None:
        """Now, whatever is on its way."""
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if self.writer is not None:
            self.writer.transport.abort()


class Listener:
    """Accepts for whoever it leads to; while that is nobody, what connects is closed."""

    def __init__(self, listener: socket.socket, name: str) -> None:
        self._socket, self._name = listener, name
        self._loop = asyncio.get_running_loop()
        self._egress: Egress | None = None
        self._noted: Egress | None = None
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._credit, self._counted = float(AT_ONCE), time.monotonic()
        self._pausing: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener, self._accept)

    async def lead_to(self, egress: Egress | None) -> None:
        """Serve what connects from now on by this one; all that is open is cut first."""
        self._egress = egress
        cut = self._cut()
        if not cut:
            return
        _, left = await asyncio.wait(cut, timeout=CUT_SECONDS)
        if left:
            log.error("sandbox %s: %d cut connections are served on and on", self._name, len(left))

    def _cut(self) -> list[asyncio.Task[None]]:
        """The tasks that end now; but for the one that asks for it, which goes on with a dead connection."""
        for connection in self._open.values():
            connection.cut()
        tasks = [task for task in self._open if task is not asyncio.current_task()]
        for task in tasks:
            if not task.cancelling():
                task.cancel()
        return tasks

    def close(self) -> None:
        """Cut all there is and let the listener go. Safe to call twice."""
        self._egress = None
        self._cut()
        if self._pausing is not None:
            self._pausing.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    # -- accepting ---------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(AT_A_TIME):
            if (seconds := self._too_early()) > 0:
                self._pause(seconds)
                return
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor is left, as a rule
                log.error("sandbox %s: a connection cannot be accepted: %s", self._name, error)
                self._pause(NO_DESCRIPTOR_SECONDS)
                return
            self._credit -= 1
            self._meet(connection)

    def _too_early(self) -> float:
        """In how many seconds another one may be accepted."""
        now = time.monotonic()
        self._credit = min(AT_ONCE, self._credit + (now - self._counted) * A_SECOND)
        self._counted = now
        return (1 - self._credit) / A_SECOND

    def _pause(self, seconds: float) -> None:
        """What connects meanwhile waits in the kernel's queue."""
        self._loop.remove_reader(self._socket)
        self._pausing = self._loop.call_later(seconds, self._loop.add_reader, self._socket, self._accept)

    def _meet(self, accepted: socket.socket) -> None:
        if self._egress is None or len(self._open) >= CONNECTIONS:
            accepted.close()
            return
        connection = Connection(accepted)
        task = self._loop.create_task(self._serve(self._egress, connection))
        self._open[task] = connection
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._open.pop(task).socket.close()

    async def _serve(self, egress: Egress, connection: Connection) -> None:
        reader, writer = await asyncio.open_connection(sock=connection.socket)
        connection.writer = writer
        try:
            await egress.serve(reader, writer)
            await closed(writer)
        except ConnectionError:
            pass  # the program went away
        except Exception as error:  # one connection's trouble, whatever it is, is not the sandbox's
            self._note(egress, error)
        finally:
            writer.transport.abort()

    def _note(self, egress: Egress, error: Exception) -> None:
        """Once for each egress: what a program does to it must not fill the log."""
        if egress is not self._noted:
            self._noted = egress
            log.error("sandbox %s: a connection to the gateway failed", self._name, exc_info=error)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Once the program took the last of it, or did not in time."""
    writer.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            await writer.wait_closed()
