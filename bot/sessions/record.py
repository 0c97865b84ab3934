"""What a turn writes while the agent works, and what it remembers for its last message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from bot.acp.coalesce import Coalescer
from bot.acp.updates import Draft
from bot.domain import EventType, PromptId
from storage import NewEvent, SessionFile

_TOOLS = frozenset({EventType.TOOL_STARTED, EventType.TOOL_UPDATED, EventType.TOOL_FINISHED})
_SUMMARY_CHARS = 8_000
_COMMANDS_KEPT = 50
_TOOLS_KEPT = 5_000


class Record:
    """One turn's. Everything is fenced by the epoch: after a stop or a newer boot nothing more is written."""

    def __init__(self, file: SessionFile, prompt: PromptId, epoch: int) -> None:
        self._file = file
        self._prompt = prompt
        self._epoch = epoch
        self._coalescer = Coalescer(time.monotonic)
        self._flushing: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._last_words: list[str] = []
        self._tools: dict[str, dict[str, Any]] = {}
        self.closed = False
        self.first_output: float | None = None
        self.last_output: float | None = None

    async def take(self, draft: Draft) -> None:
        """One update of the agent."""
        if self.closed:
            return
        self.last_output = time.time()
        if self.first_output is None:
            self.first_output = self.last_output
        self._note(draft)
        await self._write(self._coalescer.add(draft))
        if self._coalescer.due() is not None and (self._flushing is None or self._flushing.done()):
            self._flushing = asyncio.create_task(self._flush_later())

    async def flush(self) -> None:
        """Write what is held back, so that it comes before what is written next."""
        await self._write(self._coalescer.flush())

    async def close(self) -> None:
        """Write what is held back; nothing is taken after it."""
        self.closed = True
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
        await self._write(self._coalescer.flush())

    @property
    def summary(self) -> str:
        """The agent's last words: what it said after its last tool."""
        return "".join(self._last_words).strip()[:_SUMMARY_CHARS]

    @property
    def commands(self) -> list[dict[str, Any]]:
        """The commands it ran, and whether each ended well."""
        ran = [tool for tool in self._tools.values() if tool.get("command")]
        return [
            {"command": tool["command"], "ok": tool.get("status") == "completed"}
            for tool in ran[:_COMMANDS_KEPT]
        ]

    def _note(self, draft: Draft) -> None:
        if draft.type == EventType.AGENT_TEXT:
            self._last_words.append(draft.data["text"])
        elif draft.type in _TOOLS:
            self._last_words.clear()
            self._keep_command(draft.data)

    def _keep_command(self, data: Mapping[str, Any]) -> None:
        """Of a tool only the command and how it ended: an agent may run thousands, with megabytes in each."""
        tool = str(data["tool_id"])
        if tool in self._tools or len(self._tools) < _TOOLS_KEPT:
            said = {key: data[key] for key in ("command", "status") if key in data}
            self._tools.setdefault(tool, {}).update(said)

    async def _flush_later(self) -> None:
        due = self._coalescer.due()
        while due is not None:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._write(self._coalescer.flush())
            due = self._coalescer.due()

    async def _write(self, drafts: list[Draft]) -> None:
        if not drafts:
            return
        async with self._writing:
            events = [NewEvent(draft.type, draft.data, self._prompt) for draft in drafts]
            await self._file.append(events, self._epoch)
