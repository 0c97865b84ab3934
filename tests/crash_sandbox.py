"""A sandbox and an agent in one process, for runs by the thousand: they die with the bot, as local ones do.

The agent speaks the protocol over its pipes; it does what the last block of a prompt says: `write NAME` makes
a file, `ask` asks people whether it is right, `wait` waits for a cancel.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from crash_git import PACK, Store

from bot import Lease, LeaseRequest, Process, Sandbox, hookimpl
from bot.domain import CommitSha, SandboxId, SnapshotId
from bot.git import TURN_REF, sandbox_side

WAIT_SECONDS = 120.0
_NOWHERE = CommitSha("0" * 40)
_CLONE = sandbox_side.clone("")[2]
_SYNC = sandbox_side.sync("", _NOWHERE, None)[2]
_RESTORE = sandbox_side.restore("")[2]
_COLLECT = sandbox_side.collect("", _NOWHERE)[2]


class SandboxPlugin:
    """Leases one each time it is asked; `heard` is told each prompt that reaches an agent."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self._heard = heard
        self._made = 0

    @hookimpl
    async def lease_sandbox(self, request: LeaseRequest) -> Lease:
        self._made += 1
        sandbox = InProcessSandbox(f"stand-in-{self._made}", self._heard)
        return Lease(sandbox, cold=True, restored=False, release=sandbox.terminate)


class InProcessSandbox(Sandbox):
    """A workspace with one repository in it."""

    def __init__(self, name: str, heard: Callable[[str], None]) -> None:
        self._id = SandboxId(name)
        self._heard = heard
        self._store = Store()
        self._at = ""
        self.files: dict[str, str] = {}

    @property
    def id(self) -> SandboxId:
        return self._id

    async def set_egress(self, egress: object) -> None:
        """There is nothing in it that would go out."""

    @property
    def provider(self) -> str:
        return "stand-in"

    @property
    def workspace(self) -> str:
        return "/workspace"

    @property
    def home(self) -> str:
        return "/home/agent"

    async def exec(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Process:
        if argv[0] != "/bin/sh":
            return AgentProcess(self.files, self._heard)
        return ScriptProcess(lambda data: self._script(argv[2], list(argv[3:]), data))

    async def alive(self) -> bool:
        return True

    async def snapshot(self) -> SnapshotId:
        raise NotImplementedError("nothing asks for one")  # as the local provider's lease today

    async def terminate(self) -> None:
        pass

    def _script(self, script: str, args: list[str], stdin: bytes) -> bytes:
        if script == _CLONE:
            self._at = self._take(stdin)
            self.files.update(self._store.files(self._at))
        elif script == _SYNC:
            return self._sync(args[3], args[4], stdin)
        elif script == _RESTORE:
            kept = self._store.files(self._take(stdin))
            self.files.clear()
            self.files.update(kept)
        elif script == _COLLECT:
            return self._collect(args[3])
        return b""

    def _sync(self, target: str, last: str, stdin: bytes) -> bytes:
        """Work on top of where the host last put us, or of what it made of that work, moves along."""
        if stdin:
            self._take(stdin)
        begun_from_last = last and self._store.objects[last]["body"]["parent"] == self._at
        before = self._store.files(last if begun_from_last else self._at)
        work = {path: text for path, text in self.files.items() if before.get(path) != text}
        gone = before.keys() - self.files.keys()
        moved = {**self._store.files(target), **work}
        self.files.clear()
        self.files.update({path: text for path, text in moved.items() if path not in gone})
        self._at = target
        return b"kept\0" if work or gone else b"moved\0"

    def _collect(self, base: str) -> bytes:
        store = self._store
        commit = store.put_commit(store.put_tree(self.files), base, "turn", {})
        return f"# v2 git bundle\n-{base} \n{commit} {TURN_REF}\n\n".encode() + store.pack(commit, [base])

    def _take(self, bundle: bytes) -> str:
        header, _, pack = bundle.partition(b"\n\n")
        assert pack.startswith(PACK)
        self._store.take(pack)
        return header.decode().splitlines()[-1].split()[0]


_FORM = {
    "sessionId": "one",
    "mode": "form",
    "message": "Is it right so?",
    "requestedSchema": {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}},
        "required": ["answer"],
    },
}


class ScriptProcess:
    """A program that reads all of its input, and then says all it has to say."""

    def __init__(self, script: Callable[[bytes], bytes]) -> None:
        self._script = script
        self._stdin = bytearray()
        self._fed = asyncio.Event()

    async def stdout(self) -> AsyncIterator[bytes]:
        await self._fed.wait()
        if out := self._script(bytes(self._stdin)):
            yield out

    async def stderr(self) -> AsyncIterator[bytes]:
        for nothing in ():
            yield nothing

    async def write(self, data: bytes) -> None:
        self._stdin += data

    async def write_eof(self) -> None:
        self._fed.set()

    async def wait(self) -> int:
        return 0

    async def kill(self) -> None:
        self._fed.set()


class AgentProcess:
    """Reads requests, writes answers and updates."""

    def __init__(self, files: dict[str, str], heard: Callable[[str], None]) -> None:
        self._files = files
        self._heard = heard
        self._out: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._cancelled = asyncio.Event()
        self._told: asyncio.Queue[Any] = asyncio.Queue()
        self._ended = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()

    async def stdout(self) -> AsyncIterator[bytes]:
        while (line := await self._out.get()) is not None:
            yield line

    async def stderr(self) -> AsyncIterator[bytes]:
        for nothing in ():
            yield nothing

    async def write(self, data: bytes) -> None:
        for line in data.splitlines():
            self._take(json.loads(line))

    async def write_eof(self) -> None:
        await self.kill()

    async def wait(self) -> int:
        await self._ended.wait()
        return 0

    async def kill(self) -> None:
        for task in self._work:
            task.cancel()
        self._ended.set()
        self._out.put_nowait(None)

    def _take(self, message: dict[str, Any]) -> None:
        method = message.get("method")
        if method == "initialize":
            self._answer(message, {"protocolVersion": 1, "agentCapabilities": {}})
        elif method == "session/new":
            self._answer(message, {"sessionId": "one"})
        elif method == "session/cancel":
            self._cancelled.set()
        elif method is None:
            self._told.put_nowait(message.get("result"))
        elif method == "session/prompt":
            task = asyncio.create_task(self._turn(message))
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _turn(self, message: dict[str, Any]) -> None:
        text = message["params"]["prompt"][-1]["text"]
        self._cancelled.clear()
        self._heard(text)
        if (name := re.search(r"write (\S+)", text)) is not None:
            self._files[name[1]] = f"written because of: {text}\n"
        reason = "end_turn"
        self._say(f"I did: {text}")
        if "ask" in text:
            self._send({"id": 900, "method": "elicitation/create", "params": _FORM})
            self._say(f"I was told: {await self._told.get()}")
        if "wait" in text:
            await asyncio.wait({asyncio.ensure_future(self._cancelled.wait())}, timeout=WAIT_SECONDS)
            reason = "cancelled" if self._cancelled.is_set() else reason
        self._answer(message, {"stopReason": reason})

    def _say(self, text: str) -> None:
        update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
        params = {"sessionId": "one", "update": update}
        self._send({"method": "session/update", "params": params})

    def _answer(self, message: dict[str, Any], result: dict[str, Any]) -> None:
        self._send({"id": message["id"], "result": result})

    def _send(self, message: dict[str, Any]) -> None:
        self._out.put_nowait(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
