"""From session events to the chunks of a Slack stream; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bot.domain import EventType
from bot.slack.text import harmless, shorten

Chunk = dict[str, Any]

TEXT_LIMIT = 11_000  # of one chunk and of one message; Slack refuses more than 12 000
_TURN_LIMIT = 40_000  # characters shown live; the session keeps them all
_FIELD_LIMIT = 250  # Slack takes 256 for a task's title, details and output
_LEFT_OUT = "\n\n_The agent said more than is shown here._\n"
_TASKS_LIMIT = 100  # of one turn; those beyond share the last
_JOINT = 200  # characters of what was said that may mean something together with what comes
_LINK_BEGUN = re.compile(r"\](?=[(:]\s*[^\s)]{0,40}\Z)")
_PLAN_STATUS = {"completed": "complete", "in_progress": "in_progress", "pending": "pending"}
_TOOL_STATUS = {
    "completed": "complete",
    "failed": "error",
    "in_progress": "in_progress",
    "pending": "pending",
}
_MORE = "tool-more"
_TOOLS = frozenset({EventType.TOOL_STARTED, EventType.TOOL_UPDATED, EventType.TOOL_FINISHED})


class ChunkWriter:
    """Remembers the tasks of one turn, since an update of a tool carries only what changed."""

    def __init__(self) -> None:
        self._tasks: dict[str, Chunk] = {}
        self._steps: dict[str, str] = {}  # a tool -> its task, which may be a step of the plan
        self._said = ""
        self._left = _TURN_LIMIT

    def chunks(self, events: Iterable[Mapping[str, Any]], unsent: Iterable[Chunk] = ()) -> list[Chunk]:
        """The chunks for these events, in order: each task once, in its last state, and texts joined.

        Each event is to be given once: what is said counts. What could not be sent yet comes first.
        """
        chunks = list(unsent)
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
            joined = chunks[-1]["text"] + chunk["text"]
            if len(joined) <= TEXT_LIMIT:
                chunks[-1] = {**chunks[-1], "text": joined}
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
            return self._text(data["text"])
        if kind in _TOOLS:
            return [self._keep(self._tool(data))]
        if kind == EventType.PLAN_UPDATED:
            return [self._keep(_plan_entry(i, entry)) for i, entry in enumerate(data["entries"][:20])]
        return []

    def _text(self, text: str) -> list[Chunk]:
        """Nothing once a turn has said more than anybody reads in a thread."""
        if self._left <= 0:
            return []
        shown = shorten(self._piece(text), TEXT_LIMIT)
        self._left -= len(shown)
        return [{"type": "markdown_text", "text": shown if self._left > 0 else _LEFT_OUT}]

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
        if task == _MORE:
            return chunk
        locations = [str(place) for place in data.get("locations") or []]
        if known is None and locations and not any(place in title for place in locations):
            chunk["details"] = _field(", ".join(locations[:5]))
        if status in {"complete", "error"} and data.get("output"):
            chunk["output"] = _field(str(data["output"]).strip()[-_FIELD_LIMIT:])
        return chunk

    def _task_of(self, tool: str, title: str) -> str:
        """A tool named like a step of the plan is that step: nobody needs to see it twice."""
        if tool not in self._steps:
            step = self._free_step(_field(title))
            if step is None and len(self._steps) >= _TASKS_LIMIT:
                return _MORE
            self._steps[tool] = f"tool-{tool}"[:_FIELD_LIMIT] if step is None else step
        return self._steps[tool]

    def _free_step(self, title: str) -> str | None:
        taken = set(self._steps.values())
        plan = (task for task in self._tasks if task.startswith("plan-") and task not in taken)
        return next((task for task in plan if self._tasks[task]["title"] == title), None)

    def _piece(self, text: str) -> str:
        """A piece of a longer text: Slack joins them, so it is harmless behind what was said before it."""
        safe = _unlinked(text)
        joined = _unlinked(self._said + safe)
        # Where only both together mean something, what was said stands already: they are kept apart.
        safe = joined[len(self._said) :] if joined.startswith(self._said) else f" {safe}"
        self._said = (self._said + safe)[-_JOINT:]
        return safe


def characters(chunks: Iterable[Chunk]) -> int:
    """How much text is in these."""
    return sum(len(chunk.get("text", "")) for chunk in chunks)


def first_of(chunks: Sequence[Chunk]) -> list[Chunk]:
    """As many of them as one message takes; one at least."""
    fitting = [n for n in range(1, len(chunks) + 1) if characters(chunks[:n]) <= TEXT_LIMIT]
    return list(chunks[: max(fitting, default=1)])


def _unlinked(text: str) -> str:
    """Harmless, whatever comes behind it: no link of Markdown's is left half open."""
    return _LINK_BEGUN.sub("] ", harmless(text))


def _plan_entry(number: int, entry: Mapping[str, Any]) -> Chunk:
    status = _PLAN_STATUS.get(str(entry.get("status")), "pending")
    return _task(f"plan-{number}", str(entry.get("content") or "…"), status)


def _task(task: str, title: str, status: str) -> Chunk:
    return {"type": "task_update", "id": task, "title": _field(title), "status": status}


def _field(text: str) -> str:
    return shorten(harmless(text), _FIELD_LIMIT)
