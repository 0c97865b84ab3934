"""Before any work: may this person ask, and which repository do they mean?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.domain import (
    Action,
    EventType,
    Prompt,
    Repository,
    RepositoryAsk,
    RepositoryChoice,
    RepositoryQuestion,
    Subject,
    ThreadKey,
)
from bot.errors import UserError
from bot.sessions.brief import join, readable
from bot.sessions.explaining import with_facts
from bot.sessions.house import House
from bot.sessions.states import title_of
from storage import NewEffect, NewEvent, SessionFile, StorageError

_THREAD_MESSAGES = 20


async def permitted(house: House, file: SessionFile, prompt: Prompt) -> Prompt:
    """The prompt with its author looked up and its mentions named. Raises UserError when it may not run."""
    session = await file.session()
    person = await house.directory.person(session["team"], prompt.author.id)
    name = await house.directory.channel_name(session["channel"])
    allowed = house.permissions.channel(session["channel"], name)
    if not allowed.allowed:
        raise UserError(allowed.reason)
    action = Action.STEER if session["repository"] else Action.START
    await house.permissions.require(person, action, Subject(session=prompt.session))
    await _few_enough(house, prompt)
    most = house.settings.limits.message_chars
    if len(prompt.text) > most:
        raise UserError(f"That message is longer than {most} characters. Send a shorter one.")
    if not prompt.text.strip() and not prompt.files:
        raise UserError("You mentioned me without saying what to do. Reply with what you want changed.")
    text = await readable(prompt.text, lambda user: house.directory.person(session["team"], user))
    if not session["title"]:
        await file.update_session(title=title_of(text))
    prompt = replace(prompt, author=person, text=text)
    await join(file, prompt, person)
    return prompt


async def _few_enough(house: House, prompt: Prompt) -> None:
    """Raises UserError when too many sessions of this author are unfinished."""
    most, found = house.settings.limits.sessions_per_person, 0
    for session in await house.state.marked():
        if session == prompt.session:
            continue
        try:
            if not house.store.exists(session):
                continue
            async with house.store.use(session) as file:
                unfinished = await file.prompts(("queued", "running", "waiting"))
        except StorageError:  # `/ready` counts it; what is in it cannot be counted against anyone
            continue
        found += any(row["author_id"] == prompt.author.id for row in unfinished)
    if found >= most:
        raise UserError(f"You have {found} unfinished requests in other threads, and {most} is the limit.")


class Choosing:
    """The repository of one permitted prompt."""

    def __init__(self, house: House, file: SessionFile, prompt: Prompt) -> None:
        self._house = house
        self._file = file
        self._prompt = prompt

    async def choose(self) -> tuple[Repository, str | None] | None:
        """The repository, and the one this thread worked in before if it changed. None: it was asked for."""
        session = await self._file.session()
        allowed = await self._house.permissions.repositories_for(
            self._prompt.author, self._house.settings.repositories
        )
        if not allowed:
            raise UserError(
                "There is no repository here that you may use. Ask whoever runs this bot to add one."
            )
        choice = await self._decide(session, allowed)
        if isinstance(choice, RepositoryAsk):
            await self._ask(choice, allowed)
            return None
        chosen = next((each for each in allowed if each.name == choice.name), None)
        if chosen is None:
            raise UserError(f"{choice.name} is not a repository you may use here.")
        before = session["repository"]
        if before == chosen.name:
            return chosen, None
        await self._announce(before, chosen, choice.reason, allowed)
        return chosen, before

    async def _decide(
        self, session: Mapping[str, Any], allowed: list[Repository]
    ) -> RepositoryChoice | RepositoryAsk:
        if self._prompt.repository:
            return RepositoryChoice(self._prompt.repository, "because it was chosen here")
        directory = self._house.directory
        thread = ThreadKey(session["team"], session["channel"], session["thread_ts"])
        question = RepositoryQuestion(
            prompt=self._prompt,
            channel_id=session["channel"],
            channel_name=await directory.channel_name(session["channel"]),
            thread=await directory.thread(thread, self._prompt.message_ts, _THREAD_MESSAGES),
            repositories=[await with_facts(self._house.plugins, each) for each in allowed],
            current=session["repository"],
        )
        found = await self._house.plugins.first("choose_repository", question=question)
        if isinstance(found, RepositoryChoice | RepositoryAsk):
            return found
        return RepositoryAsk("Nothing here says which one.")

    async def _ask(self, ask: RepositoryAsk, allowed: list[Repository]) -> None:
        first = [each for name in ask.candidates for each in allowed if each.name == name]
        rest = [each for each in allowed if each not in first]
        options = [{"name": each.name, "description": each.description} for each in [*first, *rest]]
        prompt = self._prompt
        facts = {"kind": "question", "prompt_id": prompt.id, "reason": ask.reason, "options": options}
        data = {"question": "repository", "options": [each["name"] for each in options]}
        await self._file.wait(
            prompt.id,
            self._house.epoch,
            [NewEvent(EventType.QUESTION_ASKED, data, prompt.id)],
            [NewEffect("thread.post", f"question:{prompt.id}", facts)],
        )

    async def _announce(
        self, before: str | None, chosen: Repository, reason: str, allowed: list[Repository]
    ) -> None:
        """The opening message; a thread that changes its repository begins anew there."""
        fields: dict[str, Any] = {"repository": chosen.name, "reason": reason}
        if before is not None:
            fields |= {"branch": None, "branch_number": 1, "pull_request": None, "head_commit": None}
        data = {"repository": chosen.name, "reason": reason}
        await self._file.record(
            [NewEvent(EventType.REPOSITORY_CHOSEN, data, self._prompt.id)],
            [await self._opening(chosen.name, reason, movable=len(allowed) > 1)],
            session_fields=fields,
        )

    async def _opening(self, repository: str, reason: str, *, movable: bool) -> NewEffect:
        """One a prompt: where it moves, the message that it began with is changed."""
        prompt = self._prompt
        facts = {
            "kind": "opening",
            "repository": repository,
            "reason": reason,
            "prompt_id": prompt.id,
            "movable": movable,
        }
        key = f"opening:{prompt.id}"
        posts = [e for e in await self._file.effects(kind_prefix="thread.post") if e["key"] == key]
        if not posts:
            return NewEffect("thread.post", key, facts)
        facts |= {"of": key, "reason": f"{reason}, and no longer in {posts[0]['intent']['repository']}"}
        return NewEffect("thread.update", f"{key}:{prompt.attempt}", facts)
