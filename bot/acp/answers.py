"""What the agent is answered when it asks: by a policy, by people, or that this cannot be had."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from acp.exceptions import RequestError

from bot.acp.elicitation import CANCELLED, fill_in
from bot.acp.questions import Questions
from bot.acp.requests import FORM, PERMISSION, Policy, deny, outcome, permission_ask, refuse
from bot.acp.shape import mapping
from bot.acp.text import clean_line
from bot.acp.turn import Turn
from bot.acp.updates import ID_LIMIT

T = TypeVar("T")
log = logging.getLogger(__name__)

OPEN_QUESTIONS = 3  # at a time; those beyond wait, so that no thread is flooded with them


class Answers:
    """One agent's. `questions` puts forms to people; without it there are none."""

    def __init__(self, name: str, policy: Policy, questions: Questions | None, most_seconds: float) -> None:
        self._name = name
        self._policy = policy
        self._questions = questions
        self._most_seconds = most_seconds
        self._asking = asyncio.Semaphore(OPEN_QUESTIONS)

    @property
    def forms(self) -> bool:
        return self._questions is not None

    async def answer(self, turn: Turn | None, session_id: str, method: str, params: Any, root: str) -> Any:
        """The response to a request; raises RequestError where it is refused."""
        questions = self._questions
        if method != PERMISSION and (method != FORM or questions is None):
            return refuse(method)
        if turn is None or mapping(params).get("sessionId") != session_id:
            raise RequestError.invalid_params({"details": "sessionId: no turn runs in this session"})
        turn.questions += 1
        try:
            if method == PERMISSION or questions is None:
                return await self._permission(turn, params, root)
            return await self._form(turn, mapping(params), questions)
        finally:
            turn.questions -= 1
            turn.touch()

    async def _permission(self, turn: Turn, params: Any, root: str) -> dict[str, Any]:
        tool_id = clean_line(mapping(mapping(params).get("toolCall")).get("toolCallId"), ID_LIMIT)
        ask = permission_ask(params, root, turn.tools.get(tool_id))
        return outcome(await self._wait(turn, lambda: self._policy(ask), await deny(ask)))

    async def _form(self, turn: Turn, params: Mapping[str, Any], questions: Questions) -> dict[str, Any]:
        filled = await self._wait(turn, lambda: fill_in(params, questions), CANCELLED)
        return CANCELLED if filled is None else filled

    async def _wait(self, turn: Turn, decide: Callable[[], Awaitable[T]], late: T) -> T | None:
        """What was decided, `late` when that took too long, None once the turn is being cancelled."""
        answer = asyncio.create_task(self._in_line(decide))
        cancelled = asyncio.create_task(turn.cancelling.wait())
        try:
            await asyncio.wait(
                {answer, cancelled}, timeout=self._most_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if answer.done():
                return answer.result()
            return None if cancelled.done() else late
        except Exception:  # its text stays here: the SDK would send it to the agent
            log.exception("what decides for the agent %s failed; it was told no", self._name)
            return None
        finally:
            answer.cancel()
            cancelled.cancel()

    async def _in_line(self, decide: Callable[[], Awaitable[T]]) -> T:
        async with self._asking:
            return await decide()
