"""What a turn hears of its way out of the sandbox: events for the log, words for its thread.

Nothing here waits for the door or the agent, which wait for it; every write is fenced by the boot's epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from bot.domain import EventType, PromptId
from bot.gateway import Budget, Denial, Usage
from storage import NewEvent, SessionFile, StorageError

log = logging.getLogger(__name__)

Tools = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]
_NAMED = 3
_SCOPES = {
    "turn": "one turn",
    "session": "this thread",
    "person_day": "one person's day",
    "repository_day": "this repository's day",
    "day": "a day in all",
}


class Watching:
    """See `bot.gateway.Watcher`. `out_of_money` is called when a call was refused for want of budget."""

    def __init__(
        self,
        file: SessionFile,
        prompt: PromptId,
        epoch: int,
        *,
        progress: Callable[[str, bool], Awaitable[None]],
        out_of_money: Callable[[], None],
        tools: Tools,
    ) -> None:
        self._file, self._prompt, self._epoch = file, prompt, epoch
        self._progress, self._out_of_money, self._tools = progress, out_of_money, tools
        self._denials: list[Denial] = []
        self._shown = ""  # of the turn's making ready
        self._waiting = False  # the thread shows instead that the model is waited for
        self.exceeded_by: Budget | None = None

    # -- what the gateway tells ------------------------------------------------------------------

    async def denied(self, denial: Denial) -> None:
        self._denials.append(denial)
        await self._note(EventType.EGRESS_DENIED, asdict(denial))

    async def used(self, usage: Usage) -> None:
        await self._note(EventType.USAGE_RECORDED, asdict(usage))

    async def warned(self, budget: Budget) -> None:
        """A line of its own in the thread, since the turn goes on."""
        await self._note(EventType.BUDGET_WARNED, asdict(budget))
        facts = {"kind": "notice", "text": f":moneybag: {standing(budget)}", "prompt_id": self._prompt}
        key = f"budget:{self._prompt}:{budget.scope}"
        try:
            await self._file.plan_of_turn(self._prompt, self._epoch, "thread.post", key, facts)
        except StorageError:
            log.exception("session %s: a warning about its budget could not be kept", self._file.name)

    async def exceeded(self, budget: Budget) -> None:
        if self.exceeded_by is None:
            self.exceeded_by = budget
            await self._note(EventType.BUDGET_EXCEEDED, asdict(budget))
            self._out_of_money()

    async def model_trouble(self, what: str) -> None:
        await self._waits(f"Waiting for the model: {what}")

    async def tool(self, message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return await self._tools(message)

    # -- what the agent's own silence and words mean ---------------------------------------------

    async def quiet(self, seconds: float) -> None:
        """The agent has said nothing for a while: some repeat a failed call for a minute and do not tell."""
        await self._waits(f"Waiting for the model; nothing new for {seconds:.0f} s")

    async def shows(self, text: str, done: bool) -> None:
        """What the thread shows of the turn's making ready, to come back to after a wait."""
        self._shown = text
        await self._show(text, done)

    async def speaks(self) -> None:
        """The agent goes on, so nothing is waited for any more."""
        if self._waiting:
            self._waiting = False
            await self._show(self._shown, True)

    # -- for the last message --------------------------------------------------------------------

    def notes(self) -> list[str]:
        """One line on what was refused, with what an admin would add."""
        if not self._denials:
            return []
        named = [_refused(each) for each in self._denials[:_NAMED]]
        more = len(self._denials) - len(named)
        return ["Not let out of the sandbox: " + "; ".join(named) + (f"; and {more} more." if more else ".")]

    # -- inside ----------------------------------------------------------------------------------

    async def _waits(self, text: str) -> None:
        self._waiting = True
        await self._show(text, False)

    async def _show(self, text: str, done: bool) -> None:
        try:
            await self._progress(text, done)
        except StorageError:
            log.exception("session %s: its progress could not be kept", self._file.name)

    async def _note(self, kind: EventType, data: dict[str, Any]) -> None:
        try:
            await self._file.append([NewEvent(kind, data, self._prompt)], self._epoch)
        except StorageError:
            log.exception("session %s: %s could not be kept", self._file.name, kind)


def standing(budget: Budget) -> str:
    """A budget in words: "$4.10 of the $5.00 for one turn are spent."."""
    what = _SCOPES.get(budget.scope, budget.scope)
    return f"${budget.spent_usd:.2f} of the ${budget.limit_usd:.2f} for {what} are spent."


def _refused(denial: Denial) -> str:
    fix = f" (to allow it, an admin adds {denial.fix})" if denial.fix else ""
    return f"{denial.where}, {denial.reason.rstrip('.')}{fix}"
