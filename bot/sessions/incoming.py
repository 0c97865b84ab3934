"""A prompt as an edge has it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from bot.domain import Attachment, Person, ThreadKey
from storage import NewPrompt


@dataclass(frozen=True, slots=True)
class Incoming:
    """A prompt as an edge has it. `addressed` false: take it only if the thread already is a session."""

    thread: ThreadKey
    source: str
    key: str
    author: Person
    text: str
    message_ts: str | None
    at: float
    addressed: bool = True
    repository: str | None = None
    files: tuple[Attachment, ...] = ()


def new_prompt(incoming: Incoming, most_chars: int) -> NewPrompt:
    """What is kept of it."""
    author = incoming.author
    return NewPrompt(
        source=incoming.source,
        key=incoming.key,
        author_id=author.id,
        author_name=author.name,
        author={"id": author.id, "team": author.team, "name": author.name},
        text=bounded(incoming.text, most_chars),
        message_ts=incoming.message_ts,
        at=incoming.at,
        repository=incoming.repository,
        unaddressed=not incoming.addressed,
        files=[asdict(file) for file in incoming.files],
    )


def bounded(text: str, most_chars: int) -> str:
    """One that is too long is refused when its turn comes; no more of it is kept than shows that."""
    return text[: most_chars + 1]
