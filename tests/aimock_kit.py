"""aimock, a stand-in for model providers, as `make test` installs it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp

NPM = Path(__file__).parent / "npm/node_modules"
AIMOCK = NPM / "@copilotkit/aimock/dist/cli.js"
START_SECONDS = 30

Fixture = dict[str, Any]

# As providers of either kind call it; what a route of ours believes.
USAGE = {"prompt_tokens": 900, "completion_tokens": 30, "input_tokens": 900, "output_tokens": 30}
# opencode asks for a title with the first prompt of a session.
TITLE: Fixture = {
    "match": {"systemMessage": "You are a title generator"},
    "response": {"content": "A title", "usage": USAGE},
}


def node() -> str:
    """The Node.js that the tests' programs run on."""
    newer = NPM / "newer-node/bin/node"
    found = str(newer) if newer.exists() else shutil.which("node")
    assert found, "Node.js is not there; `make test` installs it"
    return found


Match = Mapping[str, Any]


def calls(said: str, *tools: tuple[str, Mapping[str, Any]], match: Match = MappingProxyType({})) -> Fixture:
    """To a prompt with these words the model answers with these tool calls."""
    listed = [{"name": name, "arguments": json.dumps(arguments)} for name, arguments in tools]
    return {"match": {"userMessage": said, **match}, "response": {"toolCalls": listed, "usage": USAGE}}


def answers(said: str, text: str, match: Match = MappingProxyType({}), **more: Any) -> Fixture:
    """To a prompt with these words it answers with text; `more` is how it fails while doing so."""
    return {"match": {"userMessage": said, **match}, "response": {"content": text, "usage": USAGE}, **more}


def fails(said: str, status: int) -> Fixture:
    """To a prompt with these words it answers with an error."""
    error = {"message": "the stand-in says no", "type": "stand_in", "code": "stand_in"}
    return {"match": {"userMessage": said}, "response": {"error": error, "status": status}}


def in_order(*spoken: Fixture) -> list[Fixture]:
    """For prompts of one thread: a later one has the words of earlier ones in it, so it is tried first."""
    return [TITLE, *reversed(spoken)]


class Aimock:
    """One running stand-in."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def journal(self) -> list[dict[str, Any]]:
        """Every request it got, oldest first."""
        found = await self._control("GET", "journal")
        return list(found if isinstance(found, list) else found["entries"])

    async def talks(self) -> list[list[dict[str, Any]]]:
        """The messages of every call that was no request for a title."""
        bodies = [entry["body"] for entry in await self.journal() if entry["body"]]
        talks = [list(body["messages"]) for body in bodies if "messages" in body]
        return [talk for talk in talks if "title generator" not in json.dumps(talk[0])]

    async def _control(self, method: str, action: str, body: Any = None) -> Any:
        async with self._http.request(method, f"{self.url}/__aimock/{action}", json=body) as response:
            text = await response.text()
            assert response.status < 400, f"{action}: {text}"
            return json.loads(text) if text else None


@contextlib.asynccontextmanager
async def aimock(folder: Path, fixtures: Sequence[Fixture]) -> AsyncIterator[Aimock]:
    """Start one on a free port of loopback."""
    assert AIMOCK.is_file(), "aimock is not installed; `make test` does that"
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": list(fixtures)}))
    command = [node(), str(AIMOCK), "-p", "0", "-f", str(folder / "fixtures.json")]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *[*command, "--strict", "--validate-on-load"],
        stdout=pipe,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "AIMOCK_STRICT_TURN_INDEX": "1"},
    )
    assert process.stdout is not None
    drain: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(START_SECONDS):
            url = await _address(process.stdout)
        drain = asyncio.create_task(process.stdout.read())
        async with aiohttp.ClientSession() as http:
            yield Aimock(url, http)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if drain is not None:
            await drain


async def _address(output: asyncio.StreamReader) -> str:
    said = b""
    while line := await output.readline():
        said += line
        if b" listening on " in line:
            return line.decode().rpartition(" ")[2].strip()
    raise AssertionError(f"aimock did not start: {said.decode()}")
