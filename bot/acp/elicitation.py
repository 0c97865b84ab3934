"""Forms of an agent (`elicitation/create`, unstable in ACP) as questions to people, and back.

A field with choices, a yes or no and a short text are each one question. A form that needs more than that
is declined, as is everything that would send somebody to an address of the agent's choosing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.acp.options import Choice, choices
from bot.acp.questions import Answer, Option, Question, Questions
from bot.acp.shape import mapping, usable_id
from bot.acp.text import clean, clean_line

FIELDS_MOST = 10
OPTIONS_MOST = 100
TEXT_LIMIT = 2_000
LABEL_LIMIT = 150
ANSWER_LIMIT = 2_000

DECLINED: dict[str, Any] = {"action": "decline"}
CANCELLED: dict[str, Any] = {"action": "cancel"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form. `own_words` names the field that takes words instead of a choice."""

    name: str
    kind: str  # string | boolean | array | integer | number
    question: Question
    required: bool
    own_words: str = ""

    def content(self, answer: Answer) -> dict[str, Any]:
        """What goes back to the agent; {} for an answer that is none of those that were possible."""
        known = any(option.value == answer.value for option in self.question.options)
        if known:
            return {self.name: _KNOWN.get(self.kind, str)(answer.value)}
        words = clean(answer.value, ANSWER_LIMIT).strip()
        if not self.question.free_text or not words:
            return {}
        if self.own_words:
            return {self.own_words: words}
        value = _number(words, self.kind) if self.kind in ("integer", "number") else words
        return {} if value is None else {self.name: value}


_KNOWN: Mapping[str, Any] = {"boolean": lambda value: value == "true", "array": lambda value: [value]}


async def fill_in(params: Mapping[str, Any], questions: Questions) -> dict[str, Any]:
    """Put a form to people, one question after another; the response to the agent."""
    fields = read_form(params)
    if not fields:
        return DECLINED
    content: dict[str, Any] = {}
    for field in fields:
        answer = await questions(field.question)
        given = {} if answer is None else field.content(answer)
        if not given and field.required:
            return CANCELLED
        content |= given
    return {"action": "accept", "content": content} if content else CANCELLED


def read_form(params: Mapping[str, Any]) -> list[Field]:
    """The fields of a form, in its order; [] for one that cannot be put to people."""
    schema = mapping(params.get("requestedSchema"))
    properties, listed = mapping(schema.get("properties")), schema.get("required")
    if params.get("mode", "form") != "form" or not 0 < len(properties) <= FIELDS_MOST * 2:
        return []
    required = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    message = clean(params.get("message"), TEXT_LIMIT).strip()
    fields: list[Field] = []
    for name, described in properties.items():
        field = _field(name, mapping(described), name in required)
        if field is None and name in required:
            return []
        if field is not None:
            _add(fields, field)
    return _headed(fields, message) if len(fields) <= FIELDS_MOST else []


def _add(fields: list[Field], field: Field) -> None:
    """Some agents follow a choice by an optional text, `NAME_custom`, for an answer of one's own."""
    last = fields[-1] if fields else None
    companion = last is not None and last.question.options and field.name == f"{last.name}_custom"
    if last is not None and companion and field.kind == "string" and not field.required:
        own = replace(last.question, free_text=True)
        fields[-1] = replace(last, question=own, own_words=field.name)
        return
    fields.append(field)


def _headed(fields: Sequence[Field], message: str) -> list[Field]:
    """What all are about is said with the first, or with the only one; a field without words has its name."""
    heads = [message, *[""] * len(fields)]
    return [_worded(field, head) for field, head in zip(fields, heads, strict=False)]


def _worded(field: Field, head: str) -> Field:
    words = "\n".join(part for part in (head, field.question.text) if part)
    text = clean(words, TEXT_LIMIT) or clean_line(field.name, LABEL_LIMIT)
    return replace(field, question=replace(field.question, text=text))


def _field(name: str, described: Mapping[str, Any], required: bool) -> Field | None:
    kind = described.get("type")
    if not usable_id(name) or kind not in ("string", "boolean", "array", "integer", "number"):
        return None
    options = _options(kind, described)
    if options is None:
        return None
    title = clean_line(described.get("title"), LABEL_LIMIT)
    description = clean(described.get("description"), TEXT_LIMIT // 2).strip()
    text = ": ".join(part for part in (title, description) if part)
    return Field(name, kind, Question(text, options, not options), required)


def _options(kind: str, described: Mapping[str, Any]) -> tuple[Option, ...] | None:
    """The choices of a field, () for one that takes words, None for one that cannot be asked."""
    if kind == "boolean":
        return Option("true", "Yes"), Option("false", "No")
    if kind in ("integer", "number"):
        return ()
    holder = mapping(described.get("items")) if kind == "array" else described
    titled = holder.get("anyOf" if kind == "array" else "oneOf")
    if kind == "string" and titled is None and holder.get("enum") is None:
        return ()
    found = _titled(titled) or _plain(holder.get("enum"))
    return tuple(Option(choice.id, choice.name) for choice in found) or None


def _plain(enum: object) -> tuple[Choice, ...]:
    values = enum[:OPTIONS_MOST] if isinstance(enum, list) else []
    return tuple(Choice(value, clean_line(value, LABEL_LIMIT)) for value in values if usable_id(value))


def _titled(listed: object) -> tuple[Choice, ...]:
    """`description` belongs to the label: what a choice means is often only said there."""
    items = listed[:OPTIONS_MOST] if isinstance(listed, list) else []
    named = [{"id": x.get("const"), "name": _label(x)} for x in map(mapping, items)]
    return choices(named, "id")


def _label(fields: Mapping[str, Any]) -> str:
    title = clean_line(fields.get("title"), LABEL_LIMIT)
    description = clean_line(fields.get("description"), LABEL_LIMIT)
    return clean_line(f"{title} ({description})", LABEL_LIMIT) if title and description else title


def _number(words: str, kind: str) -> int | float | None:
    try:
        value = int(words) if kind == "integer" else float(words)
    except ValueError:
        return None
    return value if abs(value) < 2**53 else None
