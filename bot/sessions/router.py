"""The way inward: what an edge says to a session, and which worker hears it.

Every method returns only after what it did is on disk; nothing slow happens in any of them, since an
edge waits for them before it answers the outside.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from bot.domain import EventType, Person, PromptId, SessionId, ThreadKey
from bot.sessions.house import House
from bot.sessions.slots import Slots
from bot.sessions.worker import SessionWorker
from storage import Accepted, NewEffect, NewEvent, NewPrompt, SessionFile

log = logging.getLogger(__name__)

UNFINISHED = ("queued", "running", "waiting")
OWED = ("pending", "sending")


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


class Sessions:
    """All sessions of this bot. `accept` is the only way a prompt comes in."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._slots = Slots(
            house.settings.limits.running_turns, house.settings.limits.running_turns_per_person
        )
        self._workers: dict[SessionId, SessionWorker] = {}
        self._closing = False

    # -- life ------------------------------------------------------------------------------------

    async def recover(self) -> list[SessionId]:
        """Take up what an earlier boot left: prompts it was running are claimed again, by their worker.

        Returns the sessions that may owe the outside something, for the edges to look after.
        """
        owed = await self._owing()
        for session in owed:
            async with self.house.store.use(session) as file:
                lease = await file.lease()
                if lease is not None and lease["epoch"] < self.house.epoch:
                    await file.set_lease(None)  # what the provider kept of it, the provider sweeps
                for row in await file.requeue_running(self.house.epoch):
                    log.warning("session %s: prompt %s was cut off and runs again", session, row["id"])
            self._wake(session)
        return owed

    async def close(self) -> None:
        """Stop all workers where they are; their prompts are taken up by the next boot."""
        self._closing = True
        await asyncio.gather(*(worker.close() for worker in list(self._workers.values())))

    # -- what edges say --------------------------------------------------------------------------

    async def accept(self, incoming: Incoming) -> Accepted | None:
        """Commit a prompt. None when it was not addressed to us and its thread is no session."""
        session = incoming.thread.session_id
        known = self.house.store.exists(session)
        if not known and not incoming.addressed:
            return None
        async with (
            self.house.state.marking(session),
            self.house.store.use(session, create=incoming.thread) as file,
        ):
            accepted = await file.accept(_new_prompt(incoming), self.house.epoch)
            if accepted.new and accepted.position:
                await self._say_place(file, incoming, accepted)
        if accepted.new:
            self._wake(session)
        return accepted

    async def edit(self, thread: ThreadKey, source: str, key: str, text: str) -> str | None:
        """Change a prompt that has not started. Its state afterwards, None when there is no such prompt."""
        session = thread.session_id
        if not self.house.store.exists(session):
            return None
        async with self.house.store.use(session) as file:
            return await file.edit(source, key, text)

    async def remove(self, thread: ThreadKey, source: str, key: str) -> str | None:
        """Take back a prompt that has not started. Its state afterwards, None when there is none."""
        session = thread.session_id
        if not self.house.store.exists(session):
            return None
        async with self.house.store.use(session) as file:
            state = await file.remove(source, key)
        self._wake(session)
        return state

    async def stop(self, session: SessionId, by: str, said_at: float | None = None) -> bool:
        """Stop what runs or waits in a session. False when nothing did. Returns once the fence is on disk.

        `said_at` is given for a stop that is heard late: it concerns only what had started by then.
        """
        if not self.house.store.exists(session):
            return False
        async with self.house.state.marking(session), self.house.store.use(session) as file:
            rows = [
                row
                for row in await file.prompts(("running", "waiting"))
                if said_at is None or await _began(file, row) <= said_at
            ]
            if not rows:
                return False
            await file.effect_plan(
                "turn.stop", f"stop:{rows[0]['id']}", {"by": by, "prompt_id": rows[0]["id"]}
            )
        self._wake(session).stop(PromptId(rows[0]["id"]))
        return True

    async def answer(self, session: SessionId, prompt: PromptId, repository: str, by: Person) -> bool:
        """Answer the open question of a prompt. False when it is not open any more."""
        if not self.house.store.exists(session):
            return False
        async with self.house.state.marking(session), self.house.store.use(session) as file:
            answered = await file.answer(
                prompt,
                repository,
                events=[NewEvent(EventType.QUESTION_ANSWERED, {"repository": repository}, prompt, by.id)],
                effects=[
                    NewEffect(
                        "thread.update",
                        f"question:{prompt}:answered",
                        {
                            "kind": "answered",
                            "of": f"question:{prompt}",
                            "repository": repository,
                            "by": by.id,
                        },
                    )
                ],
            )
        self._wake(session)
        return answered

    # -- what edges ask --------------------------------------------------------------------------

    async def may_answer(self, session: SessionId, person: Person) -> bool:
        """Whether this person has asked for anything in this session, and so may answer its questions."""
        if not self.house.store.exists(session):
            return False
        async with self.house.store.use(session) as file:
            return any(prompt["author_id"] == person.id for prompt in await file.prompts())

    async def find_by_message(self, channel: str, ts: str) -> SessionId | None:
        """The unfinished session whose thread holds this message, for events that do not name the thread."""
        for session in await self._owing():
            async with self.house.store.use(session) as file:
                row = await file.session()
                if row["channel"] != channel:
                    continue
                prompts = {prompt["message_ts"] for prompt in await file.prompts()}
                posts = {
                    (effect["result"] or {}).get("ts") for effect in await file.effects(kind_prefix="thread.")
                }
                if ts == row["thread_ts"] or ts in prompts or ts in posts:
                    return session
        return None

    async def work(self) -> dict[str, int]:
        """How much is undone: prompts queued, running and waiting for an answer, effects not yet outside."""
        counts = {"queued": 0, "running": 0, "waiting": 0, "effects": 0}
        for session in await self._owing():
            async with self.house.store.use(session) as file:
                for prompt in await file.prompts(UNFINISHED):
                    counts[prompt["state"]] += 1
                counts["effects"] += len(await file.effects(OWED))
        return counts

    async def settle(self, session: SessionId) -> None:
        """Forget that a session may owe something, if it does not. Safe to call at any time."""
        if session in self._workers or self._closing:
            return
        async with self.house.store.use(session) as file:
            await self.house.state.clear_if(session, file.idle)
            await self.house.index.apply(await file.summary())

    # -- inside ----------------------------------------------------------------------------------

    async def _owing(self) -> list[SessionId]:
        """The marked sessions; one without a file was marked right before a crash, and owes nothing."""
        found = []
        for name in await self.house.state.marked():
            if self.house.store.exists(name):
                found.append(SessionId(name))
            elif not self._closing:
                await self.house.state.clear_if(name, _certainly)
        return found

    async def _say_place(self, file: SessionFile, incoming: Incoming, accepted: Accepted) -> None:
        """Queued, visibly; refused, visibly, when too many wait already."""
        facts = {"prompt_id": accepted.prompt_id, "position": accepted.position}
        if accepted.position <= self.house.settings.limits.queue_length:
            post = NewEffect("thread.post", f"queued:{accepted.prompt_id}", {"kind": "queued", **facts})
        else:
            await file.remove(incoming.source, incoming.key)
            post = NewEffect("thread.post", f"refused:{accepted.prompt_id}", {"kind": "refused", **facts})
        await file.record(effects=[post])

    def _wake(self, session: SessionId) -> SessionWorker:
        worker = self._workers.get(session)
        if worker is None:
            worker = SessionWorker(self.house, session, self._slots, self._retired, self.settle)
            self._workers[session] = worker
            if not self._closing:
                worker.start()
        worker.wake()
        return worker

    def _retired(self, worker: SessionWorker) -> None:
        self._workers.pop(worker.session, None)


async def _certainly() -> bool:
    return True


async def _began(file: SessionFile, row: dict[str, Any]) -> float:
    """When a prompt was first begun; a boot that takes it up again does not make it younger."""
    turns = await file.turns(row["id"])
    return float(turns[0]["started_at"] if turns else row["accepted_at"])


def _new_prompt(incoming: Incoming) -> NewPrompt:
    author: dict[str, Any] = {
        "id": incoming.author.id,
        "team": incoming.author.team,
        "name": incoming.author.name,
    }
    return NewPrompt(
        source=incoming.source,
        key=incoming.key,
        author_id=incoming.author.id,
        author_name=incoming.author.name,
        author=author,
        text=incoming.text,
        message_ts=incoming.message_ts,
        at=incoming.at,
        repository=incoming.repository,
    )
