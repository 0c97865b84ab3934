"""From what Slack delivered to what a session hears. On return it is durable; the rest may come later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain import Action, Person, PromptState, SessionId, Subject, ThreadKey
from bot.errors import Denied, UserError
from bot.permissions import Permissions
from bot.sessions import Incoming, Reply, Sessions, take_reply
from bot.slack.clicks import prompt_of_click, whisper
from bot.slack.intake import (
    Answered,
    Deleted,
    Edited,
    Intake,
    MovePicked,
    Picked,
    Said,
    StopPressed,
    WrongPressed,
    bot_user,
    read,
)
from bot.slack.moves import Moves
from bot.slack.progress import Progress
from bot.slack.workspace import SlackWorkspace
from storage import Stop, Unusable

log = logging.getLogger(__name__)

Afterwards = Coroutine[Any, Any, None]
_Click = Picked | Answered | WrongPressed | MovePicked
_SOURCE = "slack"
_ACK_SECONDS = 2.0
_AGREE_SECONDS = 60.0  # two clocks that differ by no more
_DAMAGED = (
    "The record I keep of this thread cannot be read. Whoever runs this bot finds in its log what to do."
)


class Listener:
    """`hear` is all that stands between a delivery and its acknowledgement."""

    def __init__(
        self,
        client: AsyncWebClient,
        sessions: Sessions,
        permissions: Permissions,
        workspace: SlackWorkspace,
        progress: Progress,
    ) -> None:
        self._client = client
        self._sessions = sessions
        self._permissions = permissions
        self._workspace = workspace
        self._progress = progress
        self._moves = Moves(client, sessions, permissions, workspace)

    async def hear(self, body: Mapping[str, Any], now: float, late: float | None = None) -> Afterwards | None:
        """Commit what a delivery says. Returns what to do after the acknowledgement; None: nothing for us.

        `late` is for what was read back after a gap: a stop then only concerns what ran when it was said. It
        is by how many seconds our clock, which noted what ran, is ahead of Slack's.
        """
        me = bot_user(body) or await self._workspace.me()
        heard = read(body, me, self._sessions.house.settings.permissions.bots)
        if heard is None:
            return None
        try:
            return await self._take(heard, me, now, late)
        except Unusable as error:
            return await self._cannot(heard, error, late)

    async def _cannot(self, heard: Intake, error: Unusable, late: float | None) -> Afterwards:
        """The file of this session is damaged. Asking again will not help, so this is the answer to Slack.

        A request is answered in its thread, on the disk before Slack hears of it; all else to one person.
        What is read back may have been accepted once: of all that together the thread is told once.
        """
        if isinstance(heard, Said) and not heard.stop:
            about = heard.ts if heard.addressed and late is None else ""
            await self._sessions.report(heard.thread.session_id, error, heard.thread, about)
            return _nothing()
        log.error("something was said in a thread whose session cannot go on: %s", error)
        if isinstance(heard, Said | Edited):
            return self._whisper(heard.thread.channel, heard.user, heard.thread.thread_ts, _DAMAGED)
        return _nothing()

    async def _take(self, heard: Intake, me: str, now: float, late: float | None) -> Afterwards | None:
        match heard:
            case Said(stop=True):
                return await self._before_ack(self._stop(heard, late))
            case Said():
                return await self._said(heard, now)
            case Edited():
                state = await self._sessions.edit(
                    heard.thread, _SOURCE, f"{heard.channel}:{heard.ts}", heard.text, heard.files
                )
                return self._after_edit(heard, state)
            case Deleted():
                await self._sessions.remove(heard.thread, _SOURCE, f"{heard.channel}:{heard.ts}")
                return _nothing()
            case StopPressed():
                return None if heard.user == me else await self._before_ack(self._pressed(heard))
            case Picked():
                return await self._before_ack(self._picked(heard))
            case WrongPressed():
                return self._or_say_why(heard, self._moves.offer(heard))
            case MovePicked():
                return await self._before_ack(self._or_say_why(heard, self._moves.move(heard)))
            case Answered():
                return await self._before_ack(self._answered(heard))

    async def _before_ack(self, work: Afterwards) -> Afterwards:
        """Carry it out now, so that it is on disk before Slack hears an answer; but Slack waits for 3 s only.

        Who may do this has to be looked up first. Where that takes too long it is finished after the answer.
        """
        task = asyncio.create_task(work)
        await asyncio.wait({task}, timeout=_ACK_SECONDS)
        if task.done():
            task.result()
        return _rest(task)

    # -- prompts ---------------------------------------------------------------------------------

    async def _said(self, said: Said, now: float) -> Afterwards | None:
        accepted = await self._sessions.accept(
            Incoming(
                thread=said.thread,
                source=_SOURCE,
                key=f"{said.thread.channel}:{said.ts}",
                author=Person(said.user, said.user_team, said.user),
                text=said.text,
                message_ts=said.ts,
                at=now,
                addressed=said.addressed,
                files=said.files,
            )
        )
        if accepted is None or not accepted.new:
            return _nothing()
        if accepted.state == PromptState.REMOVED:
            return self._progress.not_taken(said.thread.channel, said.ts)
        return self._progress.seen(said.thread.channel, said.ts)

    async def _after_edit(self, edited: Edited, state: str | None) -> None:
        """An edit that comes too late is said to its author, never swallowed."""
        if state is None or state in {PromptState.QUEUED, PromptState.WAITING, PromptState.REMOVED}:
            return
        text = "I had already begun with the first version of that message. Send the change as a new reply."
        await self._whisper(edited.channel, edited.user, edited.thread.thread_ts, text)

    # -- stop ------------------------------------------------------------------------------------

    async def _stop(self, said: Said, late: float | None) -> None:
        if not said.addressed and not await self._sessions.knows(said.thread.session_id):
            return
        thread, key = said.thread, f"{said.thread.channel}:{said.ts}"
        pressed = StopPressed(thread.team, thread.channel, said.user, thread.thread_ts, None, key)
        at = None if late is None else float(said.ts)
        await self._pressed(pressed, at, by_messages=abs(late or 0.0) > _AGREE_SECONDS)

    async def _pressed(
        self, pressed: StopPressed, said_at: float | None = None, *, by_messages: bool = False
    ) -> None:
        """The fence is on disk when this returns, unless the person may not stop."""
        session = await self._session_of(pressed)
        if session is None:
            return
        try:
            person = await self._workspace.person(pressed.team, pressed.user)
            await self._permissions.require(person, Action.STOP, Subject(session=session))
        except Denied as denied:
            await self._whisper(pressed.channel, pressed.user, pressed.thread_ts, str(denied))
            return
        said = Stop(pressed.user, pressed.key, said_at, by_messages)
        stopped = await self._sessions.stop(session, said)
        if not stopped and pressed.thread_ts is not None and said_at is None:
            text = "Nothing is running in this thread."
            await self._whisper(pressed.channel, pressed.user, pressed.thread_ts, text)

    async def _session_of(self, pressed: StopPressed) -> SessionId | None:
        if pressed.thread_ts is not None:
            return ThreadKey(pressed.team, pressed.channel, pressed.thread_ts).session_id
        ts = pressed.ts or ""
        known = await self._sessions.find_by_message(pressed.channel, ts)
        if known is not None:
            return known
        try:  # any message of the thread will do, a stream as well: Slack knows whose it is
            session = (await self._workspace.thread_of(pressed.team, pressed.channel, ts)).session_id
        except UserError:
            log.warning("a ❌ was not looked into: its message could not be read")
            return None
        return session if await self._sessions.knows(session) else None

    # -- the picker ------------------------------------------------------------------------------

    async def _picked(self, picked: Picked) -> None:
        await self._or_say_why(picked, self._pick(picked))

    async def _or_say_why(self, click: _Click, work: Afterwards) -> None:
        """A click is not sent again: whoever clicked must hear what came of it."""
        try:
            await work
            return
        except UserError as error:
            text = str(error)
        except Exception:
            log.exception("a click was lost")
            text = "That did not work, and it is our fault. Choose again."
        await self._whisper(click.thread.channel, click.user, click.thread.thread_ts, text)

    async def _pick(self, picked: Picked) -> None:
        number, _, repository = picked.value.partition("|")
        prompt = prompt_of_click(number, "picker")
        session = picked.thread.session_id
        person = await self._workspace.person(picked.thread.team, picked.user)
        options = await self._sessions.options(session, prompt, person)
        if options is None:
            raise UserError("Only people who asked in this thread can choose its repository.")
        await self._permissions.require(person, Action.STEER, Subject(session=session))
        allowed = await self._permissions.repositories_for(person, self._sessions.house.settings.repositories)
        if repository not in options or repository not in {each.name for each in allowed}:
            raise UserError("That repository is not one you may use here. Choose another one.")
        if not await self._sessions.answer(session, prompt, repository, person):
            raise UserError("This question was answered already.")

    # -- questions of a turn ---------------------------------------------------------------------

    async def _answered(self, answered: Answered) -> None:
        await self._or_say_why(answered, self._take_answer(answered))

    async def _take_answer(self, answered: Answered) -> None:
        thread, reply = answered.thread, Reply(answered.question, answered.option, answered.words)
        person = await self._workspace.person(thread.team, answered.user)
        await take_reply(self._sessions.house, thread.session_id, reply, person)

    async def _whisper(self, channel: str, user: str, thread_ts: str | None, text: str) -> None:
        await whisper(self._client, channel, user, thread_ts, text)


async def _nothing() -> None:
    return None


async def _rest(task: asyncio.Task[None]) -> None:
    await task
