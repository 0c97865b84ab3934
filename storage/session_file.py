"""A session: one thread, one file, one writer. Everything the thread was asked, did and still owes."""

# long because: each thing that may happen to a session is one short method; a reader wants all on one page.

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlite_utils import Database

from storage import moving
from storage import prompts as moves
from storage.engine import Executor, File, Row, value
from storage.errors import Unusable, explaining_os
from storage.ledger import NewArtifact, NewEffect, NewEvent, Tx, decoded, dump
from storage.migrations import Schema, session_schema
from storage.prompts import Accepted, NewPrompt, Outcome, Planned, Stop, Stopped, prompt_row
from storage.questions import Asking

FINAL = frozenset({"done", "failed", "stopped"})
UNFINISHED = frozenset({"queued", "running", "waiting"})
_LEASE = ("sandbox", "image", "provider", "epoch", "expires_at")


class Thread(Protocol):
    """What names a session's thread."""

    @property
    def team(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def thread_ts(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Birth:
    """The row a new file is born with, so that no file is ever without one."""

    session_id: str
    thread: Thread
    at: float

    def fill(self, db: Database) -> None:
        db.execute(
            "INSERT INTO session (id, team, channel, thread_ts, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                self.session_id,
                *(self.thread.team, self.thread.channel, self.thread.thread_ts),
                *(self.at, self.at),
            ),
        )


def create_session_file(path: Path, session_id: str, thread: Thread, at: float) -> None:
    """Make the file of a new session; blocking. Raises StorageError."""
    session_schema().create(path, _Birth(session_id, thread, at).fill)


class SessionFile(Asking):
    """All writes but `append` and `stage` are on the disk before they return.

    Whatever carries an `epoch` is fenced: a process of an older boot changes nothing and is told so by
    False, None or an empty list. Events and effects given together with a change of state are written in
    the same transaction, or not at all. Every method may raise StorageError.
    """

    @classmethod
    async def open(
        cls,
        path: Path,
        session_id: str,
        executor: Executor,
        now: Callable[[], float] = time.time,
        schema: Schema | None = None,
    ) -> SessionFile:
        """Open an existing file, bringing an older one up to date."""
        known = session_schema() if schema is None else schema

        def prepare(db: Database) -> None:
            known.check(path, db)
            _must_be_of(session_id, path, db)

        file = await File.open(path, executor, prepare)
        session = cls(session_id, file, now)
        session._last_seq = await file.read(_last_seq)
        return session

    # -- prompts ---------------------------------------------------------------------------------

    async def accept(
        self,
        prompt: NewPrompt,
        epoch: int,
        room: int | None = None,
        place: Callable[[Accepted], Sequence[NewEffect]] | None = None,
    ) -> Accepted | None:
        """Queue a prompt; one that is known already is reported as it is now, and nothing is written.

        `place` makes the effects that are planned with it. With more than `room` ahead of it, it is refused
        instead, and its author told. None, and nothing is written: it was unaddressed, and said before this
        session's first prompt.
        """
        return await self._write(lambda tx: moves.accept(tx, prompt, epoch, room, place))

    async def edit(
        self, source: str, key: str, text: str, files: Sequence[Mapping[str, Any]] | None = None
    ) -> str | None:
        """Change the text while queued or waiting. Returns the state (any other: too late), None: unknown.

        Its files stay where `files` is None.
        """
        return await self._write(lambda tx: moves.edit(tx, source, key, text, files))

    async def remove(self, source: str, key: str, effects: Planned = ()) -> str | None:
        """Take back while queued or waiting. Returns "removed", or the state (too late), None: unknown.

        `effects` (or what makes them from the prompt's id) are planned with it if it was waiting.
        """
        return await self._write(lambda tx: moves.remove(tx, source, key, effects))

    async def claim(self, epoch: int) -> Row | None:
        """Start the first unfinished prompt. None: one runs, or the first one waits, or there is none."""
        return await self._write(lambda tx: moves.claim(tx, epoch))

    async def join(self, prompt_id: int, author_id: str, author_name: str, author: Mapping[str, Any]) -> bool:
        """Note whose text is about to reach the agent; True for someone new. Names are brought up to date.

        Ask for permission first: whoever is noted here is named as one who took part.
        """
        return await self._write(lambda tx: moves.join(tx, prompt_id, author_id, author_name, author))

    async def finish(
        self,
        prompt_id: int,
        epoch: int,
        state: str,
        events: Sequence[NewEvent] = (),
        effects: Sequence[NewEffect] = (),
        session_fields: Mapping[str, Any] | None = None,
        message: str | None = None,
        artifacts: Sequence[NewArtifact] = (),
    ) -> bool:
        """End the running turn as done, failed or stopped, with all it leaves. False: fenced.

        Effects it left open are given up with it, save those of the thread (kinds that begin `thread.`).
        """
        _require(state)
        outcome = Outcome(events, effects, artifacts, session_fields, message)
        return await self._write(lambda tx: moves.finish(tx, prompt_id, epoch, state, outcome))

    async def wait(
        self,
        prompt_id: int,
        epoch: int,
        events: Sequence[NewEvent] = (),
        effects: Sequence[NewEffect] = (),
    ) -> bool:
        """The running prompt needs an answer first; those behind it wait too. False: fenced."""
        outcome = Outcome(events, effects)
        return await self._write(lambda tx: moves.finish(tx, prompt_id, epoch, "waiting", outcome))

    async def answer(
        self,
        prompt_id: int,
        repository: str,
        events: Sequence[NewEvent] = (),
        effects: Sequence[NewEffect] = (),
    ) -> bool:
        """Queue a waiting prompt again, with its repository. False: it was not waiting (any more)."""
        outcome = Outcome(events, effects)
        return await self._write(lambda tx: moves.answer(tx, prompt_id, repository, outcome))

    async def stop(self, said: Stop, ending: Callable[[Row, str | None], Outcome]) -> Stopped:
        """Plan the stop (`turn.stop`) of what runs or waits; where nothing does, end all that is queued.

        `ending` makes the end of one of those from its row and the session's repository.
        """
        return await self._write(lambda tx: moves.stop(tx, said, ending))

    async def move(self, prompt_id: int, repository: str, by: str) -> str:
        """Let a queued or running prompt run in another repository; see `storage.moving.move`."""
        return await self._write(lambda tx: moving.move(tx, prompt_id, repository, by))

    async def moved(self, prompt_id: int, epoch: int) -> str | None:
        """Queue the running prompt again where it is to move to. None: it is not, or it was fenced."""
        return await self._write(lambda tx: moving.moved(tx, prompt_id, epoch))

    async def requeue_running(self, epoch: int, counted: bool = True) -> list[Row]:
        """After a crash: what older boots left running is queued again, `interrupted` counted up if so."""
        return await self._write(lambda tx: moves.requeue_running(tx, epoch, counted))

    async def hand_back(self, prompt_id: int, epoch: int, counted: bool) -> bool:
        """Queue this boot's own running prompt again, `interrupted` counted up if so. False: fenced."""
        return await self._write(lambda tx: moves.hand_back(tx, prompt_id, epoch, counted))

    async def plan_of_turn(
        self, prompt_id: int, epoch: int, kind: str, key: str, intent: Mapping[str, Any]
    ) -> Row | None:
        """As `effect_plan`, for the turn that runs; None, and nothing is written: fenced."""
        effect = NewEffect(kind, key, intent)
        return await self._write(lambda tx: moves.plan_of_turn(tx, prompt_id, epoch, effect))

    async def send_of_turn(self, prompt_id: int, epoch: int, effect_id: int) -> bool:
        """Before the outside call, also of one that was tried before. False: fenced, or done already."""
        return await self._write(lambda tx: moves.send_of_turn(tx, prompt_id, epoch, effect_id))

    # -- what happens ----------------------------------------------------------------------------

    async def append(self, events: Sequence[NewEvent], epoch: int | None = None) -> list[int]:
        """Log events, quickly: a power cut may lose the last ones, `kill -9` cannot. Returns their numbers.

        With an epoch, an empty list means that a prompt named in them does not run in it: none was written.
        """

        def log(tx: Tx) -> list[int]:
            if epoch is not None and not moves.holds(tx, events, epoch):
                return []
            return tx.events(events)

        return await self._write(log, durable=False)

    async def record(
        self,
        events: Sequence[NewEvent] = (),
        effects: Sequence[NewEffect] = (),
        session_fields: Mapping[str, Any] | None = None,
        artifacts: Sequence[NewArtifact] = (),
    ) -> list[int]:
        """Write what happens outside turns, in one transaction. Returns the events' numbers."""

        def note(tx: Tx) -> list[int]:
            tx.session(session_fields)
            tx.artifacts(artifacts)
            tx.effects(effects)
            return tx.events(events)

        return await self._write(note)

    async def update_session(self, **fields: Any) -> None:
        """Set fields of the session's row. Raises ValueError for one that it does not have."""
        await self._write(lambda tx: tx.session(fields))

    async def stage(self, prompt_id: int, stage: str, at: float) -> None:
        """Note when the prompt's latest turn reached a stage; the first time counts. Not fsynced."""
        await self._write(
            lambda tx: tx.execute(
                """UPDATE turns SET stages = json_insert(stages, '$."' || ?1 || '"', ?2)
                   WHERE prompt_id = ?3
                     AND attempt = (SELECT max(attempt) FROM turns WHERE prompt_id = ?3)""",
                *(stage, at, prompt_id),
            ),
            durable=False,
        )

    async def set_lease(self, lease: Mapping[str, Any] | None) -> None:
        """Note the sandbox held (sandbox, image, provider, epoch, expires_at), or that none is."""

        def put(tx: Tx) -> None:
            tx.execute("DELETE FROM lease")
            if lease is not None:
                row = [lease.get(name) for name in _LEASE]
                tx.execute(
                    "INSERT INTO lease (id, sandbox, image, provider, epoch, expires_at)"
                    " VALUES (1, ?, ?, ?, ?, ?)",
                    *row,
                )

        unknown = set(lease or ()) - set(_LEASE)
        if unknown:
            raise ValueError(f"a lease has no field {', '.join(sorted(unknown))}")
        await self._write(put)

    # -- reading ---------------------------------------------------------------------------------

    async def session(self) -> Row:
        return decoded((await self._read("SELECT * FROM session"))[0], "pull_request", "extra")

    async def prompts(self, states: Collection[str] | None = None, limit: int = -1) -> list[Row]:
        """In the order of acceptance, which is the order they run in; `states` None means all."""
        wanted = None if states is None else dump(sorted(states))
        # Said so that the index of the unfinished is used: what is done grows without end.
        open_ones = f"state IN {moves.UNFINISHED} AND" if states and UNFINISHED.issuperset(states) else ""
        found = await self._read(
            f"""SELECT * FROM prompts
                WHERE {open_ones} (?1 IS NULL OR state IN (SELECT value FROM json_each(?1)))
                ORDER BY id LIMIT ?2""",  # noqa: S608 - a constant
            *(wanted, limit),
        )
        return [prompt_row(row) for row in found]

    async def prompt(self, prompt_id: int) -> Row | None:
        found = await self._read("SELECT * FROM prompts WHERE id = ?", prompt_id)
        return prompt_row(found[0]) if found else None

    async def find_prompt(self, source: str, key: str) -> Row | None:
        found = await self._read("SELECT * FROM prompts WHERE source = ? AND key = ?", source, key)
        return prompt_row(found[0]) if found else None

    async def events(self, after: int = 0, limit: int = 500) -> list[Row]:
        """The events numbered above `after`, at most `limit`; every one is committed."""
        found = await self._read("SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", *(after, limit))
        return [decoded(row, "data") for row in found]

    async def last_seq(self) -> int:
        """The number of the last committed event, 0 before the first."""
        return await self._file.read(_last_seq)

    async def messages(self) -> list[Row]:
        return await self._read("SELECT * FROM messages ORDER BY id")

    async def participants(self) -> list[Row]:
        found = await self._read("SELECT * FROM participants ORDER BY first_prompt")
        return [decoded(row, "author") for row in found]

    async def artifacts(self, kind: str | None = None) -> list[Row]:
        found = await self._read("SELECT * FROM artifacts WHERE ?1 IS NULL OR kind = ?1 ORDER BY id", kind)
        return [decoded(row, "data") for row in found]

    async def turns(self, prompt_id: int | None = None) -> list[Row]:
        """One row per claim: prompt_id, attempt, epoch, started_at, finished_at, stages (stage -> time)."""
        found = await self._read(
            "SELECT * FROM turns WHERE ?1 IS NULL OR prompt_id = ?1 ORDER BY prompt_id, attempt", prompt_id
        )
        return [decoded(row, "stages") for row in found]

    async def turn_stages(self, prompt_id: int) -> dict[str, float]:
        """Of the prompt's latest turn; empty before it was claimed."""
        found = await self.turns(prompt_id)
        return dict(found[-1]["stages"]) if found else {}

    async def lease(self) -> Row | None:
        found = await self._read("SELECT sandbox, image, provider, epoch, expires_at FROM lease")
        return found[0] if found else None

    async def idle(self) -> bool:
        """Nothing is unfinished and nothing is unsent: after a crash this file needs no look."""
        found = await self._read(
            """SELECT EXISTS (SELECT 1 FROM prompts WHERE state IN ('queued', 'running', 'waiting'))
                   OR EXISTS (SELECT 1 FROM effects WHERE state IN ('pending', 'sending')) AS busy"""
        )
        return not found[0]["busy"]

    async def summary(self) -> Row:
        """The session's row for the index."""
        found = await self._read(
            """SELECT id, team, channel, thread_ts, title, repository, pull_request, created_at, updated_at,
                 coalesce(
                   (SELECT state FROM prompts WHERE state IN ('running', 'waiting') LIMIT 1),
                   (SELECT state FROM prompts WHERE state != 'removed' ORDER BY state = 'queued' DESC, id DESC
                    LIMIT 1),
                   'empty') AS state,
                 (SELECT count(*) FROM prompts WHERE state != 'removed') AS prompts,
                 coalesce((SELECT max(seq) FROM events), 0) AS last_seq
               FROM session"""
        )
        return decoded(found[0], "pull_request")

    async def export(self, target: Path) -> None:
        """Write a copy, complete by itself, to a file that must not exist yet."""
        await self._file.run(lambda db: _copy(db, target))


def _copy(db: Database, target: Path) -> None:
    with explaining_os(target):
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        db.execute("VACUUM INTO ?", (str(target),))
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _must_be_of(session_id: str, path: Path, db: Database) -> None:
    """A file under another's name would answer one thread with what belongs to another."""
    try:
        found = value(db, "SELECT id FROM session")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR:  # something else than "no such table"
            raise
        raise Unusable("has no session in it", path, "Restore it from a backup.") from error
    if found != session_id:
        what = "has no session in it" if found is None else f"is the file of another session, {found}"
        raise Unusable(what, path, "Move it to where it belongs, and restore this one from a backup.")


def _last_seq(db: Database) -> int:
    return int(value(db, "SELECT coalesce(max(seq), 0) FROM events"))


def _require(state: str) -> None:
    if state not in FINAL:
        raise ValueError(f"a prompt ends as {', '.join(sorted(FINAL))}, not as {state!r}")
