"""What a model makes of a message: a repository of the list, or who knows.

All it says is checked against the list; what people are shown of it is short and plain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot import ModelAsk, ModelReply, Repository, RepositoryChoice, RepositoryQuestion
from plugins.repo_classifier.ladder import CANDIDATES, scored

# A model's own confidence is no probability; these are strict on purpose, since asking costs little.
CONFIDENT = 0.8
MARGIN = 0.3
MOST_REPOSITORIES = 40
SECONDS = 4.0
UNKNOWN = "unknown"

_OUTPUT_TOKENS = 400
_THREAD_MESSAGES = 10
_MESSAGE_CHARS = 4000
_SAID_CHARS = 400
_HINT_CHARS = 400
_HINTS = 30
_REASON_CHARS = 120

_INSTRUCTIONS = f"""\
A person asks a coding assistant in a chat to change something. Say in which of the listed repositories.
The data is one JSON object: "channel" is where it was said, "thread" what was said before, each with its
speaker, "message" the request itself, "repositories" the list.
Answer "{UNKNOWN}" as repository unless the message, with its thread and channel, makes one likelier than
all others. "confidence" is between 0 and 1. "candidates" are the likeliest repositories, the one you chose
among them, with a confidence each. "reason" is at most twelve words for that person, and names what in the
message told you."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a model said, checked. `choice` is None unless it was sure; `candidates` are its likeliest."""

    choice: RepositoryChoice | None
    candidates: tuple[str, ...]
    said: str  # for those who ask why


def ask_of(question: RepositoryQuestion) -> ModelAsk:
    """The question for a model, with the repositories that this author may use and no others."""
    listed = _listed(question)
    said = [
        {"speaker": each.author_name[:60], "text": each.text[:_SAID_CHARS]}
        for each in list(question.thread)[-_THREAD_MESSAGES:]
    ]
    data = {
        "channel": question.channel_name,
        "repositories": [_described(each) for each in listed],
        "thread": said,
        "message": {
            "speaker": question.prompt.author.name[:60],
            "text": question.prompt.text[:_MESSAGE_CHARS],
        },
    }
    return ModelAsk(
        purpose="classify",
        instructions=_INSTRUCTIONS,
        text=json.dumps(data, ensure_ascii=False),
        schema=_schema([each.name for each in listed]),
        output_tokens=_OUTPUT_TOKENS,
        timeout_seconds=SECONDS,
    )


def guess_of(question: RepositoryQuestion, reply: ModelReply) -> Guess:
    """What to make of a model's answer."""
    names = [each.name for each in _listed(question)]
    if reply.data is None:
        return Guess(None, _named_in(reply.text, names), "it did not answer in the form it was asked for")
    rated = _rated(reply.data, names)
    likeliest = sorted(rated, key=lambda name: -rated[name])
    first, second = ([rated[name] for name in likeliest] + [0.0, 0.0])[:2]
    top = str(reply.data["repository"])
    said = _said(top, first, reply.data)
    sure = top in rated and top == likeliest[0] and first >= CONFIDENT and round(first - second, 6) >= MARGIN
    if not sure:
        return Guess(None, tuple(likeliest[:CANDIDATES]), said)
    reason = shown(str(reply.data["reason"]))
    why = f"because the model takes it to be meant: “{reason}”" if reason else "because the model says so"
    return Guess(RepositoryChoice(top, why), tuple(likeliest[:CANDIDATES]), said)


def shown(text: str) -> str:
    """A model's words for people: one short plain line, in which nothing is a link, a mention or markup."""
    plain = "".join(c if c.isalnum() or c in " ,;!?()+-'’\"/.#" else " " for c in text[:1000])
    plain = re.sub(r"(?<=\w)\.(?=\w)|//+|#(?=\d)", " ", plain)  # addresses and numbers of issues
    line = " ".join(plain.split())
    return line if len(line) <= _REASON_CHARS else line[: _REASON_CHARS - 1].rstrip() + "…"


def _listed(question: RepositoryQuestion) -> Sequence[Repository]:
    """All of them, or those that share most words with what was said."""
    if len(question.repositories) <= MOST_REPOSITORIES:
        return question.repositories
    scores = scored(question)
    likeliest = sorted(question.repositories, key=lambda each: -scores[each.name])
    return likeliest[:MOST_REPOSITORIES]


def _described(repository: Repository) -> dict[str, Any]:
    return {
        "name": repository.name,
        "description": repository.description[:_HINT_CHARS],
        "keywords": [each[:60] for each in repository.keywords[:_HINTS]],
        "channels": [each[:80] for each in repository.channels[:_HINTS]],
    }


def _schema(names: Sequence[str]) -> dict[str, Any]:
    """Of the kinds that every service knows in strict mode."""
    name = {"type": "string", "enum": [*names, UNKNOWN]}
    return _object(
        repository=name,
        confidence={"type": "number"},
        candidates={"type": "array", "items": _object(repository=name, confidence={"type": "number"})},
        reason={"type": "string"},
    )


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _rated(data: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """The confidence in each repository that was named, its highest where it was named twice."""
    rated: dict[str, float] = {}
    for each in (data, *data["candidates"][: 2 * MOST_REPOSITORIES]):
        name, confidence = each["repository"], float(each["confidence"])
        if name in names and 0.0 <= confidence <= 1.0:
            rated[name] = max(confidence, rated.get(name, 0.0))
    return rated


def _named_in(text: str, names: Sequence[str]) -> tuple[str, ...]:
    found = [name for name in names if re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-])", text[:5000])]
    return tuple(found[:CANDIDATES])


def _said(top: str, confidence: float, data: Mapping[str, Any]) -> str:
    reason = shown(str(data["reason"]))
    return f"{top} with confidence {confidence:.2f}" + (f": {reason}" if reason else "")
