"""What may happen to a prompt, each as one transaction on its session's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from storage.engine import Row
from storage.ledger import NewArtifact, NewEffect, NewEvent, Tx, clean, decoded, dump
from storage.prompt_records import Accepted, NewPrompt, Stop, Stopped
from storage.questions import close_all, runs
from storage.refusals import refuse

__all__ = ["Accepted", "NewPrompt", "Outcome", "Planned", "Stop", "Stopped"]

Planned = Sequence[NewEffect] | Callable[[int], Sequence[NewEffect]]  # or what makes them from a prompt's id

UNFINISHED = "('queued', 'running', 'waiting')"


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
    return decoded(row, "author", "files")


def accept(
    tx: Tx,
    prompt: NewPrompt,
    epoch: int,
    room: int | None = None,
    place: Callable[[Accepted], Sequence[NewEffect]] | None = None,
) -> Accepted | None:
    source, key = clean(prompt.source), clean(prompt.key)
    known = _known(tx, source, key)
    if known is not None:
        return known
    if prompt.unaddressed and not _began_before(tx, prompt.message_ts):
        return None
    author = (clean(prompt.author_id), clean(prompt.author_name))
    text = clean(prompt.text)
    prompt_id = tx.insert(
        """INSERT INTO prompts (source, key, author_id, author_name, author, text, message_ts, state, epoch,
                                repository, accepted_at, files)
           VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?)""",
        *(source, key, *author, dump(prompt.author), text, prompt.message_ts, epoch),
        *(prompt.repository, prompt.at, dump(list(prompt.files))),
    )
    assert prompt_id is not None
    tx.session(None)
    accepted = Accepted(prompt_id, True, "queued", _ahead(tx, prompt_id, -1 if room is None else room + 1))
    if room is not None and accepted.position > room:
        refuse(tx, prompt_id, accepted.position)
        return replace(accepted, state="removed")
    _note(tx, prompt, accepted)
    tx.effects(place(accepted) if place is not None else ())
    return accepted


def _note(tx: Tx, prompt: NewPrompt, accepted: Accepted) -> None:
    """Its message and its events."""
    prompt_id, position = accepted.prompt_id, accepted.position
    author, text = (clean(prompt.author_id), clean(prompt.author_name)), clean(prompt.text)
    tx.execute(
        """INSERT INTO messages (prompt_id, role, content, author_id, author_name, created_at)
           VALUES (?, 'user', ?, ?, ?, ?)""",
        *(prompt_id, text, *author, prompt.at),
    )
    data = {
        "source": clean(prompt.source),
        "key": clean(prompt.key),
        "text": text,
        "author_name": author[1],
        "message_ts": prompt.message_ts,
        **_named(prompt.files),
    }
    tx.events([NewEvent("prompt.accepted", data, prompt_id, author[0], prompt.at)])
    if position:
        tx.events([NewEvent("prompt.queued", {"position": position}, prompt_id, author[0], prompt.at)])


def _known(tx: Tx, source: str, key: str) -> Accepted | None:
    row = tx.one("SELECT id, state FROM prompts WHERE source = ? AND key = ?", source, key)
    return None if row is None else Accepted(row["id"], False, row["state"], _ahead(tx, row["id"]))


def _began_before(tx: Tx, message_ts: str | None) -> bool:
    """Whether the thread was a session already when this was said; by the thread's own clock alone."""
    found = tx.one(  # the first row there is decides it nearly always; the rest is not looked at then
        """SELECT EXISTS (SELECT 1 FROM prompts
                          WHERE ?1 IS NULL OR CAST(message_ts AS REAL) < CAST(?1 AS REAL))
               OR EXISTS (SELECT 1 FROM prompts)
                  AND NOT EXISTS (SELECT 1 FROM prompts WHERE message_ts IS NOT NULL) AS later""",
        message_ts,
    )
    return found is not None and bool(found["later"])


def _ahead(tx: Tx, prompt_id: int, most: int = -1) -> int:
    """How many are unfinished before it; not counted beyond `most`, so that a long queue costs no more."""
    found = tx.one(
        f"""SELECT count(*) AS n FROM
              (SELECT 1 FROM prompts WHERE id < ? AND state IN {UNFINISHED} LIMIT ?)""",  # noqa: S608 - a constant
        *(prompt_id, most),
    )
    return int(found["n"]) if found else 0


def _named(files: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """For whoever follows the events: which files there are, not where."""
    return {"files": [clean(str(file.get("name", ""))) for file in files]} if files else {}


def edit(
    tx: Tx, source: str, key: str, text: str, files: Sequence[Mapping[str, Any]] | None = None
) -> str | None:
    row = tx.one("SELECT id, author_id, state FROM prompts WHERE source = ? AND key = ?", source, key)
    if row is None or row["state"] not in ("queued", "waiting"):
        return row["state"] if row else None
    text = clean(text)
    tx.execute("UPDATE prompts SET text = ? WHERE id = ?", text, row["id"])
    tx.execute("UPDATE messages SET content = ? WHERE prompt_id = ? AND role = 'user'", text, row["id"])
    if files is not None:
        tx.execute("UPDATE prompts SET files = ? WHERE id = ?", dump(list(files)), row["id"])
    tx.event("prompt.edited", {"text": text, **_named(files or ())}, row["id"], row["author_id"])
    tx.session(None)
    return str(row["state"])


def remove(tx: Tx, source: str, key: str, effects: Planned = ()) -> str | None:
    row = tx.one("SELECT id, author_id, state FROM prompts WHERE source = ? AND key = ?", source, key)
    if row is None or row["state"] not in ("queued", "waiting"):
        return row["state"] if row else None
    tx.execute(
        "UPDATE prompts SET state = 'removed', files = '[]', finished_at = ? WHERE id = ?",
        *(tx.now, row["id"]),
    )
    tx.execute("DELETE FROM messages WHERE prompt_id = ? AND role = 'user'", row["id"])
    tx.event("prompt.removed", {}, row["id"], row["author_id"])
    _close_effects_of(tx, row["id"])
    if row["state"] == "waiting":
        tx.effects(effects(row["id"]) if callable(effects) else effects)
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
    tx.execute(
        "INSERT INTO turns (prompt_id, attempt, epoch, started_at) VALUES (?, ?, ?, ?)",
        *(row["id"], row["attempt"], epoch, tx.now),
    )
    tx.event("turn.started", {"attempt": row["attempt"]}, row["id"], row["author_id"])
    tx.session(None)
    return prompt_row(row)


def join(tx: Tx, prompt_id: int, author_id: str, author_name: str, author: Mapping[str, Any]) -> bool:
    person = (clean(author_id), clean(author_name))
    for table in ("prompts", "messages"):  # accepted before anyone had looked up the name
        tx.execute(f"UPDATE {table} SET author_name = ?2 WHERE author_id = ?1", *person)  # noqa: S608 - constants
    known = tx.execute(
        "UPDATE participants SET author_name = ?, author = ? WHERE author_id = ?",
        *(person[1], dump(author), person[0]),
    )
    if known:
        return False
    tx.execute(
        """INSERT INTO participants (author_id, author_name, author, first_prompt, joined_at)
           VALUES (?, ?, ?, ?, ?)""",
        *(*person, dump(author), prompt_id, tx.now),
    )
    tx.event("participant.joined", {"author_name": person[1]}, prompt_id, person[0])
    return True


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
    close_all(tx, prompt_id, "ended")
    if finished is not None:
        close_effects(tx)
    outcome.write(tx, prompt_id)
    return True


def close_effects(tx: Tx) -> None:
    """What the ended turn left undone is not owed any more; posts to the thread still are.

    One turn runs at a time, so whatever is open here is that turn's.
    """
    tx.execute(
        """UPDATE effects SET state = 'failed', error = 'the turn ended', updated_at = ?
           WHERE state IN ('pending', 'sending') AND substr(kind, 1, 7) != 'thread.'""",
        tx.now,
    )


def _close_effects_of(tx: Tx, prompt_id: int) -> None:
    """The same for a prompt that ends without running: the stop it was sent, for one."""
    tx.execute(
        """UPDATE effects SET state = 'failed', error = 'the turn ended', updated_at = ?
           WHERE state IN ('pending', 'sending') AND substr(kind, 1, 7) != 'thread.'
             AND json_extract(intent, '$.prompt_id') = ?""",
        *(tx.now, prompt_id),
    )


def _settle(tx: Tx, prompt_id: int, state: str, outcome: Outcome) -> None:
    """End one that is queued and will not run (again)."""
    tx.execute("UPDATE prompts SET state = ?, finished_at = ? WHERE id = ?", state, tx.now, prompt_id)
    _close_effects_of(tx, prompt_id)
    outcome.write(tx, prompt_id)


def stop(tx: Tx, said: Stop, ending: Callable[[Row, str | None], Outcome]) -> Stopped:
    """Heard, looked and carried out in one transaction: no crash and no beginning comes between."""
    if said.key and not _heard_first(tx, said.key):
        return Stopped(None, True)
    row = tx.one(f"{_MEANT} AND {_BEGUN} ORDER BY id LIMIT 1", said.at, said.by_messages)
    if row is not None:
        tx.effect(NewEffect("turn.stop", f"stop:{row['id']}", {"by": said.by, "prompt_id": row["id"]}))
        return Stopped(prompt_row(row), True)
    queued = tx.rows(f"{_MEANT} AND state = 'queued' ORDER BY id", said.at, said.by_messages)
    session = tx.one("SELECT repository FROM session") or {"repository": None}
    for each in queued:
        _settle(tx, each["id"], "stopped", ending(prompt_row(each), session["repository"]))
    return Stopped(None, bool(queued))


# Those that a stop heard late may mean: what had begun, or had been said, by the time it was said.
_MEANT = """SELECT * FROM prompts WHERE (?1 IS NULL OR coalesce(
    iif(?2, CAST(message_ts AS REAL), NULL),
    (SELECT min(started_at) FROM turns WHERE prompt_id = prompts.id), accepted_at) <= ?1)"""
# One whose push was begun before a crash is to be finished, by its turn, and not ended as if nothing were.
_BEGUN = """(state IN ('running', 'waiting') OR (state = 'queued' AND EXISTS (
    SELECT 1 FROM effects WHERE kind = 'git.push' AND key = 'push:' || prompts.id)))"""


def _heard_first(tx: Tx, key: str) -> bool:
    """Whether a stop is heard for the first time; a row that owes nothing remembers it."""
    return bool(
        tx.execute(
            """INSERT INTO effects (kind, key, intent, state, created_at, updated_at)
               VALUES ('turn.stop.heard', ?, '{}', 'done', ?, ?) ON CONFLICT (kind, key) DO NOTHING""",
            *(clean(key), tx.now, tx.now),
        )
    )


def answer(tx: Tx, prompt_id: int, repository: str, outcome: Outcome) -> bool:
    changed = tx.execute(
        "UPDATE prompts SET state = 'queued', repository = ? WHERE id = ? AND state = 'waiting'",
        *(repository, prompt_id),
    )
    if changed:
        outcome.write(tx, prompt_id)
    return changed > 0


def requeue_running(tx: Tx, epoch: int, counted: bool) -> list[Row]:
    found = tx.rows(
        """UPDATE prompts SET state = 'queued', interrupted = interrupted + ?
           WHERE state = 'running' AND epoch < ? RETURNING *""",
        *(int(counted), epoch),
    )
    return _requeued(tx, found)


def hand_back(tx: Tx, prompt_id: int, epoch: int, counted: bool) -> bool:
    found = tx.rows(
        """UPDATE prompts SET state = 'queued', interrupted = interrupted + ?
           WHERE id = ? AND state = 'running' AND epoch = ? RETURNING *""",
        *(int(counted), prompt_id, epoch),
    )
    return bool(_requeued(tx, found))


def _requeued(tx: Tx, found: list[Row]) -> list[Row]:
    for row in found:
        tx.execute(
            "UPDATE turns SET finished_at = ? WHERE prompt_id = ? AND finished_at IS NULL",
            *(tx.now, row["id"]),
        )
        close_all(tx, row["id"], "interrupted")
    if found:
        tx.session(None)
    return [prompt_row(row) for row in found]


def holds(tx: Tx, events: Iterable[NewEvent], epoch: int) -> bool:
    """The fence: every prompt these events speak of runs now, in this epoch."""
    spoken_of = {event.prompt_id for event in events if event.prompt_id is not None}
    return all(runs(tx, prompt_id, epoch) for prompt_id in spoken_of)


def plan_of_turn(tx: Tx, prompt_id: int, epoch: int, effect: NewEffect) -> Row | None:
    """The effect's row, planned now or known already; None and nothing written when fenced."""
    return tx.effect(effect) if runs(tx, prompt_id, epoch) else None


def send_of_turn(tx: Tx, prompt_id: int, epoch: int, effect_id: int) -> bool:
    """Any state but done -> sending: an earlier try, of this turn or before it, may have left it anywhere."""
    changed = 0
    if runs(tx, prompt_id, epoch):
        changed = tx.execute(
            """UPDATE effects SET state = 'sending', error = NULL, attempt = attempt + 1, updated_at = ?
               WHERE id = ? AND state != 'done'""",
            *(tx.now, effect_id),
        )
    tx.told = changed > 0
    return changed > 0
