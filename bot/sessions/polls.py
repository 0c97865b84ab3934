"""Questions asked by way of a tool: many clients give a call a minute, and people take longer.

So a call that may not take long comes back without an answer, and the question stays open for the next one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bot.acp.questions import Answer, Option, Question
from bot.sessions.questions import Questions

POLL_SECONDS = 45.0  # below the 60 s after which most clients give a call up
GRACE_SECONDS = 120.0  # in which somebody has to ask for the answer again
NOBODY = "Nobody answered. Decide yourself, and say in your last message what you assumed."
NOT_YET = "Nobody has answered yet. Call this again with the same question and options to go on waiting."

Asked = tuple[str, tuple[str, ...]]


@dataclass(slots=True)
class _Open:
    answer: asyncio.Task[Answer | None]
    callers: int = 0
    leaving: asyncio.TimerHandle | None = None


class Polls:
    """One turn's."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._open: dict[Asked, _Open] = {}

    async def ask(self, text: str, options: tuple[str, ...], patient: bool) -> str:
        """What people say; `patient`: the caller hears that we are still here, and waits as long as it takes.

        The same question again is the same question as long as it was not answered.
        """
        asked = (text, options)
        found = self._open.get(asked)
        if found is None:
            question = Question(text, tuple(Option(option, option) for option in options))
            found = self._open[asked] = _Open(asyncio.create_task(self._questions.ask(question)))
        self._stay(found)
        try:
            await asyncio.wait({found.answer}, timeout=None if patient else POLL_SECONDS)
        finally:
            self._leave(found)
        if not found.answer.done():
            return NOT_YET
        self._open.pop(asked, None)
        answer = None if found.answer.cancelled() else found.answer.result()
        return NOBODY if answer is None else answer.value

    async def close(self) -> None:
        """Withdraw what is open."""
        tasks = [each.answer for each in self._open.values()]
        for each in self._open.values():
            self._stay(each)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._open.clear()

    def _stay(self, found: _Open) -> None:
        found.callers += 1
        if found.leaving is not None:
            found.leaving.cancel()
            found.leaving = None

    def _leave(self, found: _Open) -> None:
        found.callers -= 1
        if not found.callers and not found.answer.done():
            loop = asyncio.get_running_loop()
            found.leaving = loop.call_later(GRACE_SECONDS, found.answer.cancel)
