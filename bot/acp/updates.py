"""From ACP's `session/update` to our events, as pure functions.

A draft is upsert-shaped: it carries the id of its thing and only what is known anew, so that whoever keeps
the state merges it. Agents send what they like; whatever does not fit is left out and nothing ever raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.acp.diffs import excerpt, line_counts
from bot.acp.shape import mapping, number, string
from bot.acp.text import clean, clean_line, clean_tail
from bot.domain import EventType

TEXT_LIMIT = 32_000  # characters, as are all limits here
TITLE_LIMIT = 200
PATH_LIMIT = 300
COMMAND_LIMIT = 1_000
OUTPUT_LIMIT = 4_000
ID_LIMIT = 128
ITEM_LIMIT = 50
DIFF_LIMIT = 400_000  # of all diffs of one update whose lines are counted
EXCERPTS_LIMIT = 6_000  # of all diffs of one update that is shown

KINDS = frozenset({"read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode"})
STATUSES = frozenset({"pending", "in_progress", "completed", "failed"})
PRIORITIES = frozenset({"high", "medium", "low"})
# todowrite knows "cancelled" too: what will not be done is out of the way as well
_PLAN_STATUSES = {name: name for name in ("pending", "in_progress", "completed")} | {"cancelled": "completed"}

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it is numbered: its type and its data, safe to store and to show."""

    type: EventType
    data: dict[str, Any]


def drafts(update: object, root: str = "") -> list[Draft]:
    """What an update means; [] for one that means nothing to us. Paths below `root` become relative."""
    if not isinstance(update, Mapping):
        return []
    read = _READERS.get(string(update.get("sessionUpdate")))
    return read(update, root.rstrip("/")) if read else []


def usage_drafts(usage: object) -> list[Draft]:
    """The token counts that a prompt's response may carry."""
    fields = mapping(usage)
    names = {
        "input_tokens": "inputTokens",
        "output_tokens": "outputTokens",
        "total_tokens": "totalTokens",
        "thought_tokens": "thoughtTokens",
        "cached_read_tokens": "cachedReadTokens",
    }
    data = {
        ours: count for ours, theirs in names.items() if (count := number(fields.get(theirs))) is not None
    }
    return [Draft(EventType.USAGE_RECORDED, data)] if data else []


# -- one reader a variant ------------------------------------------------------------------------


def _text(update: Raw, root: str) -> list[Draft]:
    return _chunk(update, EventType.AGENT_TEXT)


def _thought(update: Raw, root: str) -> list[Draft]:
    return _chunk(update, EventType.AGENT_THOUGHT)


def _chunk(update: Raw, type_: EventType) -> list[Draft]:
    content = mapping(update.get("content"))
    text = clean(content.get("text"), TEXT_LIMIT) or _mark(content)
    return [Draft(type_, {"text": text})] if text else []


def _mark(content: Raw) -> str:
    """What is no text is not shown, but named."""
    name = clean_line(content.get("name"), TITLE_LIMIT)
    return {
        "image": "[image]",
        "audio": "[audio]",
        "resource": "[file]",
        "resource_link": f"[file {name}]" if name else "[file]",
    }.get(string(content.get("type")), "")


def _tool(update: Raw, root: str) -> list[Draft]:
    tool_id = clean_line(update.get("toolCallId"), ID_LIMIT)
    if not tool_id:
        return []
    started = update["sessionUpdate"] == "tool_call"
    data = {"tool_id": tool_id} | tool_facts(update, root)
    if started:
        data = {"title": data.get("kind", "tool"), "kind": "other", "status": "pending"} | data
    return [Draft(_tool_type(data.get("status"), started), data), *_todos(update)]


def _tool_type(status: object, started: bool) -> EventType:
    if status in ("completed", "failed"):
        return EventType.TOOL_FINISHED
    return EventType.TOOL_STARTED if started else EventType.TOOL_UPDATED


def tool_facts(update: Raw, root: str) -> dict[str, Any]:
    """What a tool call, or an update of one, says anew."""
    root = root.rstrip("/")
    found = {
        "title": clean_line(update.get("title"), TITLE_LIMIT),
        "kind": _kind(update.get("kind")),
        "status": _one_of(STATUSES, update.get("status")),
        "locations": _locations(update.get("locations"), root),
        "command": _command(update.get("rawInput")),
        "output": _output(update),
        "diffs": _diffs(update.get("content"), root),
    }
    return {name: value for name, value in found.items() if value}


def _plan(update: Raw, root: str) -> list[Draft]:
    return _plan_of(update.get("entries"))


def _plan_content(update: Raw, root: str) -> list[Draft]:
    """The unstable kind, with an id; a plan in a file or as prose has no steps to show."""
    return _plan_of(mapping(update.get("plan")).get("entries"))


def _no_plan(update: Raw, root: str) -> list[Draft]:
    return _plan_of([])


def _todos(update: Raw) -> list[Draft]:
    """Many agents keep their plan with a tool instead: `todowrite` of opencode, `TodoWrite` of Claude,
    `todo_write` of qwen, `write_todos` of Gemini, `update_plan` of Codex. The shape tells, names do not.
    """
    given = mapping(update.get("rawInput"))
    if isinstance(given.get("todos"), list):
        return _plan_of(given["todos"])
    steps = given.get("plan")
    return _plan_of(steps) if isinstance(steps, list) and steps and all(map(_is_step, steps)) else []


def _is_step(item: object) -> bool:
    return isinstance(mapping(item).get("step"), str) and isinstance(mapping(item).get("status"), str)


def _plan_of(items: object) -> list[Draft]:
    if not isinstance(items, list):
        return []
    entries = [entry for item in items[:ITEM_LIMIT] if (entry := _plan_entry(mapping(item)))]
    return [Draft(EventType.PLAN_UPDATED, {"entries": entries})] if entries or not items else []


def _plan_entry(item: Raw) -> dict[str, str] | None:
    said = (clean_line(item.get(name), TITLE_LIMIT) for name in ("content", "step", "description"))
    content = next(filter(None, said), "")
    if not content:
        return None
    return {
        "content": content,
        "status": _PLAN_STATUSES.get(string(item.get("status")), "pending"),
        "priority": _one_of(PRIORITIES, item.get("priority")) or "medium",
    }


def _usage(update: Raw, root: str) -> list[Draft]:
    cost = mapping(update.get("cost"))
    data: dict[str, Any] = {
        "context_used": number(update.get("used")),
        "context_size": number(update.get("size")),
    }
    data["cost"] = number(cost.get("amount"))
    data = {name: value for name, value in data.items() if value is not None}
    if "cost" in data:
        data["currency"] = clean_line(cost.get("currency"), 8) or "USD"
    return [Draft(EventType.USAGE_RECORDED, data)] if data else []


# Left out on purpose: `available_commands_update` (nobody types an agent's slash commands in a thread),
# `user_message_chunk` (our own words). Modes, options and titles are `options.OpenSession`'s.
_READERS: dict[str, Callable[[Raw, str], list[Draft]]] = {
    "agent_message_chunk": _text,
    "agent_thought_chunk": _thought,
    "tool_call": _tool,
    "tool_call_update": _tool,
    "plan": _plan,
    "plan_update": _plan_content,
    "plan_removed": _no_plan,
    "usage_update": _usage,
}


# -- the parts of a tool call --------------------------------------------------------------------


def _locations(value: object, root: str) -> list[str]:
    if not isinstance(value, list):
        return []
    paths = (_path(mapping(item).get("path"), root) for item in value[:ITEM_LIMIT])
    return [path for path in dict.fromkeys(paths) if path]


def _path(value: object, root: str) -> str:
    path = clean_line(value, PATH_LIMIT)
    return path.removeprefix(root + "/") if root else path


def _command(raw_input: object) -> str:
    command = mapping(raw_input).get("command")
    if isinstance(command, list):
        command = " ".join(part for part in command[:ITEM_LIMIT] if isinstance(part, str))
    return clean(command, COMMAND_LIMIT).strip()


def _output(update: Raw) -> str:
    content = update.get("content")
    texts = (
        [_content_text(mapping(item)) for item in content[-ITEM_LIMIT:]] if isinstance(content, list) else []
    )
    joined = "\n".join(text for text in texts if text)
    raw = _raw_output(update.get("rawOutput")) or _terminal(update)
    return clean_tail(joined or raw, OUTPUT_LIMIT)


def _content_text(item: Raw) -> str:
    """Of a terminal that an agent embeds nothing can be shown: we lend none, so it is its own."""
    if item.get("type") != "content":
        return ""
    content = mapping(item.get("content"))
    inner = content.get("text", mapping(content.get("resource")).get("text"))
    return clean_tail(inner, OUTPUT_LIMIT) or _mark(content)


def _terminal(update: Raw) -> str:
    """What some agents say of a terminal of their own, beside the protocol."""
    return string(mapping(mapping(update.get("_meta")).get("terminal_output")).get("data"))


def _raw_output(value: object) -> str:
    if isinstance(value, str):
        return value
    fields = mapping(value)
    return next(
        (fields[name] for name in ("output", "stdout", "error") if isinstance(fields.get(name), str)), ""
    )


def _diffs(content: object, root: str) -> list[dict[str, Any]]:
    if not isinstance(content, list):
        return []
    found, left, shown = [], DIFF_LIMIT, EXCERPTS_LIMIT
    for item in map(mapping, content[:ITEM_LIMIT]):
        path = _path(item.get("path"), root)
        if item.get("type") != "diff" or not path:
            continue
        old, new = string(item.get("oldText")), string(item.get("newText"))
        left -= len(old) + len(new)
        entry: dict[str, Any] = {"path": path}
        if left >= 0:
            entry |= line_counts(old, new)
            lines = excerpt(old, new)
            shown -= len(lines)
            entry |= {"excerpt": lines} if lines and shown >= 0 else {}
        found.append(entry)
    return found


def _kind(value: object) -> str:
    """A kind of a newer protocol is still a tool."""
    return _one_of(KINDS, value) or ("other" if isinstance(value, str) else "")


def _one_of(allowed: frozenset[str], value: object) -> str:
    return value if isinstance(value, str) and value in allowed else ""
