"""What may happen to a prompt, each as one transaction on its session's file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storage.engine import Row
from storage.ledger import NewArtifact, NewEffect, NewEvent, Tx, clean, decoded, dump

UNFINISHED = "('queued', 'running', 'waiting')"


@dataclass(frozen=True, slots=True)
class NewPrompt:
    """A request as it came in, unique on `(source, key)`. `at` in seconds since the epoch."""

    source: str
    key: str
    author_id: str
    author_name: str
    text: str
    at: float
    author: Mapping[str, Any] = field(default_factory=dict)
    message_ts: str | None = None
    repository: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """`new` is false for one that was there already. `position` counts the unfinished ahead of it."""

    prompt_id: int
    new: bool
    state: str
    position: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is written together with a change of state."""

    events: Sequence[NewEvent] = ()
    effects: Sequence[NewEffect] = ()
    artifacts: Sequence[NewArtifact] = ()
    session_fields: Mapping[str, Any] | None = None
    message: str | None = None  # the assistant's

    def write(self, tx: Tx, prompt_id: int) -> None:
        tx.session(self.session_fields)
        if self.message is not None:
            tx.execute(
                "INSERT INTO messages (prompt_id, role, content, created_at) VALUES (?, 'assistant', ?, ?)",
                prompt_id,
                clean(self.message),
                tx.now,
            )
        tx.artifacts(self.artifacts)
        tx.events(self.events)
        tx.effects(self.effects)


def prompt_row(row: Row) -> Row:
    return decoded(row, "author")


def accept(tx: Tx, prompt: NewPrompt, epoch: int) -> Accepted:
    source, key = clean(prompt.source), clean(prompt.key)
    author = (clean(prompt.author_id), clean(prompt.author_name))
    text = clean(prompt.text)
    prompt_id = tx.insert(
        """INSERT INTO prompts (source, key, author_id, author_name, author, text, message_ts, state, epoch,
                                repository, accepted_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?) ON CONFLICT (source, key) DO NOTHING""",
        *(source, key, *author, dump(prompt.author), text, prompt.message_ts, epoch),
        *(prompt.repository, prompt.at),
    )
    if prompt_id is None:
        return _known(tx, source, key)
    tx.execute(
        """INSERT INTO messages (prompt_id, role, content, author_id, author_name, created_at)
           VALUES (?, 'user', ?, ?, ?, ?)""",
        *(prompt_id, text, *author, prompt.at),
    )
    data = {"source": source, "key": key, "text": text, "author_name": author[1]}
    accepted = NewEvent(
        "prompt.accepted", data | {"message_ts": prompt.message_ts}, prompt_id, author[0], prompt.at
    )
    position = _ahead(tx, prompt_id)
    queued = NewEvent("prompt.queued", {"position": position}, prompt_id, author[0], prompt.at)
    tx.events([accepted, queued] if position else [accepted])
    tx.session(None)
    return Accepted(prompt_id, True, "queued", position)


def _known(tx: Tx, source: str, key: str) -> Accepted:
    row = tx.one("SELECT id, state FROM prompts WHERE source = ? AND key = ?", source, key)
    assert row is not None
    return Accepted(row["id"], False, row["state"], _ahead(tx, row["id"]))


def _ahead(tx: Tx, prompt_id: int) -> int:
    found = tx.one(
        f"SELECT count(*) AS n FROM prompts WHERE id < ? AND state IN {UNFINISHED}",  # noqa: S608 - a constant
        prompt_id,
    )
    return int(found["n"]) if found else 0


def edit(tx: Tx, source: str, key: str, text: str) -> str | None:
    row = tx.one("SELECT id, author_id, state FROM prompts WHERE source = ? AND key = ?", source, key)
    if row is None or row["state"] not in ("queued", "waiting"):
        return row["state"] if row else None
    text = clean(text)
    tx.execute("UPDATE prompts SET text = ? WHERE id = ?", text, row["id"])
    tx.execute("UPDATE messages SET content = ? WHERE prompt_id = ? AND role = 'user'", text, row["id"])
    tx.event("prompt.edited", {"text": text}, row["id"], row["author_id"])
    tx.session(None)
    return str(row["state"])


def remove(tx: Tx, source: str, key: str) -> str | None:
    row = tx.one("SELECT id, author_id, state FROM prompts WHERE source = ? AND key = ?", source, key)
    if row is None or row["state"] not in ("queued", "waiting"):
        return row["state"] if row else None
    tx.execute("UPDATE prompts SET state = 'removed', finished_at = ? WHERE id = ?", tx.now, row["id"])
    tx.execute("DELETE FROM messages WHERE prompt_id = ? AND role = 'user'", row["id"])
    tx.event("prompt.removed", {}, row["id"], row["author_id"])
    tx.session(None)
    return "removed"


def claim(tx: Tx, epoch: int) -> Row | None:
    first = tx.one(
        f"SELECT id, state FROM prompts WHERE state IN {UNFINISHED} ORDER BY id LIMIT 1"  # noqa: S608 - a constant
    )
    if first is None or first["state"] != "queued":
        return None
    row = tx.one(
        """UPDATE prompts SET state = 'running', attempt = attempt + 1, epoch = ?1, started_at = ?2
           WHERE id = ?3 AND NOT EXISTS (SELECT 1 FROM prompts WHERE state = 'running' OR epoch > ?1)
           RETURNING *""",
        *(epoch, tx.now, first["id"]),
    )
    if row is None:
        return None
    _join(tx, row)
    tx.execute(
        "INSERT INTO turns (prompt_id, attempt, epoch, started_at) VALUES (?, ?, ?, ?)",
        *(row["id"], row["attempt"], epoch, tx.now),
    )
    tx.event("turn.started", {"attempt": row["attempt"]}, row["id"], row["author_id"])
    tx.session(None)
    return prompt_row(row)


def _join(tx: Tx, prompt: Row) -> None:
    added = tx.execute(
        """INSERT INTO participants (author_id, author_name, author, first_prompt, joined_at)
           VALUES (?, ?, ?, ?, ?) ON CONFLICT (author_id) DO NOTHING""",
        *(prompt["author_id"], prompt["author_name"], prompt["author"], prompt["id"], tx.now),
    )
    if added:
        data = {"author_name": prompt["author_name"]}
        tx.event("participant.joined", data, prompt["id"], prompt["author_id"])


def finish(tx: Tx, prompt_id: int, epoch: int, state: str, outcome: Outcome) -> bool:
    """running -> done, failed, stopped or waiting; False and nothing written when fenced."""
    finished = None if state == "waiting" else tx.now
    changed = tx.execute(
        "UPDATE prompts SET state = ?, finished_at = ? WHERE id = ? AND state = 'running' AND epoch = ?",
        *(state, finished, prompt_id, epoch),
    )
    if not changed:
        return False
    tx.execute(
        "UPDATE turns SET finished_at = ? WHERE prompt_id = ? AND finished_at IS NULL", tx.now, prompt_id
    )
    outcome.write(tx, prompt_id)
    return True


def settle(tx: Tx, prompt_id: int, state: str, outcome: Outcome) -> bool:
    """queued or waiting -> failed or stopped, for one that will not run (again)."""
    changed = tx.execute(
        "UPDATE prompts SET state = ?, finished_at = ? WHERE id = ? AND state IN ('queued', 'waiting')",
        *(state, tx.now, prompt_id),
    )
    if changed:
        outcome.write(tx, prompt_id)
    return changed > 0


def answer(tx: Tx, prompt_id: int, repository: str, outcome: Outcome) -> bool:
    changed = tx.execute(
        "UPDATE prompts SET state = 'queued', repository = ? WHERE id = ? AND state = 'waiting'",
        *(repository, prompt_id),
    )
    if changed:
        outcome.write(tx, prompt_id)
    return changed > 0


def requeue_running(tx: Tx, epoch: int) -> list[Row]:
    found = tx.rows(
        """UPDATE prompts SET state = 'queued', interrupted = interrupted + 1
           WHERE state = 'running' AND epoch < ? RETURNING *""",
        epoch,
    )
    for row in found:
        tx.execute(
            "UPDATE turns SET finished_at = ? WHERE prompt_id = ? AND finished_at IS NULL",
            *(tx.now, row["id"]),
        )
    if found:
        tx.session(None)
    return [prompt_row(row) for row in found]


def holds(tx: Tx, events: Iterable[NewEvent], epoch: int) -> bool:
    """The fence: every prompt these events speak of runs now, in this epoch."""
    return all(
        tx.one(
            "SELECT 1 FROM prompts WHERE id = ? AND state = 'running' AND epoch = ?",
            *(prompt_id, epoch),
        )
        for prompt_id in {event.prompt_id for event in events} - {None}
    )
