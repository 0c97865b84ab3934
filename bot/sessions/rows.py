"""Rows of a session's file as the things they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain import Attachment, Person, Prompt, PromptId, PromptState, SessionId


def prompt_of(row: Mapping[str, Any], session: SessionId) -> Prompt:
    """A row of a session's file as the prompt it is."""
    return Prompt(
        id=PromptId(row["id"]),
        session=session,
        source=row["source"],
        key=row["key"],
        author=person_of(row),
        text=row["text"],
        state=PromptState(row["state"]),
        attempt=row["attempt"],
        accepted_at=row["accepted_at"],
        message_ts=row["message_ts"],
        repository=row["repository"] or None,
        files=files_of(row),
    )


def files_of(row: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """The files that came with a prompt."""
    return tuple(Attachment(**file) for file in row["files"])


def person_of(row: Mapping[str, Any]) -> Person:
    """The author of a prompt or a participant as a file's row has it."""
    author = row["author"]
    return Person(
        id=row["author_id"], team=author.get("team", ""), name=author.get("name") or row["author_name"]
    )
