"""“Wrong repository?”: a picker for one person, and what they pick carried out before Slack hears of it."""

from __future__ import annotations

import logging
import re
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain import Action, Person, PromptId, Repository, SessionId, Subject, ThreadKey
from bot.errors import UserError
from bot.permissions import Permissions
from bot.sessions import Sessions
from bot.sessions.moving import Movable
from bot.slack.intake import MovePicked, WrongPressed
from bot.slack.render import Blocks, move_picker
from bot.slack.workspace import SlackWorkspace

log = logging.getLogger(__name__)

_PROMPT = re.compile(r"[0-9]{1,15}")


class Moves:
    """Whoever took part, may steer, and may use both repositories, says where a request belongs."""

    def __init__(
        self,
        client: AsyncWebClient,
        sessions: Sessions,
        permissions: Permissions,
        workspace: SlackWorkspace,
    ) -> None:
        self._client = client
        self._sessions = sessions
        self._permissions = permissions
        self._workspace = workspace

    async def offer(self, pressed: WrongPressed) -> None:
        """Show the picker, or say why there is none."""
        try:
            prompt = _prompt(pressed.value)
            found, usable = await self._usable(pressed.thread, prompt, pressed.user)
            begins = "It is over; it would start again there" if found.again else "The work begins anew there"
            text = f"Which repository is it instead of {found.repository}? {begins}."
            options = [{"name": each.name, "description": each.description} for each in usable]
            await self._whisper(pressed.thread, pressed.user, text, move_picker(prompt, text, options))
        except UserError as error:
            await self._whisper(pressed.thread, pressed.user, str(error))

    async def move(self, picked: MovePicked) -> None:
        """The correction is kept and the move is on disk when this returns."""
        try:
            prompt, _, repository = picked.value.partition("|")
            said = await self._move(picked.thread, _prompt(prompt), repository, picked.user)
        except UserError as error:
            said = str(error)
        except Exception:  # a click is not sent again: whoever clicked must hear of it
            log.exception("a move to another repository was lost")
            said = "That did not work, and it is our fault. Choose again."
        await self._whisper(picked.thread, picked.user, said)

    async def _move(self, thread: ThreadKey, prompt: PromptId, repository: str, user: str) -> str:
        found, usable = await self._usable(thread, prompt, user)
        if repository not in {each.name for each in usable}:
            raise UserError("That repository is not one you may move it to. Choose another one.")
        await self._sessions.house.state.label(
            thread.session_id,
            prompt,
            text=found.row["text"],
            channel=await self._channel(thread.channel),
            suggested=found.repository,
            chosen=repository,
            by=user,
        )
        person = await self._workspace.person(thread.team, user)
        return await self._sessions.move(thread.session_id, prompt, repository, person)

    async def _usable(
        self, thread: ThreadKey, prompt: PromptId, user: str
    ) -> tuple[Movable, list[Repository]]:
        """What can be moved, and where to: only where its author may work as well."""
        person = await self._workspace.person(thread.team, user)
        found = await self._sessions.movable(thread.session_id, prompt, person)
        await self._permissions.require(person, Action.STEER, Subject(session=SessionId(thread.session_id)))
        usable = await self._repositories(person)
        if not found.again and found.row["author_id"] != person.id:
            author = await self._workspace.person(thread.team, found.row["author_id"])
            of_author = {each.name for each in await self._repositories(author)}
            usable = [each for each in usable if each.name in of_author]
        usable = [each for each in usable if each.name != found.repository]
        if not usable:
            raise UserError("There is no other repository that it could be moved to here.")
        return found, usable

    async def _channel(self, channel: str) -> str:
        """By name, as repositories list them; Slack not saying it is no reason to lose a correction."""
        try:
            return await self._workspace.channel_name(channel) or channel
        except UserError:
            return channel

    async def _repositories(self, person: Person) -> list[Repository]:
        return await self._permissions.repositories_for(person, self._sessions.house.settings.repositories)

    async def _whisper(self, thread: ThreadKey, user: str, text: str, blocks: Blocks | None = None) -> None:
        """Said to one person alone; decoration, so a failure is logged and no more."""
        place: dict[str, Any] = {"channel": thread.channel, "thread_ts": thread.thread_ts, "user": user}
        try:
            await self._client.chat_postEphemeral(**place, text=text, blocks=blocks)
        except Exception as error:
            log.warning("could not tell %s something (%s)", user, type(error).__name__)


def _prompt(value: str) -> PromptId:
    if not _PROMPT.fullmatch(value):
        raise UserError("That button is not one of mine.")
    return PromptId(int(value))
