"""What still has to reach the bot: every envelope is kept until one of its sendings is acknowledged."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bot.playground.slack.messages import Json
from bot.playground.slack.store import Store

EVENTS = "events_api"
# Slack waits 3 s for an acknowledgement and then tries three more times, far apart; here close together.
RETRY_DELAYS = (3.0, 5.0, 20.0)
# Slack tells the person after 3 s; a bot on a busy machine gets more.
GIVE_UP_SECONDS = 10.0


class Socket:
    """One connection's outgoing texts; None asks for it to be closed."""

    def __init__(self) -> None:
        self.outgoing: asyncio.Queue[str | None] = asyncio.Queue()

    def send(self, data: Json) -> None:
        """Queue one JSON text."""
        self.outgoing.put_nowait(json.dumps(data))

    def close(self) -> None:
        """Close once everything queued is sent."""
        self.outgoing.put_nowait(None)


@dataclass
class _Flight:
    """One envelope that is with a socket: its ids so far, and the timer that sends it again."""

    socket: Socket
    retries: int
    ids: list[str] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


class Deliveries:
    """Sends each envelope to exactly one connection, again when unanswered, and anew to each new connection.

    Events are repeated after `retry_delays` seconds, then only when a socket connects, and never given up.
    Commands and interactions, which Slack does not repeat, are sent again only when a socket connects, and
    given up when one that stays open has not answered for `GIVE_UP_SECONDS`.
    """

    def __init__(self, store: Store, retry_delays: tuple[float, ...] = RETRY_DELAYS) -> None:
        self._store = store
        self._delays = retry_delays
        self._sockets: list[Socket] = []
        self._turn = 0
        self._flights: dict[int, _Flight] = {}
        self._rows_by_id: dict[str, int] = {}
        self._flush_scheduled = False
        self.give_up_seconds = GIVE_UP_SECONDS
        # Called with (type, payload, reply) when an acknowledgement carries a reply.
        self.on_reply: Callable[[str, Json, Json], None] | None = None
        # Called with (type, payload) when nobody answered a command or an interaction.
        self.on_unanswered: Callable[[str, Json], None] | None = None

    @property
    def connected(self) -> int:
        """How many sockets are open."""
        return len(self._sockets)

    @property
    def sockets(self) -> list[Socket]:
        """The open sockets."""
        return list(self._sockets)

    def pending(self) -> int:
        """How many envelopes are not acknowledged yet."""
        row = self._store.one("select count(*) as n from envelopes")
        return int(row["n"]) if row else 0

    def add(self, kind: str, payload: Json) -> None:
        """Keep an envelope (`kind` is events_api, slash_commands or interactive) and send it soon.

        Called inside the transaction of what caused it; sent only after that is over.
        """
        self._store.run("insert into envelopes (type, payload) values (?, ?)", kind, json.dumps(payload))
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def connect(self, socket: Socket) -> None:
        """A new connection: it gets what waits, and what older ones never answered."""
        self._sockets.append(socket)
        for row_id, flight in list(self._flights.items()):
            if flight.timer is None and flight.retries:
                self._forget(row_id)
        self._flush(socket)

    def disconnect(self, socket: Socket) -> None:
        """A connection is gone: what it held goes to another at once, or waits for the next."""
        if socket in self._sockets:
            self._sockets.remove(socket)
        for row_id, flight in list(self._flights.items()):
            if flight.socket is socket:
                self._forget(row_id)
        self._flush()

    def acknowledge(self, envelope_id: str, reply: Json | None) -> None:
        """The bot has it. An unknown or repeated id is ignored."""
        row_id = self._rows_by_id.get(envelope_id)
        if row_id is None:
            return
        row = self._store.one("select type, payload from envelopes where id = ?", row_id)
        self._store.run("delete from envelopes where id = ?", row_id)
        self._forget(row_id)
        if reply and row and self.on_reply:
            self.on_reply(row["type"], json.loads(row["payload"]), reply)

    def close(self) -> None:
        """Stop all timers and close all sockets."""
        for row_id in list(self._flights):
            self._forget(row_id)
        for socket in self.sockets:
            socket.close()

    def _forget(self, row_id: int) -> None:
        flight = self._flights.pop(row_id, None)
        if flight is None:
            return
        if flight.timer:
            flight.timer.cancel()
        for envelope_id in flight.ids:
            self._rows_by_id.pop(envelope_id, None)

    def _flush(self, newcomer: Socket | None = None) -> None:
        self._flush_scheduled = False
        if not self._sockets:
            return
        for row in self._store.rows("select * from envelopes order by id"):
            if row["id"] not in self._flights:
                self._send(row, newcomer or self._next_socket(), retries=0, ids=[])

    def _next_socket(self) -> Socket:
        self._turn += 1
        return self._sockets[self._turn % len(self._sockets)]

    def _send(self, row: Any, socket: Socket, *, retries: int, ids: list[str]) -> None:
        envelope_id = str(uuid.uuid4())
        self._store.run("update envelopes set attempts = attempts + 1 where id = ?", row["id"])
        flight = _Flight(socket, retries, [*ids, envelope_id])
        if row["type"] == EVENTS and retries < len(self._delays):
            loop = asyncio.get_running_loop()
            flight.timer = loop.call_later(self._delays[retries], self._retry, row["id"])
        elif row["type"] != EVENTS:
            loop = asyncio.get_running_loop()
            flight.timer = loop.call_later(self.give_up_seconds, self._give_up, row["id"])
        self._flights[row["id"]] = flight
        self._rows_by_id[envelope_id] = row["id"]
        socket.send(_envelope(row, envelope_id))

    def _give_up(self, row_id: int) -> None:
        row = self._store.one("select type, payload from envelopes where id = ?", row_id)
        self._store.run("delete from envelopes where id = ?", row_id)
        self._forget(row_id)
        if row and self.on_unanswered:
            self.on_unanswered(row["type"], json.loads(row["payload"]))

    def _retry(self, row_id: int) -> None:
        flight = self._flights.pop(row_id)
        row = self._store.one("select * from envelopes where id = ?", row_id)
        if row is None or not self._sockets:
            return
        # The earlier ids stay good: a late acknowledgement of the first sending is still one.
        self._send(row, self._next_socket(), retries=flight.retries + 1, ids=flight.ids)


def _envelope(row: Any, envelope_id: str) -> Json:
    envelope: Json = {
        "envelope_id": envelope_id,
        "payload": json.loads(row["payload"]),
        "type": row["type"],
        "accepts_response_payload": row["type"] != EVENTS,
    }
    if row["type"] == EVENTS:
        envelope |= {"retry_attempt": row["attempts"], "retry_reason": "timeout" if row["attempts"] else ""}
    return envelope
