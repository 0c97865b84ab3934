"""What a running turn asks its thread: open until the one answer that counts, or until the turn ends.

A question is its post; it is closed by the change of that post (`KEY:closed`), which exists once. So whatever
closes it, of two answers and an end of the turn at the same moment, is the first that was committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.engine import Row
from storage.ledger import Ledger, NewEffect, NewEvent, Tx, effect_row

_POST, _UPDATE = "thread.post", "thread.update"


def question_key(prompt_id: int, attempt: int, number: int) -> str:
    """The name of a turn's question, of its post too. A prompt that runs again asks under other names."""
    return f"{_of(prompt_id)}{attempt}:{number}"


class Asking(Ledger):
    """A file whose turns ask questions."""

    async def ask(self, key: str, epoch: int, event: NewEvent, facts: Mapping[str, Any]) -> bool:
        """Post a question of the turn that `event` names. False: fenced, or stopped; nothing is written."""
        return await self._write(lambda tx: _ask(tx, key, epoch, event, facts))

    async def close_question(self, key: str, epoch: int, event: NewEvent, facts: Mapping[str, Any]) -> bool:
        """Answer it or give it up: its post is changed, `facts` over what it said. False: too late."""
        return await self._write(lambda tx: _close(tx, key, epoch, event, facts))

    async def question(self, key: str) -> tuple[Row | None, Row | None]:
        """The facts of a question, and of what closed it; None where there is none."""
        found = await self._read(
            "SELECT * FROM effects WHERE (kind, key) IN (VALUES (?, ?), (?, ?))",
            *(_POST, key, _UPDATE, _closed(key)),
        )
        facts = {row["kind"]: effect_row(row)["intent"] for row in found}
        return facts.get(_POST), facts.get(_UPDATE)


def runs(tx: Tx, prompt_id: int, epoch: int) -> bool:
    """Whether this prompt's turn runs now, in this epoch."""
    sql = "SELECT 1 FROM prompts WHERE id = ? AND state = 'running' AND epoch = ?"
    return tx.one(sql, prompt_id, epoch) is not None


def close_all(tx: Tx, prompt_id: int, outcome: str) -> None:
    """No post of a turn that is over can be answered any more."""
    after = f"{_of(prompt_id)[:-1]};"  # the first text behind all that begin so
    posts = tx.rows(
        """SELECT * FROM effects AS post WHERE kind = ? AND key > ? AND key < ? AND NOT EXISTS
             (SELECT 1 FROM effects WHERE kind = ? AND key = post.key || ':closed') ORDER BY id""",
        *(_POST, _of(prompt_id), after, _UPDATE),
    )
    for post in map(effect_row, posts):
        _change(tx, post, {"outcome": outcome})


def live(tx: Tx, prompt_id: int, epoch: int) -> bool:
    """Whether its turn runs and nobody stopped it: behind a stop nothing is asked, answered or moved."""
    return runs(tx, prompt_id, epoch) and _effect(tx, "turn.stop", f"stop:{prompt_id}") is None


def _ask(tx: Tx, key: str, epoch: int, event: NewEvent, facts: Mapping[str, Any]) -> bool:
    assert event.prompt_id is not None
    if not live(tx, event.prompt_id, epoch):
        return False
    tx.effect(NewEffect(_POST, key, {**facts, "prompt_id": event.prompt_id}))
    tx.events([event])
    return True


def _close(tx: Tx, key: str, epoch: int, event: NewEvent, facts: Mapping[str, Any]) -> bool:
    post = _effect(tx, _POST, key)
    if post is None or _effect(tx, _UPDATE, _closed(key)) is not None:
        return False
    if not live(tx, post["intent"]["prompt_id"], epoch):
        return False
    _change(tx, post, facts)
    tx.events([event])
    return True


def _change(tx: Tx, post: Row, facts: Mapping[str, Any]) -> None:
    tx.effect(NewEffect(_UPDATE, _closed(post["key"]), {**post["intent"], **facts, "of": post["key"]}))


def _effect(tx: Tx, kind: str, key: str) -> Row | None:
    row = tx.one("SELECT * FROM effects WHERE kind = ? AND key = ?", kind, key)
    return None if row is None else effect_row(row)


def _of(prompt_id: int) -> str:
    return f"ask:{prompt_id}:"


def _closed(key: str) -> str:
    return f"{key}:closed"
