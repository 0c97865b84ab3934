"""From a pushed change to a pull request that was read back: opened once, then kept up to date."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from bot import Change, Effects, PullRequest, UserError
from plugins.pr_creator import neutral
from plugins.pr_creator.accounts import Accounts, Actor
from plugins.pr_creator.github_client import GitHubClient, GitHubError, NewPull, Pull
from plugins.pr_creator.texts import Texts, has_turn, marker

# GitHub takes a moment after a push until a pull request shows the new head.
HEAD_DELAYS_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)
REWRITTEN = "its description was rewritten by hand, so this turn was not added to it"


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes changes of sessions as pull requests, in the name of whoever asked."""

    client: GitHubClient
    accounts: Accounts
    texts: Texts
    draft: bool

    async def publish(self, change: Change, effects: Effects) -> PullRequest:
        """The open pull request of this change's branch. UserError when it could not be made or read back."""
        actor = self.accounts.acting_for(change.prompt.author)
        repository = change.repository.name
        previous = change.previous
        if previous is not None:
            now = await self.client.pull(actor, repository, previous.number)
            if now.state == "open":
                return await self._update(change, effects, actor, now)
        return await self._open(change, effects, actor, 0 if previous is None else previous.number)

    async def find(self, repository: str, branch: str) -> PullRequest | None:
        """The newest pull request of `branch` as it is now, None when there is none."""
        pulls = await self.client.pulls(self.accounts.bot, repository, branch)
        return _result(pulls[0], repository) if pulls else None

    # -- the first time --------------------------------------------------------------------------

    async def _open(self, change: Change, effects: Effects, actor: Actor, after: int) -> PullRequest:
        """Open one, or take what a crashed attempt opened; `after` is the number of its predecessor."""
        body = self.texts.body(change)
        assert body is not None
        new = NewPull(self.texts.title(change), body, change.branch, change.base_branch, self.draft)

        async def find() -> dict[str, Any] | None:
            pull = await self._existing(change, actor, after)
            return None if pull is None else {"number": pull.number}

        async def do() -> dict[str, Any]:
            pull = await self._create(change, actor, new, after)
            return {"number": pull.number}

        done = await effects.once(
            "pull_request",
            f"{change.repository.name}:{change.branch}:{after}",
            intent={
                "repository": change.repository.name,
                "branch": change.branch,
                "title": new.title,
                "actor": actor.login,
            },
            find=find,
            do=do,
        )
        pull = await self._read_back(change, actor, int(done["number"]))
        return _result(pull, change.repository.name, _opened_note(actor, pull))

    async def _create(self, change: Change, actor: Actor, new: NewPull, after: int) -> Pull:
        """Send it, and when the answer is lost or says "already exists", look before sending it once more.

        Sending twice does no harm: GitHub allows one open pull request per branch and base.
        """
        repository = change.repository.name
        for last in (False, True):
            try:
                made = await self.client.create(actor, repository, new)
            except GitHubError as error:
                if not (error.uncertain or error.duplicate):
                    raise
                found = await self._existing(change, actor, after)
                if found is not None:
                    return found
                if last:
                    raise
            else:
                return self._same(await self.client.pull(actor, repository, made.number), new)
        raise AssertionError("not reached")

    async def _existing(self, change: Change, actor: Actor, after: int) -> Pull | None:
        """The branch's pull request newer than `after`: an open one, or a finished one surely ours."""
        pulls = await self.client.pulls(actor, change.repository.name, change.branch)
        newer = [pull for pull in pulls if pull.number > after and pull.base == change.base_branch]
        ours = marker(change.session)
        return next((pull for pull in newer if pull.state == "open" or ours in pull.body), None)

    def _same(self, read: Pull, new: NewPull) -> Pull:
        """What GitHub shows must be what was sent."""
        wrong = [
            name
            for name, got, sent in (
                ("title", _seen(read.title), _seen(new.title)),
                ("description", _seen(read.body), _seen(new.body)),
                ("branch", read.branch, new.branch),
                ("base", read.base, new.base),
            )
            if got != sent
        ]
        if wrong:
            raise UserError(
                f"{read.url} was opened, but GitHub shows another {' and '.join(wrong)} than was sent. "
                "Look at it, then ask again."
            )
        return read

    # -- later turns -----------------------------------------------------------------------------

    async def _update(self, change: Change, effects: Effects, actor: Actor, now: Pull) -> PullRequest:
        repository = change.repository.name

        async def find() -> dict[str, Any] | None:
            read = await self.client.pull(actor, repository, now.number)
            return {"number": read.number, "rewritten": False} if has_turn(read.body, change) else None

        async def do() -> dict[str, Any]:
            return {"number": now.number, "rewritten": not await self._describe(change, actor, now.number)}

        done = await effects.once(
            "pull_request.update",
            f"{change.session}:{change.branch}:{now.number}:{change.prompt.id}",
            intent={
                "repository": repository,
                "number": now.number,
                "commit": change.commit,
                "actor": actor.login,
            },
            find=find,
            do=do,
        )
        pull = await self._read_back(change, actor, now.number)
        notes = [f"updated {actor.note}" if actor.note else "", REWRITTEN if done.get("rewritten") else ""]
        return _result(pull, repository, "; ".join(note for note in notes if note))

    async def _describe(self, change: Change, actor: Actor, number: int) -> bool:
        """Add this turn to the description; False when somebody made the description their own."""
        repository = change.repository.name
        body = self.texts.body(change, (await self.client.pull(actor, repository, number)).body)
        if body is None:
            return False
        await self.client.describe(actor, repository, number, body)
        read = await self.client.pull(actor, repository, number)
        if _seen(read.body) != _seen(body):
            raise UserError(
                f"The description of {read.url} is not what was sent. Look at it, then ask again."
            )
        return True

    # -- both ------------------------------------------------------------------------------------

    async def _read_back(self, change: Change, actor: Actor, number: int) -> Pull:
        """The pull request as GitHub has it, once it shows the pushed commit; a finished one as it is."""
        pull = await self.client.pull(actor, change.repository.name, number)
        for delay in HEAD_DELAYS_SECONDS:
            if pull.state != "open" or pull.head == change.commit:
                break
            await asyncio.sleep(delay)
            pull = await self.client.pull(actor, change.repository.name, number)
        if pull.branch != change.branch or (pull.state == "open" and pull.head != change.commit):
            raise UserError(
                f"{pull.url} does not show the commit {change.commit[:12]} that was pushed to "
                f"{change.branch}. Look whether somebody else pushed there, then ask again."
            )
        return pull


def _seen(text: str) -> str:
    """What a reader sees; line ends, spaces and invisible characters are GitHub's to store as it likes."""
    return " ".join(neutral.visible(text).split())


def _opened_note(actor: Actor, pull: Pull) -> str:
    if pull.opener.lower() != actor.login.lower():
        return f"opened as {pull.opener}, not as {actor.login}"
    return f"opened {actor.note}" if actor.note else ""


def _result(pull: Pull, repository: str, note: str = "") -> PullRequest:
    return PullRequest(
        repository=repository,
        number=pull.number,
        url=pull.url,
        title=pull.title,
        state=pull.state,
        branch=pull.branch or "",
        opener=pull.opener,
        note=note,
    )
