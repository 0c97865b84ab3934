"""The script that an agent starts as its MCP server, as a program of its own, against a real HTTP server."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.sessions.own_server import SCRIPT


class Gateway:
    """Stands in for the one of a sandbox: keeps what it was sent, answers as it is told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.answers: list[tuple[int, Any]] = []
        self.held = asyncio.Event()
        self.held.set()
        self.port = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.heard.append(await request.json())
        await self.held.wait()
        status, body = self.answers.pop(0)
        return web.Response(status=status, text=body if isinstance(body, str) else json.dumps(body))


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/mcp", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    made.held.set()
    await runner.cleanup()


@asynccontextmanager
async def script(port: int, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The script as it is, but for the port and an impatient heart."""
    source = SCRIPT.decode().replace("3128", str(port)).replace("BEAT_SECONDS = 10.0", "BEAT_SECONDS = 0.02")
    (folder / "mcp.py").write_text(source)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-E", "-s", str(folder / "mcp.py")),
        cwd=folder,
        env={"http_proxy": "http://127.0.0.1:1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 1024 * 1024,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def say(process: asyncio.subprocess.Process, line: bytes | dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
    await process.stdin.drain()


async def hear(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    return json.loads(await asyncio.wait_for(process.stdout.readline(), 30))


async def test_messages_go_to_the_gateway_and_its_answers_come_back(gateway: Gateway, tmp_path: Path) -> None:
    """One that wants no answer gets none, and what is no message is said at once."""
    gateway.answers = [(202, ""), (200, {"jsonrpc": "2.0", "id": 1, "result": {"tools": []}})]
    async with script(gateway.port, tmp_path) as process:
        await say(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        while not gateway.heard:
            await asyncio.sleep(0.01)
        await say(process, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert await hear(process) == {"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}
        await say(process, b"[]")
        await say(process, b"what?")
        assert (await hear(process))["error"]["code"] == -32700


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (
            413,
            {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "too large"}},
            -32600,
            "too",
        ),
        (403, {"error": {"type": "x", "code": "route", "message": "no such route"}}, -32000, "no such route"),
        (200, "<html>", -32000, "cannot be reached"),
        (200, "[]", -32000, "no answer"),
    ],
)
async def test_what_the_gateway_refuses_is_an_error_of_that_request(
    gateway: Gateway, tmp_path: Path, status: int, body: Any, code: int, words: str
) -> None:
    gateway.answers = [(status, body)]
    async with script(gateway.port, tmp_path) as process:
        await say(process, {"jsonrpc": "2.0", "id": 5, "method": "ping", "params": ["odd"]})
        answer = await hear(process)
        assert (answer["id"], answer["error"]["code"]) == (5, code)
        assert words in answer["error"]["message"]


async def test_without_a_gateway_each_request_has_an_error(tmp_path: Path) -> None:
    async with script(1, tmp_path) as process:
        await say(process, {"jsonrpc": "2.0", "id": "x", "method": "ping"})
        answer = await hear(process)
        assert answer["id"] == "x"
        assert "cannot be reached" in answer["error"]["message"]


async def test_who_wants_to_hear_of_progress_hears_it_until_the_answer_is_there(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.held.clear()
    gateway.answers = [(200, {"jsonrpc": "2.0", "id": 1, "result": {}})]
    async with script(gateway.port, tmp_path) as process:
        params = {"name": "ask", "arguments": {}, "_meta": {"progressToken": "t"}}
        await say(process, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        beats = [await hear(process) for _ in range(3)]
        assert [beat["params"] for beat in beats] == [
            {"progressToken": "t", "progress": n} for n in (1, 2, 3)
        ]
        gateway.held.set()
        while "id" not in (answer := await hear(process)):
            pass
        assert answer["result"] == {}


async def test_a_file_is_sent_by_its_content_and_bounded(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x00\xff")
    (tmp_path / "big").write_bytes(b"x" * (8 * 1024 * 1024 + 1))

    def call(**arguments: Any) -> dict[str, Any]:
        params = {"name": "post_file", "arguments": arguments}
        return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    gateway.answers = [(200, {"jsonrpc": "2.0", "id": 1, "result": {}})]
    async with script(gateway.port, tmp_path) as process:
        await say(process, call(path="a.txt", content="bm8="))
        assert (await hear(process))["result"] == {}
        [heard] = gateway.heard
        arguments = heard["params"]["arguments"]
        assert arguments == {"path": "a.txt", "content": base64.b64encode(b"\x00\xff").decode()}
        for wrong in (call(path="big"), call(path="none"), call(path=7), call(path="\0"), call()):
            await say(process, wrong)
            result = (await hear(process))["result"]
            assert result["isError"]
            assert result["content"][0]["text"].startswith("The file cannot be read")
    assert len(gateway.heard) == 1


def test_it_is_python_as_old_as_images_have_it() -> None:
    ast.parse(SCRIPT.decode(), feature_version=(3, 9))
