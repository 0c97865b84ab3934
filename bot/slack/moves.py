"""“Wrong repository?”: a picker for one person, and what they pick carried out before Slack hears of it."""

from __future__ import annotations

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain import Action, Person, PromptId, Repository, Subject, ThreadKey
from bot.errors import UserError
from bot.permissions import Permissions
from bot.sessions import Sessions
from bot.sessions.moving import Movable
from bot.slack.block_kit import Blocks
from bot.slack.clicks import prompt_of_click, whisper
from bot.slack.intake import MovePicked, WrongPressed
from bot.slack.render import move_picker
from bot.slack.workspace import SlackWorkspace


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
        """Show the picker. UserError with why there is none."""
        prompt = prompt_of_click(pressed.value, "button")
        person = await self._workspace.person(pressed.thread.team, pressed.user)
        found, usable = await self._usable(pressed.thread, prompt, person)
        begins = "It is over; it would start again there" if found.again else "The work begins anew there"
        text = f"Which repository is it instead of {found.repository}? {begins}."
        options = [{"name": each.name, "description": each.description} for each in usable]
        await self._tell(pressed, text, move_picker(prompt, text, options))

    async def move(self, picked: MovePicked) -> None:
        """The correction is kept and the move is on disk when this returns. UserError with why it is not."""
        thread = picked.thread
        number, _, repository = picked.value.partition("|")
        prompt = prompt_of_click(number, "button")
        person = await self._workspace.person(thread.team, picked.user)
        found, usable = await self._usable(thread, prompt, person)
        if repository not in {each.name for each in usable}:
            raise UserError("That repository is not one you may move it to. Choose another one.")
        await self._sessions.house.state.label(
            thread.session_id,
            prompt,
            text=found.row["text"],
            channel=await self._channel(thread.channel),
            suggested=found.repository,
            chosen=repository,
            by=person.id,
        )
        await self._tell(picked, await self._sessions.move(thread.session_id, prompt, repository, person))

    async def _usable(
        self, thread: ThreadKey, prompt: PromptId, person: Person
    ) -> tuple[Movable, list[Repository]]:
        """What can be moved, and where to: only where its author may work as well."""
        found = await self._sessions.movable(thread.session_id, prompt, person)
        await self._permissions.require(person, Action.STEER, Subject(session=thread.session_id))
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

    async def _tell(self, click: WrongPressed | MovePicked, text: str, blocks: Blocks | None = None) -> None:
        await whisper(self._client, click.thread.channel, click.user, click.thread.thread_ts, text, blocks)
