"""A `bot.domain.Process` over a plain subprocess, and what tests of agents share."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from bot.acp.client import AgentClient, text_block
from bot.acp.turn import AgentLimits, StopReason
from bot.acp.updates import Draft
from bot.domain import EventType

PUPPET = Path(__file__).parent / "data" / "puppet_agent.py"

# Ten thousand config options of a session.
MANY = [
    {"id": f"o{n}", "name": "x" * 99, "type": "select", "currentValue": "x", "options": [{"value": "x"}]}
    for n in range(10_000)
]


class LocalProcess:
    """Starts in a group of its own, so that `kill` ends all of it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls, argv: Sequence[str], *, cwd: Path, env: dict[str, str] | None = None
    ) -> LocalProcess:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=cwd, env=env, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        return cls(process)

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def stdout(self) -> AsyncIterator[bytes]:
        async for chunk in _chunks(self._process.stdout):
            yield chunk

    async def stderr(self) -> AsyncIterator[bytes]:
        async for chunk in _chunks(self._process.stderr):
            yield chunk

    async def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        if self._process.stdin.is_closing():
            raise BrokenPipeError
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def write_eof(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def wait(self) -> int:
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # asyncio tells of an exit only once the pipes are at their end, which an unread one never is. Closing
        # the transport itself would wait for the child beside asyncio, which then does not know how it ended.
        transport = self._process._transport  # type: ignore[attr-defined]  # private to asyncio
        for pipe in filter(None, map(transport.get_pipe_transport, range(3))):
            pipe.close()

    async def discard(self) -> None:
        """Give every pipe back, whatever is still in it."""
        await self.kill()
        await self._process.wait()


async def _chunks(reader: asyncio.StreamReader | None) -> AsyncIterator[bytes]:
    assert reader is not None
    while chunk := await reader.read(65536):
        yield chunk


class Heard:
    """Listens to a turn."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.something = asyncio.Event()

    async def __call__(self, draft: Draft) -> None:
        self.drafts.append(draft)
        self.something.set()

    @property
    def text(self) -> str:
        return "".join(draft.data["text"] for draft in self.of(EventType.AGENT_TEXT))

    def of(self, *types: EventType) -> list[Draft]:
        return [draft for draft in self.drafts if draft.type in types]

    def tools(self) -> dict[str, dict[str, Any]]:
        """The last state of each tool, as whoever shows them would merge it, by title."""
        tools: dict[str, dict[str, Any]] = {}
        for draft in self.drafts:
            if draft.type.startswith("tool."):
                tools.setdefault(draft.data["tool_id"], {}).update(draft.data)
        return {tool["title"]: tool for tool in tools.values()}


class Bench:
    """Starts agents in a folder and ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[LocalProcess] = []
        self.clients: list[AgentClient] = []

    def client(self, **settings: Any) -> AgentClient:
        limits = {
            name: settings.pop(name) for name in list(settings) if name in AgentLimits.__dataclass_fields__
        }
        client = AgentClient("puppet", limits=AgentLimits(**limits), **settings)
        self.clients.append(client)
        return client

    async def process(self, argv: Sequence[str], env: dict[str, str] | None = None) -> LocalProcess:
        process = await LocalProcess.start(argv, cwd=self.folder, env=env)
        self.processes.append(process)
        return process

    async def puppet_process(self, **options: Any) -> LocalProcess:
        told = json.dumps(options)
        if len(told) > 100_000:  # more than an argument may be long
            (self.folder / "options.json").write_text(told)
            told = "@options.json"
        return await self.process([sys.executable, "-S", str(PUPPET), told])

    async def puppet(self, options: dict[str, Any] | None = None, /, **settings: Any) -> AgentClient:
        client = self.client(**settings)
        await client.start(await self.puppet_process(**(options or {})), str(self.folder))
        return client

    async def close(self) -> None:
        for client in self.clients:
            await client.close(grace_seconds=0)
        for process in self.processes:
            await process.discard()


async def play(
    client: AgentClient, *operations: Sequence[Any], listener: Any = None
) -> tuple[StopReason, Heard]:
    """Let the puppet do these operations as one turn."""
    heard = Heard()
    reason = await client.prompt([text_block(json.dumps(operations))], listener or heard)
    return reason, heard


async def asked(client: AgentClient, method: str, params: object, *before: Any) -> dict[str, Any]:
    """The result of a request of the agent."""
    _, heard = await play(client, *before, ["request", "q", method, params])
    answer: dict[str, Any] = json.loads(heard.of(EventType.AGENT_TEXT)[-1].data["text"])
    assert answer["error"] is None, answer
    result: dict[str, Any] = answer["result"]
    return result
