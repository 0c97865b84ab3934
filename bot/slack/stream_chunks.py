"""From session events to the chunks of a Slack stream; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bot.domain import EventType
from bot.slack.text import harmless, shorten

Chunk = dict[str, Any]

_TEXT_LIMIT = 11_000
_FIELD_LIMIT = 250  # Slack takes 256 for a task's title, details and output
_PLAN_STATUS = {"completed": "complete", "in_progress": "in_progress", "pending": "pending"}
_TOOL_STATUS = {
    "completed": "complete",
    "failed": "error",
    "in_progress": "in_progress",
    "pending": "pending",
}
_TOOLS = frozenset({EventType.TOOL_STARTED, EventType.TOOL_UPDATED, EventType.TOOL_FINISHED})


class ChunkWriter:
    """Remembers the tasks of one turn, since an update of a tool carries only what changed."""

    def __init__(self) -> None:
        self._tasks: dict[str, Chunk] = {}
        self._steps: dict[str, str] = {}  # a tool that carries out a step of the plan -> that step

    def chunks(self, events: Iterable[Mapping[str, Any]]) -> list[Chunk]:
        """The chunks for these events, in order: each task once, in its last state, and texts joined."""
        chunks: list[Chunk] = []
        for event in events:
            for chunk in self._chunks(event):
                self._put(chunks, chunk)
        return chunks

    def closing(self, failed: bool) -> list[Chunk]:
        """Leaves no task spinning when a turn ends."""
        status = "error" if failed else "complete"
        spinning = [task for task in self._tasks.values() if task["status"] not in {"complete", "error"}]
        return [_task(task["id"], task["title"], status) for task in spinning]

    def _put(self, chunks: list[Chunk], chunk: Chunk) -> None:
        if chunk["type"] == "markdown_text" and chunks and chunks[-1]["type"] == "markdown_text":
            chunks[-1] = {**chunks[-1], "text": shorten(chunks[-1]["text"] + chunk["text"], _TEXT_LIMIT)}
            return
        for place, earlier in enumerate(chunks):
            if chunk["type"] == "task_update" and earlier.get("id") == chunk["id"]:
                chunks[place] = {**earlier, **chunk}
                return
        chunks.append(chunk)

    def _chunks(self, event: Mapping[str, Any]) -> list[Chunk]:
        data, kind = event["data"], event["type"]
        if kind == EventType.TURN_PROGRESS:
            return [
                self._keep(_task("setup", data["text"], "complete" if data.get("done") else "in_progress"))
            ]
        if kind == EventType.AGENT_TEXT:
            return [{"type": "markdown_text", "text": shorten(_piece(data["text"]), _TEXT_LIMIT)}]
        if kind in _TOOLS:
            return [self._keep(self._tool(data))]
        if kind == EventType.PLAN_UPDATED:
            return [self._keep(_plan_entry(i, entry)) for i, entry in enumerate(data["entries"][:20])]
        return []

    def _keep(self, chunk: Chunk) -> Chunk:
        self._tasks[chunk["id"]] = chunk
        return chunk

    def _tool(self, data: Mapping[str, Any]) -> Chunk:
        """Slack appends details and output of an update to what is shown, so each is sent once."""
        task = self._task_of(str(data["tool_id"]), str(data.get("title") or ""))
        known = self._tasks.get(task)
        title = str(data.get("title") or (known["title"] if known else "Working"))
        status = _TOOL_STATUS.get(str(data.get("status")), known["status"] if known else "in_progress")
        chunk = _task(task, title, status)
        locations = [str(place) for place in data.get("locations") or []]
        if known is None and locations and not any(place in title for place in locations):
            chunk["details"] = _field(", ".join(locations[:5]))
        if status in {"complete", "error"} and data.get("output"):
            chunk["output"] = _field(str(data["output"]).strip()[-_FIELD_LIMIT:])
        return chunk

    def _task_of(self, tool: str, title: str) -> str:
        """A tool named like a step of the plan is that step: nobody needs to see it twice."""
        if tool not in self._steps:
            free = [t for t in self._tasks if t.startswith("plan-") and t not in self._steps.values()]
            same = [task for task in free if self._tasks[task]["title"] == _field(title)]
            self._steps[tool] = same[0] if same else f"tool-{tool}"[:_FIELD_LIMIT]
        return self._steps[tool]


def _plan_entry(number: int, entry: Mapping[str, Any]) -> Chunk:
    status = _PLAN_STATUS.get(str(entry.get("status")), "pending")
    return _task(f"plan-{number}", str(entry.get("content") or "…"), status)


def _task(task: str, title: str, status: str) -> Chunk:
    return {"type": "task_update", "id": task, "title": _field(title), "status": status}


def _piece(text: str) -> str:
    """A piece of a longer text: Slack joins them, so a bracket may not wait for the rest of a mention."""
    safe = harmless(text)
    return safe[:-1] + "‹" if safe.endswith("<") else safe


def _field(text: str) -> str:
    return shorten(harmless(text), _FIELD_LIMIT)
