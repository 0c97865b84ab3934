"""One session at work: claims its prompts in order, runs one turn at a time, keeps the lease warm between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from bot.domain import PromptId, SessionId, ThreadKey
from bot.sessions.ending import withdrawn
from bot.sessions.house import House
from bot.sessions.slots import Slots
from bot.sessions.turn import Turn
from bot.sessions.workbench import Workbench
from storage import SessionFile, StorageError, Unusable

log = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 60.0  # a full disk may stay so for a night


class Keeper(Protocol):
    """Whom a worker tells, and asks, about its session."""

    def retired(self, worker: SessionWorker) -> None: ...
    def gone(self, worker: SessionWorker) -> None: ...
    async def settle(self, session: SessionId) -> None: ...
    async def report(
        self, session: SessionId, error: Unusable, thread: ThreadKey | None = None, about: str = ""
    ) -> None: ...


class SessionWorker:
    """Exists while its session has something to do or a warm lease; then `keeper` is told, at once."""

    def __init__(
        self,
        house: House,
        session: SessionId,
        slots: Slots,
        keeper: Keeper,
    ) -> None:
        self.session = session
        self._house = house
        self._slots = slots
        self._keeper = keeper
        self._woken = asyncio.Event()
        self._bench = Workbench(house, session)
        self._turn: Turn | None = None
        self._closing = False
        self._pause = _RETRY_SECONDS
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"session {self.session}")

    def wake(self) -> None:
        """Look again: something was accepted, answered or stopped."""
        self._woken.set()

    def stop(self, prompt: PromptId) -> None:
        """Stop the turn of this prompt if it runs here; its fence is already on disk."""
        if self._turn is not None and self._turn.prompt_id == prompt:
            self._turn.stop()

    async def close(self) -> None:
        """End at once; what was running goes back to the queue, for the next boot."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._bench.release()

    async def _run(self) -> None:
        try:
            try:
                async with self._house.store.use(self.session) as file:
                    while await self._round(file):
                        pass
            finally:
                self._keeper.retired(self)
            await self._keeper.settle(self.session)
        except Unusable as error:
            await self._report(error)
        except Exception:  # its file cannot even be opened; the next message makes another try
            log.exception("session %s: its worker ended", self.session)
        finally:
            await self._bench.release()  # whatever ended it, nobody else would give its sandbox back
            self._keeper.gone(self)

    async def _report(self, error: Unusable) -> None:
        """Each that still waits for an answer has this one, and later ones have theirs."""
        try:
            for about in await self._unanswered():
                await self._keeper.report(self.session, error, about=about)
        except StorageError:
            log.exception("session %s: its thread cannot be told that its file cannot be used", self.session)

    async def _unanswered(self) -> list[str]:
        """The messages that wait here, as far as a file that is damaged elsewhere still tells."""
        try:
            async with self._house.store.use(self.session) as file:
                rows = await file.prompts(("queued", "running"))
        except StorageError:
            return [""]
        return [row["message_ts"] or "" for row in rows] or [""]

    async def _round(self, file: SessionFile) -> bool:
        """One look at what there is to do. False when the worker may end, and then it has retired."""
        self._woken.clear()
        try:
            went_on = await self._step(file) or await self._sleep()
            self._pause = _RETRY_SECONDS
            if went_on:
                return True
        except Unusable:
            raise
        except Exception:  # whatever broke, the session must stay able to go on
            log.exception("session %s: a step failed; trying again", self.session)
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_RETRY_SECONDS)
            return True
        self._keeper.retired(self)  # at once, so that the next wake makes a new worker
        return False

    async def _step(self, file: SessionFile) -> bool:
        """Run the next prompt, if there is one that may run."""
        await self._take_back(file)
        await self._stop_waiting(file)
        queued = await file.prompts(("queued",), limit=1)
        if not queued or self._closing:
            return False
        async with self._slots.take(queued[0]["author_id"]):
            row = await file.claim(self._house.epoch)
            if row is None:
                return False
            await self._house.note_in_index(file)
            await self._run_turn(file, row)
        return True

    async def _run_turn(self, file: SessionFile, row: Mapping[str, Any]) -> None:
        """A turn ends itself. One that could not even do that goes back to the queue: nothing is stuck."""
        self._turn = Turn(self._house, file, self._bench, row)
        try:
            await self._turn.run()
        except asyncio.CancelledError:
            await file.hand_back(row["id"], self._house.epoch, counted=False)
            raise
        except Exception:
            await file.hand_back(row["id"], self._house.epoch, counted=True)
            raise
        finally:
            self._turn = None

    async def _take_back(self, file: SessionFile) -> None:
        """A turn whose end the disk did not take, nor that it goes back to the queue: nobody runs it now."""
        for row in await file.prompts(("running",)):
            if await file.hand_back(row["id"], self._house.epoch, counted=True):
                log.warning("session %s: prompt %s was cut off and runs again", self.session, row["id"])

    async def _stop_waiting(self, file: SessionFile) -> None:
        """A question that somebody stopped: it goes back to the queue, where its stop is carried out."""
        for row in await file.prompts(("waiting",)):
            stops = [
                e for e in await file.effects(kind_prefix="turn.stop") if e["key"] == f"stop:{row['id']}"
            ]
            if stops:
                await file.answer(row["id"], row["repository"] or "", effects=[withdrawn(row["id"])])

    async def _sleep(self) -> bool:
        """Wait for news. False when there is none and nothing is kept warm: the worker may end."""
        if not self._bench.leased:
            return self._woken.is_set()
        try:
            await asyncio.wait_for(self._woken.wait(), self._house.settings.limits.lease_idle_seconds)
        except TimeoutError:
            await self._bench.release()
            return self._woken.is_set()
        return True
