"""The agent's part of a turn: a sandbox made ready, its way out, one prompt, its last words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bot.acp.turn import StopReason
from bot.acp.updates import Draft
from bot.domain import AgentRecipe, Prompt, Repository, Spender, Stage
from bot.errors import AgentError, UserError
from bot.sessions.attachments import blocks_of
from bot.sessions.brief import brief, context_of
from bot.sessions.ending import Ending
from bot.sessions.house import House
from bot.sessions.kept import Kept
from bot.sessions.landing import Ground, Landing
from bot.sessions.questions import Questions
from bot.sessions.record import Record
from bot.sessions.states import title_of
from bot.sessions.tools import SessionTools
from bot.sessions.watching import Watching, standing
from bot.sessions.workbench import Workbench
from storage import SessionFile

_READY_SECONDS = 1200.0


class Working:
    """Once a turn. `phase` is told how far it is; `stopping` says whether people ended it."""

    def __init__(
        self,
        house: House,
        file: SessionFile,
        bench: Workbench,
        prompt: Prompt,
        record: Record,
        ending: Ending,
        *,
        stage: Callable[[Stage], Awaitable[None]],
        progress: Callable[[str, bool], Awaitable[None]],
        phase: Callable[[str], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._house, self._file, self._bench, self._prompt = house, file, bench, prompt
        self._record, self._ending = record, ending
        self._stage, self._phase, self._stopping = stage, phase, stopping
        self._halting: asyncio.Task[None] | None = None
        self._questions = Questions(house, file, prompt, record.flush)
        self._tools = SessionTools(house, file, prompt, self._questions)
        self._watching = Watching(
            *(file, prompt.id, house.epoch),
            progress=progress,
            out_of_money=self._out_of_money,
            tools=self._tools.handle,
        )
        self.ground: Ground | None = None

    async def run(self, landing: Landing, repository: Repository, kept: Kept) -> tuple[str, str]:
        """The agent's last words and a title. Raises UserError when the money is spent, with all kept."""
        recipe = self._recipe(repository)
        spender = Spender(self._prompt.session, self._prompt.id, self._prompt.author.id, repository.name)
        door = self._house.gateway.door(spender, repository, self._watching)
        try:
            await self._ready(landing, repository, recipe, kept)
            await self._bench.way_out(door)
            reason = await self._prompted(repository, recipe)
        except AgentError:
            self._spent()
            raise
        finally:
            await self._bench.way_out(None)
            await door.close()
            await self._tools.close()
            await self._halted()
            self._ending.notes += self._watching.notes()
        self._spent()
        if reason not in {StopReason.END_TURN, StopReason.CANCELLED}:
            self._ending.notes.append(f"The agent ended early ({reason.value.replace('_', ' ')}).")
        if reason is StopReason.CANCELLED and not self._stopping():
            raise AgentError("The agent gave up by itself. Ask again.")
        title, summary = self._tools.pull_request or ("", "")
        summary = summary or self._record.summary
        return summary, title or title_of(summary) or title_of(self._prompt.text) or "Changes"

    @property
    def named(self) -> bool:
        """The agent said what its pull request is to be called."""
        return self._tools.pull_request is not None

    # -- the sandbox -----------------------------------------------------------------------------

    async def _ready(self, landing: Landing, repository: Repository, recipe: AgentRecipe, kept: Kept) -> None:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self._make_ready(landing, repository, recipe, kept)
        except TimeoutError:
            raise UserError(
                f"The sandbox was not ready after {_READY_SECONDS // 60:.0f} minutes. Ask again."
            ) from None

    async def _make_ready(
        self, landing: Landing, repository: Repository, recipe: AgentRecipe, kept: Kept
    ) -> None:
        """The credential first, since nobody should wait for work that cannot be handed in."""
        mirror = self._house.mirrors.of(repository.name)
        session = await self._file.session()
        await landing.check_identity()
        fetching = asyncio.create_task(landing.ground(mirror, session))
        try:
            await self._stage(Stage.LEASE)
            await self._bench.open(repository, recipe, self._progress)
            self.ground = await fetching
        except BaseException:
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)
            raise
        await self._stage(Stage.SYNC)
        self._phase("readying")  # from here on the sandbox may be left half way
        await self._progress(f"Bringing in {repository.name}")
        last = await landing.last_commit(self.ground, session, kept)
        self._ending.notes += await self._bench.bring(mirror, self.ground.target, last, kept)
        await self._file.update_session(base_commit=self.ground.target, base_branch=self.ground.base_branch)

    # -- the agent -------------------------------------------------------------------------------

    async def _prompted(self, repository: Repository, recipe: AgentRecipe) -> StopReason:
        await self._stage(Stage.AGENT_START)
        session = await self._file.session()
        self._ending.agent = recipe.name
        await self._progress("Starting the agent")
        self._bench.on_quiet = self._watching.quiet
        self._questions.attend(self._bench)
        agent = await self._bench.agent(recipe, None)
        await self._file.update_session(agent=recipe.name, agent_session_id=agent.session_id)
        await self._watching.shows(f"Ready in {repository.name}", True)
        context = await context_of(self._house, self._file, session, self._prompt, repository)
        texts = brief(self._prompt, context, repository)
        blocks = await blocks_of(self._house.directory, self._bench, self._prompt, texts, self._ending.notes)
        self._phase("working")
        try:
            return await self._bench.prompt(blocks, self._take)
        finally:
            self._bench.on_quiet = None
            await self._record.close()
            await self._note_output()

    async def _take(self, draft: Draft) -> None:
        await self._watching.speaks()
        await self._record.take(draft)

    async def _note_output(self) -> None:
        for stage, at in (
            (Stage.FIRST_OUTPUT, self._record.first_output),
            (Stage.LAST_OUTPUT, self._record.last_output),
        ):
            if at is not None:
                await self._file.stage(self._prompt.id, stage, at)

    def _recipe(self, repository: Repository) -> AgentRecipe:
        name = repository.agent or self._house.default_agent
        recipe = self._house.agents.get(name)
        if recipe is None:
            known = ", ".join(sorted(self._house.agents)) or "none"
            raise UserError(
                f"There is no agent named {name}; known: {known}. Check `agent` in the configuration."
            )
        return recipe

    async def _progress(self, text: str) -> None:
        await self._watching.shows(text, False)

    # -- the end of the money --------------------------------------------------------------------

    def _out_of_money(self) -> None:
        """The agent is stopped by somebody else than the door, which waits for us."""
        if self._halting is None:
            self._halting = asyncio.create_task(self._bench.stop_agent(), name="out of money")

    async def _halted(self) -> None:
        if self._halting is not None:
            await asyncio.gather(self._halting, return_exceptions=True)

    def _spent(self) -> None:
        """Whatever the agent makes of it: its work is not finished, and people are to know why."""
        budget = self._watching.exceeded_by
        if budget is not None and not self._stopping():
            raise UserError(
                f"The budget is used up: {standing(budget)} The next call to the model might have cost "
                "more than is left, so the agent was stopped. Whoever runs this bot can raise [budgets]."
            ) from None
