"""The way inward: what an edge says to a session, and which worker hears it.

Every method returns only after what it did is on disk; nothing slow happens in any of them, since an
edge waits for them before it answers the outside.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from bot.domain import Attachment, EventType, Person, PromptId, SessionId, ThreadKey
from bot.errors import UserError
from bot.sessions.damage import tell_unusable
from bot.sessions.ending import stop_of_queued, withdrawn
from bot.sessions.house import House
from bot.sessions.incoming import Incoming, bounded, new_prompt
from bot.sessions.moving import Movable, movable, refuse
from bot.sessions.rows import files_of, prompt_of
from bot.sessions.slots import Slots
from bot.sessions.worker import SessionWorker
from storage import (
    Accepted,
    NewEffect,
    NewEvent,
    Outcome,
    SessionFile,
    Stop,
    StorageError,
    Unusable,
)

log = logging.getLogger(__name__)

Row = dict[str, Any]
UNFINISHED = ("queued", "running", "waiting")
OWED = ("pending", "sending")


@dataclass(slots=True)
class _Lane:
    """`users` are inside or waiting."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Sessions:
    """All sessions of this bot. `accept` is the only way a prompt comes in."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._slots = Slots(
            house.settings.limits.running_turns, house.settings.limits.running_turns_per_person
        )
        self._workers: dict[SessionId, SessionWorker] = {}
        self._leaving: set[SessionWorker] = set()  # retired, but not done with their files
        self._lanes: dict[SessionId, _Lane] = {}
        self._closing = False

    # -- life ------------------------------------------------------------------------------------

    async def recover(self) -> list[SessionId]:
        """Take up what an earlier boot left: prompts it was running are claimed again, by their worker.

        Returns the sessions that may owe the outside something, for the edges to look after.
        """
        taken_up = []
        for session in await self._owing():
            try:
                await self._take_up(session)
            except Unusable as error:  # the other sessions are not to suffer for it
                await self.report(session, error)
                continue
            except StorageError:
                log.exception("session %s cannot be taken up", session)
                continue
            self._wake(session)
            taken_up.append(session)
        return taken_up

    async def _take_up(self, session: SessionId) -> None:
        async with self.house.store.use(session) as file:
            lease = await file.lease()
            if lease is not None and lease["epoch"] < self.house.epoch:
                await file.set_lease(None)  # what the provider kept of it, the provider sweeps
            for row in await file.requeue_running(self.house.epoch):
                log.warning("session %s: prompt %s was cut off and runs again", session, row["id"])

    async def close(self) -> None:
        """Stop all workers where they are; their prompts are taken up by the next boot."""
        self._closing = True
        closing = (worker.close() for worker in [*self._workers.values(), *self._leaving])
        for error in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(error, BaseException):  # the others are closed all the same
                log.error("a session could not be closed in order", exc_info=error)

    # -- what edges say --------------------------------------------------------------------------

    async def accept(self, incoming: Incoming) -> Accepted | None:
        """Commit a prompt, or refuse it visibly where too many wait already; then its state is `removed`.

        None when it was not addressed to us and its thread is no session.
        """
        session = incoming.thread.session_id
        async with self._lane(session):
            if not incoming.addressed and not self.house.store.exists(session):
                return None
            async with (
                self._marked(session),
                self.house.store.use(session, create=incoming.thread) as file,
            ):
                room = self.house.settings.limits.queue_length
                accepted = await file.accept(
                    new_prompt(incoming, self.house.settings.limits.message_chars),
                    self.house.epoch,
                    room,
                    _place,
                )
        return accepted

    async def edit(
        self,
        thread: ThreadKey,
        source: str,
        key: str,
        text: str,
        files: Sequence[Attachment] | None = None,
    ) -> str | None:
        """Change a prompt that has not started. Its state afterwards, None when there is no such prompt.

        Its files stay where `files` is None.
        """
        most = self.house.settings.limits.message_chars
        now = None if files is None else [asdict(each) for each in files]
        async with self._known(thread.session_id) as file:
            return None if file is None else await file.edit(source, key, bounded(text, most), now)

    async def remove(self, thread: ThreadKey, source: str, key: str) -> str | None:
        """Take back a prompt that has not started. Its state afterwards, None when there is none."""
        async with self._known(thread.session_id) as file:
            if file is None:
                return None
            state = await file.remove(source, key, effects=lambda prompt: [withdrawn(prompt)])
        self._wake(thread.session_id)
        return state

    async def knows(self, session: SessionId) -> bool:
        """Whether a thread is a session, one that is being made this moment included."""
        async with self._lane(session):
            return self.house.store.exists(session)

    async def stop(self, session: SessionId, said: Stop) -> bool:
        """Stop what runs or waits in a session. False when nothing did. Returns once the fence is on disk."""

        def ending(row: Row, repository: str | None) -> Outcome:
            return stop_of_queued(prompt_of(row, session), said.by, repository, self.house.now())

        async with self._lane(session):
            if not self.house.store.exists(session):
                return False
            async with self._marked(session), self.house.store.use(session) as file:
                stopped = await file.stop(said, ending)
        if stopped.planned is not None:
            self._wake(session).stop(PromptId(stopped.planned["id"]))
        return stopped.anything

    async def answer(self, session: SessionId, prompt: PromptId, repository: str, by: Person) -> bool:
        """Answer the open question of a prompt. False when it is not open any more."""
        data = {"repository": repository}
        event = NewEvent(EventType.QUESTION_ANSWERED, data, prompt, by.id)
        facts = {"kind": "answered", "of": f"question:{prompt}", "by": by.id, **data}
        update = NewEffect("thread.update", f"question:{prompt}:answered", facts)
        if not await self.knows(session):
            return False
        async with self._marked(session), self.house.store.use(session) as file:
            return await file.answer(prompt, repository, [event], [update])

    async def move(self, session: SessionId, prompt: PromptId, repository: str, by: Person) -> str:
        """Let a prompt run in another repository, or start one that is over anew there; words for `by`.

        Returns once it is on disk. UserError with what stands against it.
        """
        async with self._known(session) as file:
            if file is None:
                raise UserError("This thread is none of mine.")
            found = await movable(file, prompt, by)
            thread = await file.session()
        if found.again:
            key = ThreadKey(thread["team"], thread["channel"], thread["thread_ts"])
            return await self._start_again(key, found, repository, by)
        async with self._lane(session), self._marked(session), self.house.store.use(session) as file:
            state = await file.move(prompt, repository, by.id)
        if state not in ("queued", "running"):
            refuse(state)
            raise UserError("That ended just now. Click again to start it anew elsewhere.")
        self._wake(session).stop(prompt)
        return f"It moves to {repository}."

    async def _start_again(self, thread: ThreadKey, found: Movable, repository: str, by: Person) -> str:
        row = found.row
        accepted = await self.accept(
            Incoming(
                thread=thread,
                source=row["source"],
                key=f"{row['key']}:again:{repository}",
                author=by,
                text=row["text"],
                message_ts=row["message_ts"],
                at=self.house.now(),
                repository=repository,
                files=files_of(row),
            )
        )
        if accepted is None or not accepted.new:
            raise UserError(f"It was started again in {repository} already.")
        return f"It starts again in {repository}."

    # -- what edges ask --------------------------------------------------------------------------

    async def options(self, session: SessionId, prompt: PromptId, person: Person) -> list[str] | None:
        """What this person may answer to a prompt's question; None unless they asked here or took part."""
        async with self._known(session) as file:
            if file is None:
                return None
            asked = [row for row in await file.prompts() if row["state"] != "removed"]
            if all(each["author_id"] != person.id for each in [*asked, *await file.participants()]):
                return None
            posts = await file.effects(kind_prefix="thread.post")
        questions = [post for post in posts if post["key"] == f"question:{prompt}"]
        return [str(option["name"]) for each in questions for option in each["intent"]["options"]]

    async def find_by_message(self, channel: str, ts: str) -> SessionId | None:
        """The unfinished session whose thread holds this message, for events that do not name the thread."""
        for session in await self._owing():
            try:
                async with self.house.store.use(session) as file:
                    if await _holds_message(file, channel, ts):
                        return session
            except StorageError:
                log.exception("session %s cannot be read", session)
        return None

    async def work(self) -> dict[str, int]:
        """How much is undone: prompts queued, running and waiting for an answer, effects not yet outside.

        `unreadable` counts the sessions that may owe something, but whose files nobody can read.
        """
        counts = {"queued": 0, "running": 0, "waiting": 0, "effects": 0, "unreadable": 0}
        for session in await self._owing():
            try:
                async with self.house.store.use(session) as file:
                    for prompt in await file.prompts(UNFINISHED):
                        counts[prompt["state"]] += 1
                    counts["effects"] += len(await file.effects(OWED))
            except StorageError:
                counts["unreadable"] += 1
        counts["effects"] += len(await self.house.state.effects(OWED))
        return counts

    async def report(
        self, session: SessionId, error: Unusable, thread: ThreadKey | None = None, about: str = ""
    ) -> None:
        """Tell the thread of a session that its file cannot be used; see `tell_unusable`."""
        await tell_unusable(self.house, session, error, thread, about)

    async def settle(self, session: SessionId) -> None:
        """Forget that a session may owe something, if it does not. Safe to call at any time."""
        if session in self._workers or self._closing:
            return
        async with self.house.store.use(session) as file:
            await self.house.state.clear_if(session, file.idle)
            await self.house.note_in_index(file)

    async def movable(self, session: SessionId, prompt: PromptId, person: Person) -> Movable:
        """What “Wrong repository?” may do for this person. UserError with what stands against it."""
        async with self._known(session) as file:
            if file is None:
                raise UserError("This thread is none of mine.")
            return await movable(file, prompt, person)

    # -- inside ----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _lane(self, session: SessionId) -> AsyncIterator[None]:
        """One at a time through what may make a session, in the order of arrival."""
        lane = self._lanes.setdefault(session, _Lane())
        lane.users += 1
        try:
            async with lane.lock:
                yield
        finally:
            lane.users -= 1
            if not lane.users:
                del self._lanes[session]

    @asynccontextmanager
    async def _marked(self, session: SessionId) -> AsyncIterator[None]:
        """Inside, the session is marked as one that may owe something; then its worker looks whether it does.

        Also where nothing came of it, as of a prompt that was known already: a mark is nobody else's to lift.
        """
        async with self.house.state.marking(session):
            yield
        self._wake(session)

    @asynccontextmanager
    async def _known(self, session: SessionId) -> AsyncIterator[SessionFile | None]:
        """The file of a session, None when the thread is none."""
        if not await self.knows(session):
            yield None
            return
        async with self.house.store.use(session) as file:
            yield file

    async def _owing(self) -> list[SessionId]:
        """The marked sessions; one without a file was marked right before a crash, and owes nothing."""
        found = []
        for name in await self.house.state.marked():
            if self._exists(name):
                found.append(SessionId(name))
            elif not self._closing:
                await self.house.state.clear_if(name, _certainly)
        return found

    def _exists(self, name: str) -> bool:
        """What cannot be told is for whoever opens it to say; the others are found all the same."""
        try:
            return self.house.store.exists(name)
        except StorageError:
            return True

    def _wake(self, session: SessionId) -> SessionWorker:
        worker = self._workers.get(session)
        if worker is None:
            worker = SessionWorker(self.house, session, self._slots, self)
            self._workers[session] = worker
            if not self._closing:
                worker.start()
        worker.wake()
        return worker

    def retired(self, worker: SessionWorker) -> None:
        """It takes nothing up any more; the next wake makes another."""
        if self._workers.get(worker.session) is worker:
            del self._workers[worker.session]
            self._leaving.add(worker)

    def gone(self, worker: SessionWorker) -> None:
        """It has let go of its session's file as well."""
        self._leaving.discard(worker)


async def _certainly() -> bool:
    return True


async def _holds_message(file: SessionFile, channel: str, ts: str) -> bool:
    row = await file.session()
    if row["channel"] != channel:
        return False
    prompts = {prompt["message_ts"] for prompt in await file.prompts()}
    posts = {(effect["result"] or {}).get("ts") for effect in await file.effects(kind_prefix="thread.")}
    return ts == row["thread_ts"] or ts in prompts or ts in posts


def _place(accepted: Accepted) -> list[NewEffect]:
    """One that waits behind others is told so."""
    facts = {"kind": "queued", "prompt_id": accepted.prompt_id, "position": accepted.position}
    post = NewEffect("thread.post", f"queued:{accepted.prompt_id}", facts)
    return [post] if accepted.position else []
