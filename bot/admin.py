"""How the command line talks to a running bot: one JSON line each way over a socket only its owner can open.

Only the process that holds the data folder's lock may open its databases; so a command asks the running bot,
or, when none runs, takes the lock and answers itself with the same functions.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from bot.errors import UserError
from storage import StorageError

log = logging.getLogger(__name__)

Command = Callable[[dict[str, Any]], Awaitable[Any]]
_LINE_LIMIT = 64 * 1024 * 1024
_CONNECT_SECONDS = 5.0
_TALK_SECONDS = 30.0  # for a question to come, and for its answer to be taken


class AdminServer:
    """Serves `commands` on `path` (0600)."""

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        self._path = path
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Only the holder of the folder's lock gets here, so a socket that lies there is a dead bot's."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._talk, sock=self._bound(), limit=_LINE_LIMIT)

    def _bound(self) -> socket.socket:
        """A socket that was its owner's alone before anybody could connect: it does not listen yet."""
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.bind(str(self._path))
            self._path.chmod(0o600)
        except OSError:
            bound.close()
            raise
        return bound

    async def stop(self) -> None:
        """Close it, and hang up on whoever is connected: no command line keeps the bot from ending."""
        if self._server is None:
            return
        self._server.close()
        talks = list(self._talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._serve(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TALK_SECONDS):
                line = await reader.readline()
            answer = await self._answer(line)
            writer.write(json.dumps(answer).encode() + b"\n")
            async with asyncio.timeout(_TALK_SECONDS):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, ValueError):
            log.warning("an admin command was cut off")
        finally:
            writer.transport.abort()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command = self._commands[request["command"]]
        except (ValueError, KeyError, TypeError):
            return {"error": "The running bot does not know this command; is it of the same version?"}
        try:
            return {"result": await command(dict(request.get("arguments") or {}))}
        except (UserError, StorageError) as error:
            return {"error": str(error)}
        except Exception:
            log.exception("admin command %s failed", request["command"])
            return {"error": "That failed inside the bot; its log has the details."}


async def ask(path: Path, command: str, arguments: Mapping[str, Any]) -> Any:
    """The running bot's answer. ConnectionError when no bot listens; UserError with the bot's own words."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=_LINE_LIMIT)
    except (OSError, TimeoutError) as error:
        raise ConnectionError("no bot is running on this data folder") from error
    try:
        writer.write(json.dumps({"command": command, "arguments": dict(arguments)}).encode() + b"\n")
        await writer.drain()
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise UserError("The running bot closed the connection without an answer; see its log.")
    answer = json.loads(line)
    if "error" in answer:
        raise UserError(str(answer["error"]))
    return answer["result"]
