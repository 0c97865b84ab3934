"""The session's own MCP server: an agent talks to its thread, and to no other place.

One JSON-RPC message in, one out, without a state of the protocol: the script `mcp_stdio.py`, which agents
start, may be started as often as they like. No tool takes a channel, a thread, a repository or a branch.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from bot.acp.text import clean, clean_line
from bot.domain import Prompt
from bot.errors import UserError
from bot.sessions.house import House
from bot.sessions.own_server import NAME
from bot.sessions.polls import Polls
from bot.sessions.questions import Questions
from bot.sessions.shelf import Shelf
from bot.sessions.tool_words import INSTRUCTIONS, TOOLS
from storage import SessionFile, StorageError

log = logging.getLogger(__name__)

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")  # of MCP, the newest first
MOST_CALLS = 500  # of one turn
MOST_AT_ONCE = 8
MOST_FILES = 20  # of one turn
_NO_METHOD, _BAD_PARAMS = -32601, -32602
_KIND = "thread.file"


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Ask(_Given):
    question: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    options: list[Annotated[str, StringConstraints(min_length=1, max_length=300)]] = []


class _PostFile(_Given):
    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    content: str  # base64; the script in the sandbox adds it


class _PullRequest(_Given):
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    note: Annotated[str, StringConstraints(max_length=8000)] = ""


class _Wrong(Exception):
    """A JSON-RPC error: the message was not one of ours."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class SessionTools:
    """One turn's. `pull_request` is the title and the note it wants for its pull request, if it said so."""

    def __init__(self, house: House, file: SessionFile, prompt: Prompt, questions: Questions) -> None:
        self._file, self._prompt, self._epoch = file, prompt, house.epoch
        self._data = house.folder.path
        self._shelf = Shelf(self._data, file.name)
        self._polls = Polls(questions)
        self._calls = self._running = self._files = 0
        self._tools: dict[str, tuple[type[_Given], Callable[[Any, bool], Awaitable[str]]]] = {
            "ask": (_Ask, self._ask),
            "post_file": (_PostFile, self._post_file),
            "open_pull_request": (_PullRequest, self._open_pull_request),
        }
        self.pull_request: tuple[str, str] | None = None

    async def close(self) -> None:
        """Nothing is waited for any more."""
        await self._polls.close()

    async def handle(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer to one message; None for what wants none."""
        method, number = message.get("method"), message.get("id")
        if not isinstance(method, str) or number is None:
            return None
        try:
            result = await self._answer(method, message.get("params"))
        except _Wrong as wrong:
            error = {"code": wrong.code, "message": str(wrong)}
            return {"jsonrpc": "2.0", "id": number, "error": error}
        return {"jsonrpc": "2.0", "id": number, "result": result}

    async def _answer(self, method: str, params: Any) -> dict[str, Any]:
        given = params if isinstance(params, Mapping) else {}
        match method:
            case "initialize":
                return _hello(given.get("protocolVersion"))
            case "ping":
                return {}
            case "tools/list":
                return {"tools": TOOLS}
            case "tools/call":
                return await self._call(given)
        raise _Wrong(_NO_METHOD, f"There is no method {clean_line(method, 80)} here.")

    # -- a call ----------------------------------------------------------------------------------

    async def _call(self, params: Mapping[str, Any]) -> dict[str, Any]:
        name = params.get("name")
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            raise _Wrong(_BAD_PARAMS, f"There is no tool {clean_line(name, 80)} here.")
        if self._calls >= MOST_CALLS or self._running >= MOST_AT_ONCE:
            return _said("That are too many calls. Go on without.", wrong=True)
        self._calls, self._running = self._calls + 1, self._running + 1
        try:
            return _said(await self._use(tool, params))
        except ValidationError as error:
            return _said(_mistake(error), wrong=True)
        except UserError as error:
            return _said(str(error), wrong=True)
        except (StorageError, OSError):  # what broke is ours to know
            log.exception("session %s: a tool of its agent did not work", self._file.name)
            return _said("That did not work, and it is no fault of yours. Go on without.", wrong=True)
        finally:
            self._running -= 1

    async def _use(
        self, tool: tuple[type[_Given], Callable[[Any, bool], Awaitable[str]]], params: Mapping[str, Any]
    ) -> str:
        model, use = tool
        meta = params.get("_meta")
        patient = isinstance(meta, Mapping) and meta.get("progressToken") is not None
        return await use(model.model_validate(params.get("arguments")), patient)

    async def _ask(self, given: _Ask, patient: bool) -> str:
        text = clean(given.question, 2000).strip()
        options = tuple(clean_line(option, 300) for option in given.options)
        if not text or not all(options) or len(options) > 100:
            raise UserError("Ask something, and offer up to 100 options that say something.")
        return await self._polls.ask(text, options, patient)

    async def _post_file(self, given: _PostFile, patient: bool) -> str:
        if self._files >= MOST_FILES:
            raise UserError(f"No more than {MOST_FILES} files are posted for one request.")
        try:
            content = base64.b64decode(given.content, validate=True)
        except ValueError:
            raise UserError("The file did not arrive.") from None
        if not content:
            raise UserError("The file is empty.")
        number = self._files = self._files + 1
        name = clean_line(PurePosixPath(given.path).name, 100) or "file"
        key = f"file:{self._prompt.id}:{self._prompt.attempt}:{number}"
        async with self._shelf.planning:  # what another call has just put there is not owed yet
            path = await self._shelf.put(content, await self._owed())
            facts: dict[str, Any] = {
                "path": str(path.relative_to(self._data)),
                "name": name,
                "title": clean_line(given.title, 200),
                "prompt_id": self._prompt.id,
            }
            planned = await self._file.plan_of_turn(self._prompt.id, self._epoch, _KIND, key, facts)
        if planned is None:
            raise UserError("This turn is over; nothing is posted.")
        return f"{name} is being posted in the thread."

    async def _owed(self) -> set[str]:
        """The names on the shelf of what is still to be posted."""
        rows = await self._file.effects(("pending", "sending"), _KIND)
        return {Path(str(row["intent"]["path"])).name for row in rows}

    async def _open_pull_request(self, given: _PullRequest, patient: bool) -> str:
        title = clean_line(given.title, 200)
        if not title:
            raise UserError("Give it a title.")
        self.pull_request = (title, clean(given.note, 8000).strip())
        return (
            "Noted. When you are done, what you changed becomes one commit and one pull request, with this "
            "title and note. You need not commit or push."
        )


def _hello(wanted: object) -> dict[str, Any]:
    return {
        "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": NAME, "title": "Threadsmith", "version": version("threadsmith")},
        "instructions": INSTRUCTIONS,
    }


def _said(text: str, *, wrong: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": wrong}


def _mistake(error: ValidationError) -> str:
    """The first thing that is wrong with the arguments; what was given is not repeated."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "arguments"
    return clean_line(f"{where}: {first['msg']}.", 300)
