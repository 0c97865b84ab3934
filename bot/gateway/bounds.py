"""What the gateway holds every connection to."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 32 * 1024  # the first line and all headers of a request
READ_BYTES = 64 * 1024  # taken from a connection at once; so much may be sent ahead, too
MESSAGE_BYTES = 16 * 1024 * 1024  # one message to the session's MCP server
BUFFERED_BYTES = 64 * 1024 * 1024  # bodies that one turn's requests hold in memory at a time
CONNECTIONS = 128  # of one turn at a time
ALL_CONNECTIONS = 512  # of all turns: each may need two of the bot's open files
TOLD_DENIALS = 20  # of one turn; the others are counted
WHERE_CHARS = 200  # of a denial
LINGER_BYTES = 1024 * 1024  # still read from a client that was refused, so that it sees why


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long anything is waited for. Only tests shorten them."""

    head_seconds: float = 30.0  # until a request's head is there, the quiet before it included
    connect_seconds: float = 10.0  # looking up a name, and again each address of it
    answer_seconds: float = 300.0  # until a plain route's service begins to answer
    idle_seconds: float = 900.0  # a tunnel, a body or a stream in which nothing moves
    linger_seconds: float = 2.0


class Room:
    """A number that may be taken from and given back: connections, bytes in memory."""

    def __init__(self, size: int) -> None:
        self._free = size

    def take(self, amount: int = 1) -> bool:
        """Whether there was so much left; nothing is taken otherwise."""
        if amount > self._free:
            return False
        self._free -= amount
        return True

    def give(self, amount: int = 1) -> None:
        self._free += amount
