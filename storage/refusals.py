"""What becomes of a request for which a thread has no room: known by its key, not kept, said to its author.

However many there are, the thread shows one message of them until it takes a request again. It is brought up
to date for each new author, for the first few, and then when their number has doubled: a flood must not hold
up what else the thread has to say.
"""

from __future__ import annotations

from typing import Any

from storage.ledger import NewEffect, NewEvent, Tx, dump, effect_row

_MOST_PEOPLE = 20
_COUNTED = 8
_POST, _UPDATE = "thread.post", "thread.update"


def refuse(tx: Tx, prompt_id: int, position: int) -> None:
    """Of a row that was just added: its text goes, so that a flood fills no disk. `position` were ahead."""
    row = tx.one(
        """UPDATE prompts SET state = 'removed', text = '', files = '[]', finished_at = ? WHERE id = ?
           RETURNING author_id, author_name""",
        *(tx.now, prompt_id),
    )
    assert row is not None
    facts = {"author_name": row["author_name"], "reason": "the queue is full", "position": position}
    tx.events([NewEvent("prompt.removed", facts, prompt_id, row["author_id"])])
    _say(tx, _last_taken(tx), row["author_id"], position)


def _last_taken(tx: Tx) -> int:
    """The end of the queue: the refusals of one message are those that came after it."""
    row = tx.one("SELECT max(id) AS id FROM prompts WHERE state IN ('queued', 'running', 'waiting')")
    return int(row["id"] or 0) if row else 0


def _say(tx: Tx, burst: int, author: str, position: int) -> None:
    key = f"refused:{burst}"
    post, update = _effect(tx, _POST, key), _effect(tx, _UPDATE, f"{key}:more")
    before = (update or post or {"intent": {"count": 0, "people": []}})["intent"]
    count, people = before["count"] + 1, [*before["people"]]
    newcomer = author not in people and len(people) < _MOST_PEOPLE
    facts: dict[str, Any] = {
        "kind": "refused",
        "position": position,
        "count": count,
        "people": [*people, author] if newcomer else people,
    }
    if post is None:
        tx.effect(NewEffect(_POST, key, facts))
    elif post["state"] == "pending":
        _amend(tx, post["id"], facts, worth_saying=True)
    elif update is None:
        tx.effect(NewEffect(_UPDATE, f"{key}:more", {**facts, "of": key}))
    else:
        doubled = count <= _COUNTED or count & (count - 1) == 0
        _amend(tx, update["id"], {**facts, "of": key}, newcomer or doubled)


def _effect(tx: Tx, kind: str, key: str) -> dict[str, Any] | None:
    row = tx.one("SELECT * FROM effects WHERE kind = ? AND key = ?", kind, key)
    return None if row is None else effect_row(row)


def _amend(tx: Tx, effect_id: int, facts: dict[str, Any], worth_saying: bool) -> None:
    """A message that is being changed this moment is changed once more."""
    tx.execute(
        "UPDATE effects SET intent = ?, state = CASE WHEN ? THEN 'pending' ELSE state END WHERE id = ?",
        *(dump(facts), worth_saying, effect_id),
    )
    tx.told = tx.told or worth_saying
