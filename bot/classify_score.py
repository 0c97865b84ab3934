"""How often the right repository is found: labelled messages put to the plugins as any message is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.domain import Person, Repository, RepositoryChoice, ThreadMessage
from bot.errors import UserError
from bot.plugins import Plugins
from bot.sessions.explaining import question_of

UNKNOWN = "unknown"  # the label of a message for which asking is right
_AUTHOR = Person("U0LABELLED", "", "Somebody")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A message, and the repository that a person says is meant."""

    text: str
    label: str
    channel: str
    thread: Sequence[ThreadMessage]
    repositories: Sequence[Repository]


@dataclass(slots=True)
class Score:
    """`wrong`: decided, and not as labelled; those with no repository that were decided count as well."""

    messages: int = 0
    decided: int = 0
    right: int = 0
    wrong: list[tuple[str, str, str]] = field(default_factory=list)  # text, label, what was chosen
    asked: int = 0
    asked_in_vain: int = 0  # a repository was meant
    first: int = 0  # of those: the right one stood first in the question

    def as_json(self) -> dict[str, Any]:
        wrong = [{"text": text, "label": label, "chosen": chosen} for text, label, chosen in self.wrong]
        return {
            "messages": self.messages,
            "decided": self.decided,
            "right": self.right,
            "wrong": wrong,
            "asked": self.asked,
            "asked_in_vain": self.asked_in_vain,
            "right_one_first": self.first,
        }


async def score(plugins: Plugins, messages: Sequence[Labelled]) -> Score:
    """Put each to the plugins, one after the other."""
    found = Score()
    for message in messages:
        question = await question_of(
            plugins,
            message.text,
            _AUTHOR,
            message.repositories,
            channel_id=message.channel,
            channel_name=message.channel,
            thread=message.thread,
        )
        verdict = await plugins.first("choose_repository", question=question)
        found.messages += 1
        if isinstance(verdict, RepositoryChoice):
            found.decided += 1
            if verdict.name == message.label:
                found.right += 1
            else:
                found.wrong.append((message.text, message.label, verdict.name))
            continue
        found.asked += 1
        candidates = verdict.candidates if verdict is not None else ()
        found.asked_in_vain += message.label != UNKNOWN
        found.first += candidates[:1] == (message.label,)
    return found


def as_words(answer: Mapping[str, Any]) -> list[str]:
    """A score for people."""
    messages, decided, right = answer["messages"], answer["decided"], answer["right"]
    if not messages:
        return ["There is no message in it."]
    accuracy = f"{right / decided:.1%}" if decided else "none"
    return [
        f"{messages} messages; decided {decided} ({decided / messages:.1%}), right where decided {accuracy}",
        f"asked {answer['asked']} ({answer['asked'] / messages:.1%}), "
        f"of which {answer['asked_in_vain']} meant a repository, {answer['right_one_first']} listed it first",
        *(
            f"wrong: {each['chosen']} instead of {each['label']}: {' '.join(each['text'].split())[:80]}"
            for each in answer["wrong"]
        ),
    ]


def read_messages(path: Path, configured: Sequence[Repository]) -> list[Labelled]:
    """A file of JSON lines {text, label, channel?, thread?}; a first line {repositories} lists others.

    What `classify labels --json` exports will do as well: there the label is called `chosen`.
    """
    repositories, messages = tuple(configured), []
    try:
        for number, line in _lines(path):
            if number == 1 and "repositories" in line:
                repositories = tuple(map(_repository, line["repositories"]))
            else:
                messages.append(_message(line, repositories))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is no file of labelled messages ({type(error).__name__}). Each line is JSON with text "
            "and label, and may have channel and thread."
        ) from error
    return messages


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        row = json.loads(line) if line.strip() else None
        if isinstance(row, dict) and "labels" in row:
            yield from ((number + 1, dict(each)) for each in row["labels"])
        elif row is not None:
            yield number, row


def _repository(row: Mapping[str, Any]) -> Repository:
    return Repository(
        str(row["name"]),
        str(row.get("description", "")),
        tuple(map(str, row.get("keywords", ()))),
        tuple(map(str, row.get("channels", ()))),
    )


def _message(row: Mapping[str, Any], repositories: Sequence[Repository]) -> Labelled:
    thread = [ThreadMessage(str(name), str(name), str(text), "") for name, text in row.get("thread", ())]
    label = str(row["label"] if "label" in row else row["chosen"])
    return Labelled(str(row["text"]), label, str(row.get("channel") or ""), thread, repositories)
