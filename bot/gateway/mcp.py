"""An agent's way to its session's own MCP server: one JSON-RPC message a request (MCP's streamable HTTP)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from bot.gateway.bounds import MESSAGE_BYTES
from bot.gateway.refusals import Refused
from bot.gateway.wire import Incoming, Outgoing
from bot.gateway.words import TooLarge, Watcher

PARSE_ERROR, INVALID_REQUEST, INTERNAL_ERROR = -32700, -32600, -32603


async def serve(request: Incoming, reply: Outgoing, watcher: Watcher) -> None:
    if request.method != "POST":  # a stream of the server's own is not offered, and a session not kept
        raise Refused(405, "method", "Send one JSON-RPC message by POST.")
    try:
        message = _message(await request.read(MESSAGE_BYTES))
    except TooLarge:
        await reply.json(413, _error(None, INVALID_REQUEST, "The message is too large."))
    except ValueError as error:
        code = INVALID_REQUEST if isinstance(error, _Invalid) else PARSE_ERROR
        await reply.json(400, _error(None, code, str(error)))
    else:
        await _hand_over(message, reply, watcher)


async def _hand_over(message: Mapping[str, Any], reply: Outgoing, watcher: Watcher) -> None:
    try:
        answer = await watcher.tool(message)
    except Exception:  # an edge: the agent gets an answer, and nothing of what went wrong
        answer = _error(message.get("id"), INTERNAL_ERROR, "The tool broke.")
    if answer is None:
        await reply.start(202, {"content-length": "0"})
    else:
        await reply.json(200, answer)


class _Invalid(ValueError):
    """JSON, and no message."""


def _message(content: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise ValueError("This is no JSON.") from None
    if not isinstance(found, dict) or found.get("jsonrpc") != "2.0":
        raise _Invalid("Send one JSON-RPC 2.0 message, and no list of them.")
    if not isinstance(found.get("id"), str | int | float | None) or isinstance(found.get("id"), bool):
        raise _Invalid("An id is a string or a number.")
    if not isinstance(found.get("method"), str) and not found.keys() & {"result", "error"}:
        raise _Invalid("A message has a method, or is an answer.")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _error(request: Any, code: int, text: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request, "error": {"code": code, "message": text}}
