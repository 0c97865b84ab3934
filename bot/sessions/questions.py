"""Questions of a running turn: put to its thread, waited for, and closed by whatever comes first.

What closes one is on the disk before anybody hears of it, and whoever waits reads it from there: an answer
is never lost between the person who gave it and the agent. Who may answer is the edge's to check.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bot.acp.questions import Answer, Option, Question
from bot.acp.requests import PermissionAsk
from bot.acp.text import clean
from bot.domain import Action, EventType, Person, Prompt, SessionId, Subject
from bot.errors import UserError
from bot.sessions.house import House
from bot.sessions.workbench import Workbench
from storage import NewEvent, SessionFile, StorageError, question_key

log = logging.getLogger(__name__)

ANSWER_SECONDS = 890.0  # below what an agent's request waits for (`AgentLimits.answer_seconds`)
TEXT_CHARS = 2_000
MOST_OPTIONS = 100
_LABEL_CHARS = 300
MOST_ASKED = 100  # of one turn
_MOST_OPEN = 3  # at once; further ones wait for their turn
_MOST_PATHS = 20
ALWAYS = "Allow always"
_KINDS = {
    "read": "reading",
    "edit": "edit",
    "delete": "deletion",
    "move": "moving of files",
    "search": "search",
    "fetch": "fetching from the network",
}
_KIND = "question"  # what an event calls the kind of a question


class Questions:
    """One turn's. `waiting` counts those that somebody waits for, in which an agent's silence is no fault."""

    def __init__(
        self,
        house: House,
        file: SessionFile,
        prompt: Prompt,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`before` is awaited before each question."""
        self._file = file
        self._prompt = prompt
        self._epoch = house.epoch
        self._before = before
        self._asked = 0
        self._places = asyncio.Semaphore(_MOST_OPEN)
        self._allowed: set[tuple[str, str]] = set()  # what somebody allowed for all of this turn
        self.waiting = 0

    def attend(self, bench: Workbench) -> None:
        """What the agent there asks comes here from now on."""
        bench.ask, bench.questions, bench.waiting = self.permit, self.ask, lambda: self.waiting > 0

    async def ask(
        self,
        question: Question,
        *,
        kind: str = "ask",
        tool: Mapping[str, Any] | None = None,
        seconds: float | None = None,
    ) -> Answer | None:
        """Put it to the thread and wait. None: nobody answered, or nobody can any more.

        One without options asks for words of one's own. `tool` is what a permission is asked for.
        """
        if self._asked >= MOST_ASKED:
            log.warning("session %s: turn %s asks too much", self._file.name, self._prompt.id)
            return None
        self._asked += 1
        key = question_key(self._prompt.id, self._prompt.attempt, self._asked)
        self.waiting += 1
        try:
            async with asyncio.timeout(ANSWER_SECONDS if seconds is None else seconds), self._places:
                return await self._put(key, question, kind, tool)
        except TimeoutError:
            return await self._give_up(key, kind, "unanswered", question)
        except asyncio.CancelledError:  # whoever asked does not wait any more
            await asyncio.shield(self._give_up(key, kind, "withdrawn", question))
            raise
        finally:
            self.waiting -= 1

    async def permit(self, ask: PermissionAsk) -> str | None:
        """Put a permission to the thread; the id of the option that was chosen, None: nobody decided.

        "Always" ends with this turn: the agent is told "once" each time, and we remember what it covers.
        """
        once, always = _id_of(ask, "allow_once"), _id_of(ask, "allow_always")
        yes, no = once or always, _id_of(ask, "reject_once") or _id_of(ask, "reject_always")
        covered = _coverage(ask)
        if covered in self._allowed:
            return yes
        answers = {"once": "Allow once", **({"always": ALWAYS} if always else {}), "no": "Reject"}
        answers = {value: label for value, label in answers.items() if yes or value == "no"}
        question = Question(ask.title, tuple(Option(value, label) for value, label in answers.items()))
        answer = await self.ask(question, kind="permission", tool=_tool(ask))
        if answer is None or answer.value == "no":
            return no
        if answer.value == "always":
            self._allowed.add(covered)
        return yes

    async def _put(
        self, key: str, question: Question, kind: str, tool: Mapping[str, Any] | None
    ) -> Answer | None:
        labels = [option.label[:_LABEL_CHARS] for option in question.options[:MOST_OPTIONS]]
        text = question.text[:TEXT_CHARS]
        facts: dict[str, Any] = {"kind": "ask", "key": key, "asks": kind, "text": text, "options": labels}
        facts |= {"free_text": kind == "ask" and (question.free_text or not labels), "tool": dict(tool or {})}
        data = {_KIND: kind, "key": key, "text": text, "options": labels}
        event = NewEvent(EventType.QUESTION_ASKED, data, self._prompt.id)
        if self._before is not None:
            await self._before()
        with self._news() as news:
            if not await self._file.ask(key, self._epoch, event, facts):
                return None
            while (closed := (await self._file.question(key))[1]) is None:
                await news.wait()
                news.clear()
        return _answer(closed, question)

    async def _give_up(self, key: str, kind: str, outcome: str, question: Question) -> Answer | None:
        """Close it without an answer, unless somebody was faster."""
        event = NewEvent(
            EventType.QUESTION_ANSWERED, {_KIND: kind, "key": key, "outcome": outcome}, self._prompt.id
        )
        try:
            await self._file.close_question(key, self._epoch, event, {"outcome": outcome})
            closed = (await self._file.question(key))[1]
        except StorageError:  # the end of the turn closes it as well
            log.exception("session %s: a question could not be closed", self._file.name)
            return None
        return None if closed is None else _answer(closed, question)

    @contextmanager
    def _news(self) -> Iterator[asyncio.Event]:
        """Set at each commit of the session's file."""
        news = asyncio.Event()

        def committed(name: str, seq: int) -> None:
            news.set()

        self._file.listeners.append(committed)
        try:
            yield news
        finally:
            self._file.listeners.remove(committed)


def _answer(closed: Mapping[str, Any], question: Question) -> Answer | None:
    if closed["outcome"] != "answered":
        return None
    option = closed["option"]
    return Answer(str(closed["answer"]) if option is None else question.options[option].value)


# -- permissions ---------------------------------------------------------------------------------


def _id_of(ask: PermissionAsk, kind: str) -> str | None:
    return next((option.id for option in ask.options if option.kind == kind), None)


def _coverage(ask: PermissionAsk) -> tuple[str, str]:
    """What "always" is about: this very command; or all that is of one kind, where that says something."""
    if ask.command:
        return ask.kind, ask.command
    return ask.kind, "" if ask.kind in _KINDS else ask.title


def _tool(ask: PermissionAsk) -> dict[str, Any]:
    covered = "this command" if ask.command else f"every further {_KINDS.get(ask.kind, 'use of this tool')}"
    return {
        "command": ask.command,
        "paths": list(ask.paths[:_MOST_PATHS]),
        "diff": ask.diff,
        "covers": f"“{ALWAYS}” is for {covered}, until this request ends."
        if _id_of(ask, "allow_always")
        else "",
        "styles": {"Allow once": "primary", "Reject": "danger"},
    }


# -- the way back --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reply:
    """What somebody chose, by its place, or said in words of their own."""

    key: str
    option: int | None
    words: str = ""


async def take_reply(house: House, session: SessionId, reply: Reply, by: Person) -> None:
    """Let it be the answer; it is on the disk when this returns. Raises UserError when it cannot be."""
    if not house.store.exists(session):
        raise UserError("That question is not one of mine.")
    async with house.store.use(session) as file:
        asked, closed = await file.question(reply.key)
        if asked is None:
            raise UserError("That question is not one of mine.")
        await _may_answer(house, file, session, asked, by)
        if closed is not None:
            raise UserError(_too_late(closed))
        answer = _words_of(asked, reply)
        kind = asked["asks"]
        data = {_KIND: kind, "key": reply.key, "outcome": "answered", "answer": answer}
        event = NewEvent(EventType.QUESTION_ANSWERED, data, asked["prompt_id"], by.id)
        facts = {"outcome": "answered", "option": reply.option, "answer": answer, "by": by.id}
        if not await file.close_question(reply.key, house.epoch, event, facts):
            raise UserError(_too_late((await file.question(reply.key))[1] or {}))


async def _may_answer(
    house: House, file: SessionFile, session: SessionId, asked: Mapping[str, Any], by: Person
) -> None:
    """Those who take part may; what is asked for here is no pull request, which nobody approves who did."""
    taking_part = {row["author_id"] for row in await file.participants()}
    if by.id not in taking_part:
        raise UserError("Only people who take part in this thread can answer.")
    action = Action.APPROVE if asked["asks"] == "permission" else Action.STEER
    repository = (await file.session())["repository"]
    await house.permissions.require(by, action, Subject(session=session, repository=repository))


def _words_of(asked: Mapping[str, Any], reply: Reply) -> str:
    if reply.option is None:
        words = clean(reply.words, TEXT_CHARS).strip()
        if not asked["free_text"] or not words:
            raise UserError("That is none of the answers to this question.")
        return words
    if not 0 <= reply.option < len(asked["options"]):
        raise UserError("That is none of the answers to this question.")
    return str(asked["options"][reply.option])


def _too_late(closed: Mapping[str, Any]) -> str:
    if closed.get("outcome") == "answered":
        return f"This question was answered already, by <@{closed['by']}>."
    return "This question is closed: nobody waits for its answer any more."
