"""One turn: from a claimed prompt to one visible end, whatever happens between.

The stages are DESIGN's, in order. A turn ends in exactly one transaction that writes its state, its last
event and its final message's outbox row; a newer boot's epoch makes that transaction write nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from bot.domain import CommitSha, EventType, PromptId, Repository, SessionId, Stage
from bot.errors import GitError, UserError
from bot.sessions.choosing import Choosing, permitted
from bot.sessions.effects import Fenced
from bot.sessions.ending import Ending, write_ending
from bot.sessions.house import House
from bot.sessions.kept import Kept, as_work
from bot.sessions.landing import PUSH, Ground, Landed, Landing, bounds_of, push_key
from bot.sessions.moving import MOVED, moves_on
from bot.sessions.patience import Patience
from bot.sessions.record import Record
from bot.sessions.rows import prompt_of
from bot.sessions.states import Way, way_of
from bot.sessions.workbench import Workbench
from bot.sessions.working import Working
from storage import NewEvent, SessionFile, StorageError, Unusable

log = logging.getLogger(__name__)

_KEEP_SECONDS = 60.0


class Turn:
    """`run` it once. `stop` may be called at any time; the fence is then already on disk."""

    def __init__(self, house: House, file: SessionFile, bench: Workbench, row: Mapping[str, Any]) -> None:
        self._house = house
        self._file = file
        self._bench = bench
        self._row = row
        self._began = time.monotonic()
        self.prompt_id = PromptId(row["id"])
        self._prompt = prompt_of(row, SessionId(file.name))
        self._record = Record(file, self.prompt_id, house.epoch)
        self._ending = Ending(self._prompt)
        self._job: asyncio.Task[bool] | None = None
        self._phase = "preparing"
        self._stopping = False
        self._stopped_late = False
        self._patience: Patience | None = None
        self._landing: Landing | None = None
        self._stopper: asyncio.Task[None] | None = None
        self._working: Working | None = None
        self._begun: Mapping[str, Any] | None = None  # a push, before a crash: no sandbox has its work now
        self._repository: Repository | None = None

    # -- the frame -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Everything, the end included. Raises only when even the end could not be written."""
        await self._file.stage(self.prompt_id, Stage.ACCEPT, self._prompt.accepted_at)
        self._job = asyncio.create_task(self._decide_and_work(), name=f"turn {self.prompt_id}")
        ended = True
        try:
            ended = await self._job
        except asyncio.CancelledError:
            if not self._stopping or _closing():
                raise
            await self._was_stopped()
        except Fenced:
            log.warning("session %s: turn %s is a newer boot's now", self._file.name, self.prompt_id)
            return
        except UserError as error:
            log.warning("turn %s of session %s did not work: %s", self.prompt_id, self._file.name, error)
            await self._failed(str(error))
        except Unusable:
            raise
        except StorageError as error:
            log.error("turn %s of session %s cannot go on: %s", self.prompt_id, self._file.name, error)
            await self._failed(
                f"I could not keep what I did: a file of mine {error.what}. Whoever runs this bot finds in "
                "its log what to do. Then ask again."
            )
        except Exception:  # nothing ends in silence
            incident = uuid.uuid4().hex[:8]
            log.exception(
                "turn %s of session %s failed (incident %s)", self.prompt_id, self._file.name, incident
            )
            await self._failed(
                f"Something broke on our side (incident {incident}; the bot's log has the details). "
                "Try again; tell whoever runs this bot if it stays so."
            )
        if self._stopper is not None:
            await self._stopper
        if ended:
            await self._end()

    def stop(self) -> None:
        """Cancel what can be cancelled. A turn that already pushes is finished: half a push helps nobody.

        But where it waits for a code host that is away, it waits no longer.
        """
        if self._stopping:
            return
        if self._phase == "pushing":
            self._stopped_late = True
            if self._patience is not None:
                self._patience.end()
            return
        self._stopping = True
        if self._phase == "working":
            self._stopper = asyncio.create_task(self._stop_agent())
        elif self._job is not None:
            self._job.cancel()

    async def _stop_agent(self) -> None:
        self._record.closed = True
        await self._bench.stop_agent()

    async def _decide_and_work(self) -> bool:
        """False when the turn does not end here, because a question is open."""
        effects = [e for e in await self._file.effects() if e["intent"].get("prompt_id") == self.prompt_id]
        effects += [
            e for e in await self._file.effects(kind_prefix=PUSH) if e["key"] == push_key(self._prompt)
        ]
        tries = int(self._row["interrupted"]) + 1
        self._begun = next((e for e in effects if e["kind"] == PUSH), None)
        way = way_of(tries, self._house.settings.limits.attempts, effects)
        if way is Way.STOP:
            self._stopping = True
            nothing = "The bot was restarted meanwhile; nothing was pushed."
            await self._was_stopped(nothing if self._begun is None else None)
            return True
        if way is Way.GIVE_UP:
            raise UserError(
                f"It was cut off {self._house.settings.limits.attempts} times and is not tried again. "
                "Ask again when the machine is well."
            )
        if way is Way.LAND and self._begun is not None:
            await self._land_again(self._begun)
            return True
        earlier = (await self._file.turns(self.prompt_id))[:-1]
        if any(Stage.LEASE in turn["stages"] and MOVED not in turn["stages"] for turn in earlier):
            self._ending.notes.append("The bot was restarted in the middle of this; the work began again.")
        return await self._work()

    # -- the stages ------------------------------------------------------------------------------

    async def _work(self) -> bool:
        await self._permit()
        await self._stage(Stage.CLASSIFY)
        chosen = await Choosing(self._house, self._file, self._prompt).choose()
        if chosen is None:
            return False
        repository, moved_from = chosen
        self._repository = repository
        if moved_from is not None:
            await self._bench.release()
            self._kept(moved_from).drop()
        landing = self._new_landing(repository)
        summary, title = await self._with_agent(landing, repository)
        if self._stopping:
            await self._was_stopped()
            return True
        self._phase = "collecting"
        assert self._ground is not None
        mirror = self._house.mirrors.of(repository.name)
        named = self._working is not None and self._working.named
        landed = await landing.land(mirror, self._bench, self._ground, summary, title, named=named)
        await self._landed(landed)
        return True

    def _new_landing(self, repository: Repository) -> Landing:
        self._patience = Patience(repository.name, self._progress)
        if self._stopped_late:  # it was said before there was anything to wait for
            self._patience.end()
        where = (self._house, self._file, self._prompt, repository)
        self._landing = Landing(*where, self._stage, self._no_return, self._patience)
        return self._landing

    def _no_return(self) -> None:
        """Nothing lies between this and the push's intent: a stop comes before both or after both."""
        if self._stopping:
            raise asyncio.CancelledError
        self._phase = "pushing"

    async def _permit(self) -> None:
        await self._stage(Stage.PERMIT)
        self._prompt = await permitted(self._house, self._file, self._prompt)
        self._ending.prompt = self._prompt

    async def _with_agent(self, landing: Landing, repository: Repository) -> tuple[str, str]:
        """The agent's last words and a title."""
        self._working = Working(
            *(self._house, self._file, self._bench, self._prompt, self._record, self._ending),
            stage=self._stage,
            progress=self._progress,
            phase=self._enter,
            stopping=lambda: self._stopping,
        )
        return await self._working.run(landing, repository, self._kept(repository.name))

    def _enter(self, phase: str) -> None:
        self._phase = phase

    @property
    def _ground(self) -> Ground | None:
        return None if self._working is None else self._working.ground

    # -- the ends --------------------------------------------------------------------------------

    async def _land_again(self, row: Mapping[str, Any]) -> None:
        """After a crash behind the push's intent: read GitHub, finish, never run the agent again."""
        self._phase = "pushing"
        intent = dict(row["intent"])
        repository = self._house.repository(intent["repository"])
        if repository is None:
            raise UserError(
                f"{intent['repository']} is not configured any more; its branch {intent['branch']} may exist."
            )
        await self._permit()
        self._repository = repository
        landing = self._new_landing(repository)
        mirror = self._house.mirrors.of(repository.name)
        self._ending.summary = intent["summary"]
        landed = await landing.deliver(mirror, intent)
        self._ending.notes.append(
            "The bot was restarted while this was being pushed; it was finished afterwards."
        )
        await self._landed(landed, intent)

    async def _landed(self, landed: Landed, intent: Mapping[str, Any] | None = None) -> None:
        ending = self._ending
        ending.summary = ending.summary or self._record.summary
        ending.commands = self._record.commands
        ending.files = [asdict(each) for each in landed.files]
        ending.notes += landed.notes
        ending.artifacts = list(landed.artifacts)
        if landed.commit:
            number = intent["number"] if intent else (self._ground.number if self._ground else 1)
            ending.fields = {**landed.session, "branch_number": number}
        if self._repository is not None:
            self._kept(self._repository.name).drop()
        if landed.pull_request is not None:
            ending.pull_request, ending.updated = landed.pull_request, landed.updated
        if self._stopped_late:
            ending.notes.append("The stop came when this was already being pushed, so it was finished.")
        if landed.problem:
            log.warning("turn %s of session %s: %s", self.prompt_id, self._file.name, landed.problem)
            ending.fail(f"The work is on branch {landed.branch}, but has no pull request. {landed.problem}")

    async def _was_stopped(self, kept: str | None = None) -> None:
        """Keep what there is, and say so."""
        await self._record.close()
        stop = [
            e
            for e in await self._file.effects(kind_prefix="turn.stop")
            if e["key"] == f"stop:{self.prompt_id}"
        ]
        by = str(stop[0]["intent"]["by"]) if stop else self._prompt.author.id
        self._ending.stop(by, await self._keep() if kept is None else kept)

    async def _failed(self, text: str) -> None:
        await self._record.close()
        kept = await self._keep(text)
        self._ending.commands = self._record.commands
        unchanged = self._phase in {"preparing", "readying"} and self._begun is None
        self._ending.fail(text if unchanged else f"{text} {kept}")

    async def _keep(self, said: str = "") -> str:
        """Save uncommitted work for the next turn if that is possible; returns words for the thread.

        What was `said` already of why it is not possible is not said again.
        """
        if self._phase == "readying":
            await self._bench.release()  # what an earlier turn had kept is kept still, outside of it
        branch: str | None = None
        if self._begun is not None:
            intent = self._begun["intent"]
            name, branch, base = intent["repository"], intent["branch"], CommitSha(intent["parent"])
            mirror = self._house.mirrors.of(name)
            if self._begun["state"] == "done" or intent["expected"] == intent["commit"]:
                return f"What was done so far is on branch {branch}. Reply to go on from there."
            work = as_work(mirror, CommitSha(intent["commit"]), base)
        elif self._phase in {"preparing", "readying"} or self._repository is None or self._bench.base is None:
            return "Nothing had been changed yet."
        else:
            name, base = self._repository.name, self._bench.base
            mirror = self._house.mirrors.of(name)
            work = self._bench.collect(mirror)
        policy, limits = bounds_of(self._house)
        policy = replace(policy, allow_workflows=True, allow_submodules=True)  # kept is not yet landed
        try:
            async with asyncio.timeout(_KEEP_SECONDS), contextlib.aclosing(work) as chunks:
                await self._kept(name).save(mirror, chunks, base, policy, limits)
            if self._landing is not None:
                branch = await self._landing.may_have(mirror)
            pushed = "nothing was pushed" if branch is None else f"{branch} may have it as well"
            return f"What was done so far is kept here; {pushed}. Reply to go on from there."
        except GitError as error:
            why = "" if str(error) in said else f" {error}"
            return f"What was done so far could not be kept.{why}"
        except (UserError, TimeoutError, OSError):
            log.warning("session %s: work could not be kept", self._file.name, exc_info=True)
            await self._bench.release()
            return "What was done so far could not be kept: its sandbox is gone, or the bot's disk is full."

    async def _end(self) -> None:
        """The one transaction, which also closes the effects that were left open."""
        await self._stage(Stage.DONE)
        # A clock that jumps while it works has no part in it.
        seconds = (
            time.monotonic() - self._began + max(0.0, self._row["started_at"] - self._prompt.accepted_at)
        )
        await self._count_cost()
        if not await moves_on(self._file, self._ending, self._house.epoch):
            await write_ending(self._file, self._ending, self._house.epoch, seconds)
        await self._house.note_in_index(self._file)

    async def _count_cost(self) -> None:
        """Our own calls included. What cannot be read is left out: the end does not wait for it."""
        try:
            total = await self._house.gateway.meter.turn_total(SessionId(self._file.name), self.prompt_id)
        except StorageError:
            log.exception("session %s: what turn %s cost is not known", self._file.name, self.prompt_id)
            return
        self._ending.usd, self._ending.calls, *_ = total

    # -- small things ----------------------------------------------------------------------------

    def _kept(self, repository: str) -> Kept:
        return Kept(self._house.folder.path / "kept", SessionId(self._file.name), repository)

    async def _stage(self, stage: Stage) -> None:
        await self._file.stage(self.prompt_id, stage, self._house.now())

    async def _progress(self, text: str, done: bool = False) -> None:
        await self._file.append(
            [NewEvent(EventType.TURN_PROGRESS, {"text": text, "done": done}, self.prompt_id)],
            self._house.epoch,
        )


def _closing() -> bool:
    """Was it this task that was cancelled, by the end of the bot, and not only the turn's own by a stop?"""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
