"""A prompt that runs in the wrong repository, or is to: each step one transaction on its session file."""

from __future__ import annotations

from storage.engine import Row
from storage.ledger import NewEffect, Tx, decoded
from storage.prompts import close_effects
from storage.questions import close_all, live

MOVE = "turn.move"  # the intent of a move: {prompt_id, repository, by}


def move(tx: Tx, prompt_id: int, repository: str, by: str) -> str:
    """Let a prompt run in another repository: what runs is to end first, for which an intent is written.

    Returns its state; "moving" where that is meant already, "pushing" where it is too late for it, and
    "stopping". Nothing is written then, nor in any state but queued and running.
    """
    row = tx.one("SELECT state, attempt FROM prompts WHERE id = ?", prompt_id)
    state = "unknown" if row is None else str(row["state"])
    if row is None or state not in ("queued", "running"):
        return state
    if _is_planned(tx, "git.push", f"push:{prompt_id}"):
        return "pushing"
    if _is_planned(tx, "turn.stop", f"stop:{prompt_id}"):
        return "stopping"
    if _meant(tx, prompt_id) is not None:
        return "moving"
    if state == "queued":
        tx.execute("UPDATE prompts SET repository = ? WHERE id = ?", repository, prompt_id)
    else:
        intent = {"prompt_id": prompt_id, "repository": repository, "by": by}
        tx.effect(NewEffect(MOVE, f"move:{prompt_id}:{row['attempt']}", intent))
    tx.session(None)
    return state


def moved(tx: Tx, prompt_id: int, epoch: int) -> str | None:
    """running -> queued, with the repository that was meant. None, and nothing written: fenced, or none was.

    A stop that came as well counts more.
    """
    meant = _meant(tx, prompt_id)
    if meant is None or not live(tx, prompt_id, epoch):
        return None
    repository, by = str(meant["intent"]["repository"]), str(meant["intent"]["by"])
    tx.execute("UPDATE prompts SET state = 'queued', repository = ? WHERE id = ?", repository, prompt_id)
    tx.execute(
        """UPDATE turns SET finished_at = ?1, stages = json_insert(stages, '$.moved', ?1)
           WHERE prompt_id = ?2 AND finished_at IS NULL""",
        *(tx.now, prompt_id),
    )
    tx.execute("UPDATE effects SET state = 'done', updated_at = ? WHERE id = ?", tx.now, meant["id"])
    close_all(tx, prompt_id, "ended")
    close_effects(tx)
    tx.event("turn.moved", {"repository": repository, "by": by}, prompt_id, by)
    tx.session(None)
    return repository


def _meant(tx: Tx, prompt_id: int) -> Row | None:
    found = tx.one(
        """SELECT id, intent FROM effects WHERE kind = ? AND state = 'pending'
           AND json_extract(intent, '$.prompt_id') = ?""",
        *(MOVE, prompt_id),
    )
    return None if found is None else decoded(found, "intent")


def _is_planned(tx: Tx, kind: str, key: str) -> bool:
    return tx.one("SELECT 1 FROM effects WHERE kind = ? AND key = ?", kind, key) is not None
