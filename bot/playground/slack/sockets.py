"""Socket Mode: tickets, hello, envelopes out, acknowledgements in, disconnect."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable

from aiohttp import WSMsgType, web

from bot.playground import people
from bot.playground.slack.deliveries import Deliveries, Socket
from bot.playground.slack.messages import Json

MAX_SOCKETS = 10
TICKET_SECONDS = 60.0
CONNECTION_SECONDS = 18060


class Sockets:
    """The server side of every Socket Mode connection. `on_change` is called when the number changes."""

    def __init__(self, deliveries: Deliveries, on_change: Callable[[int], None], secret_prefix: str) -> None:
        self._deliveries = deliveries
        self._secret_prefix = secret_prefix
        self._on_change = on_change
        self._tickets: dict[str, float] = {}
        self._disconnects_owed = 0

    def ticket(self) -> str:
        """A ticket for one connection, good for a minute."""
        now = time.monotonic()
        self._tickets = {ticket: end for ticket, end in self._tickets.items() if end > now}
        ticket = self._secret_prefix + secrets.token_urlsafe(24)
        self._tickets[ticket] = now + TICKET_SECONDS
        return ticket

    def disconnect(self, times: int) -> None:
        """Send `disconnect` and close, `times` times: open sockets first, the rest as they connect."""
        open_now = self._deliveries.sockets
        for socket in open_now:
            _say_goodbye(socket, "refresh_requested")
        self._disconnects_owed += times - 1 if open_now else times

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """`GET /link/?ticket=`: one connection, from hello to close."""
        if self._tickets.pop(request.query.get("ticket", ""), 0.0) < time.monotonic():
            return web.json_response({"ok": False, "error": "invalid_ticket"}, status=401)
        response = web.WebSocketResponse(max_msg_size=1 << 20)
        await response.prepare(request)
        socket = Socket()
        writer = asyncio.create_task(_write(socket, response))
        try:
            if self._admit(socket):
                await self._read(response)
        finally:
            self._deliveries.disconnect(socket)
            self._on_change(self._deliveries.connected)
            socket.close()
            await writer
        return response

    def _admit(self, socket: Socket) -> bool:
        if self._deliveries.connected >= MAX_SOCKETS:
            _say_goodbye(socket, "too_many_websockets")
            return False
        socket.send(_hello(self._deliveries.connected + 1))
        if self._disconnects_owed:
            self._disconnects_owed -= 1
            _say_goodbye(socket, "refresh_requested")
            return True
        self._deliveries.connect(socket)
        self._on_change(self._deliveries.connected)
        return True

    async def _read(self, response: web.WebSocketResponse) -> None:
        async for message in response:
            if message.type != WSMsgType.TEXT:
                continue
            data = _json_object(message.data)
            envelope_id = data.get("envelope_id")
            if isinstance(envelope_id, str):
                reply = data.get("payload")
                self._deliveries.acknowledge(envelope_id, reply if isinstance(reply, dict) else None)


async def _write(socket: Socket, response: web.WebSocketResponse) -> None:
    try:
        while (text := await socket.outgoing.get()) is not None:
            await response.send_str(text)
    except ConnectionError:
        return  # the reader sees the same end and cleans up
    await response.close()


def _json_object(text: str) -> Json:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _hello(number: int) -> Json:
    return {
        "type": "hello",
        "num_connections": number,
        "debug_info": {**_debug_info(), "build_number": 1, "approximate_connection_time": CONNECTION_SECONDS},
        "connection_info": {"app_id": people.APP_ID},
    }


def _say_goodbye(socket: Socket, reason: str) -> None:
    socket.send({"type": "disconnect", "reason": reason, "debug_info": _debug_info()})
    socket.close()


def _debug_info() -> Json:
    return {"host": "applink-playground"}
