"""From a finished turn to a pull request: collect, commit, push, publish, each step read back.

The push and what plugins publish are effects: once their intent is on disk, a crash is followed by a look
outside, never by running the agent again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

from bot.domain import (
    Artifact,
    Change,
    CommitSha,
    FileChange,
    GitAccess,
    GitIdentity,
    GitPurpose,
    Person,
    Prompt,
    PullRequest,
    Repository,
    Stage,
)
from bot.errors import GitError, PluginError, Unreachable, UserError
from bot.git import (
    Collected,
    Mirror,
    Policy,
    QuarantineLimits,
    branch_name,
    collect,
    commit_turn,
    file_changes,
    push,
    tree_changes,
)
from bot.plugins import Answer
from bot.sessions.effects import SessionEffects
from bot.sessions.house import House
from bot.sessions.kept import Kept
from bot.sessions.patience import Patience
from bot.sessions.rows import person_of
from bot.sessions.states import branch_number
from bot.sessions.titles import Words, worded
from bot.sessions.workbench import Workbench
from storage import SessionFile

PUSH = "git.push"
_LOOK_SECONDS = 180.0  # longer than a client needs to say that it got no answer


@dataclass(slots=True)
class Landed:
    """What came of a turn; `problem` says why something pushed has no pull request."""

    files: Sequence[FileChange] = ()
    pull_request: PullRequest | None = None
    updated: bool = False
    branch: str = ""
    commit: str = ""
    artifacts: Sequence[Artifact] = ()
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    session: dict[str, Any] = field(default_factory=dict)  # what its row has from now on


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a turn starts and where its commit will go."""

    target: CommitSha
    branch: str
    number: int
    base_branch: str
    head: CommitSha | None  # of the branch on the remote; None: it does not exist yet
    previous: PullRequest | None  # open, on this branch


class Landing:
    """For one prompt of one session."""

    def __init__(
        self,
        house: House,
        file: SessionFile,
        prompt: Prompt,
        repository: Repository,
        stage: Callable[[Stage], Awaitable[None]],
        no_return: Callable[[], None],
        patience: Patience,
    ) -> None:
        """`no_return` is called right before the push's intent is written: from then on nothing stops it."""
        self._house = house
        self._file = file
        self._prompt = prompt
        self._repository = repository
        self._stage = stage
        self._no_return = no_return
        self._patience = patience
        self._effects = SessionEffects(file, prompt.id, house.epoch)

    # -- before the agent ------------------------------------------------------------------------

    async def ground(self, mirror: Mirror, session: Mapping[str, Any]) -> Ground:
        """Fetch, and decide what this turn starts from. Raises UserError when that cannot be read."""
        access = await self.access(GitPurpose.FETCH)
        await self._patience.over(lambda: mirror.fetch(access))
        previous = await self._patience.over(lambda: self._current_pull_request(session))
        branch, number = session["branch"], session["branch_number"]
        if branch is None or number != branch_number(number, branch, previous.state if previous else None):
            number = branch_number(number, branch, previous.state if previous else None)
            branch = branch_name(self._prompt.session, session["title"], number)
        head = await mirror.head(branch)
        base = await mirror.head(self._repository.default_branch)
        if base is None:
            raise GitError(
                f"{self._repository.name} has no branch {self._repository.default_branch}. "
                "Set `default_branch` of this repository in the configuration."
            )
        still_open = previous if previous is not None and previous.state == "open" else None
        return Ground(head or base, branch, number, self._repository.default_branch, head, still_open)

    async def last_commit(self, ground: Ground, session: Mapping[str, Any], kept: Kept) -> CommitSha | None:
        """The last one made of this session's work: the branch's, if a push that nobody answered arrived."""
        known: CommitSha | None = session["head_commit"]
        pushes = [each["intent"] for each in await self._file.effects(kind_prefix=PUSH)]
        ours = next((intent for intent in pushes if intent["commit"] == ground.head), None)
        if ours is None or ground.head == known:
            return known
        if kept.base == ours["parent"]:  # then it is the same work
            kept.drop()
        await self._file.update_session(head_commit=ground.head)
        return ground.head

    async def access(self, purpose: GitPurpose) -> GitAccess:
        """The credential for this prompt's author; UserError when there is none."""
        found = await self._house.plugins.first(
            "git_access", repository=self._repository, person=self._prompt.author, purpose=purpose
        )
        if not isinstance(found, GitAccess):
            raise UserError(
                f"No plugin knows how to reach {self._repository.name}. Enable `pr_creator` in the settings."
            )
        return found

    async def check_identity(self) -> None:
        """Raises UserError when this author's work could not be handed in; asked before any work is done."""
        await self.access(GitPurpose.PUSH)

    async def identity(self, person: Person) -> GitIdentity | None:
        found = await self._house.plugins.first("git_identity", person=person)
        return found if isinstance(found, GitIdentity) else None

    async def _current_pull_request(self, session: Mapping[str, Any]) -> PullRequest | None:
        if not session["branch"] or not session["pull_request"]:
            return None
        found = await self._house.plugins.first(
            "find_pull_request", limit=_LOOK_SECONDS, repository=self._repository, branch=session["branch"]
        )
        return found if isinstance(found, PullRequest) else None

    # -- after the agent -------------------------------------------------------------------------

    async def land(
        self,
        mirror: Mirror,
        bench: Workbench,
        ground: Ground,
        summary: str,
        title: str,
        *,
        named: bool = False,
    ) -> Landed:
        """Bring the workspace's content to a pull request. Nothing changed: an empty Landed.

        `named`: the agent gave it this title itself, so that no model is asked for another.
        """
        await self._stage(Stage.COLLECT)
        intent = await self._commit(mirror, bench, ground, Words(title, summary), named=named)
        if intent is None:
            intent = await self._unpublished(mirror, ground, summary, title)
        return Landed() if intent is None else await self.deliver(mirror, intent)

    async def _unpublished(
        self, mirror: Mirror, ground: Ground, summary: str, title: str
    ) -> dict[str, Any] | None:
        """What an earlier turn pushed and could not publish: asking again brings it to its pull request."""
        base = await mirror.head(ground.base_branch)
        if ground.head is None or ground.previous is not None or base is None:
            return None
        if await mirror.is_ancestor(ground.head, base):
            return None
        fork = await mirror.fork_point(base, ground.head)
        return await self._intent(mirror, ground, ground.head, fork, summary, title, [])

    async def _commit(
        self, mirror: Mirror, bench: Workbench, ground: Ground, plain: Words, *, named: bool
    ) -> dict[str, Any] | None:
        """The turn's one commit, in the mirror; None when nothing changed."""
        assert bench.base is not None
        git = self._house.settings.git
        policy, quarantine = bounds_of(self._house)
        author = await self.identity(self._prompt.author)
        committer = GitIdentity(git.bot_name, git.bot_email)
        async with (
            aclosing(bench.collect(mirror)) as bundle,
            collect(mirror, bundle, bench.base, policy=policy, limits=quarantine) as collected,
        ):
            words = plain if named else await self._worded(mirror, collected, plain)
            commit = await commit_turn(
                mirror,
                collected,
                session=self._prompt.session,
                parent=ground.target,
                author=author or committer,
                committer=committer,
                co_authors=await self._co_authors(),
                message=f"{words.title}\n\nAsked for by {self._prompt.author.name} through Threadsmith.",
                date=self._prompt.accepted_at,
            )
            notes = _notes(self._prompt, author, committer, collected.outside_links)
        if commit is None:
            return None
        intent = await self._intent(mirror, ground, commit, ground.target, plain.summary, words.title, notes)
        return {**intent, "described": words.summary} if words.by_model else intent

    async def _worded(self, mirror: Mirror, collected: Collected, plain: Words) -> Words:
        """By a model, if one may be asked and there is anything to name."""
        files = await tree_changes(mirror, collected) if self._house.gateway.ask.ready else []
        if not files:
            return plain
        return await worded(self._house.gateway.ask, self._prompt, self._repository, files, plain)

    async def _intent(
        self,
        mirror: Mirror,
        ground: Ground,
        commit: CommitSha,
        parent: CommitSha,
        summary: str,
        title: str,
        notes: list[str],
    ) -> dict[str, Any]:
        files = await file_changes(mirror, parent, commit)
        return {
            "repository": self._repository.name,
            "branch": ground.branch,
            "number": ground.number,
            "base_branch": ground.base_branch,
            "commit": commit,
            "parent": parent,
            "expected": ground.head,
            "files": [asdict(each) for each in files],
            "summary": summary,
            "title": title,
            "notes": notes,
            "previous": asdict(ground.previous) if ground.previous else None,
        }

    async def deliver(self, mirror: Mirror, intent: dict[str, Any]) -> Landed:
        """Push what was committed and publish it. Also the way a turn is finished after a crash."""
        commit, branch = CommitSha(intent["commit"]), str(intent["branch"])
        expected = CommitSha(intent["expected"]) if intent["expected"] else None
        access = await self.access(GitPurpose.PUSH)

        async def look() -> dict[str, Any] | None:
            there = await mirror.remote_head(access, branch)
            return {"commit": commit} if there == commit else None

        async def do() -> dict[str, Any]:
            await push(mirror, access, commit, branch, expected=expected)
            return {"commit": commit}

        await self._stage(Stage.PUSH)
        self._no_return()
        key = push_key(self._prompt)
        await self._patience.over(lambda: self._effects.once(PUSH, key, intent=intent, find=look, do=do))
        await self._stage(Stage.PULL_REQUEST)
        landed = await self._publish(await self._change(intent))
        landed.notes += [*intent["notes"], *([access.note] if access.note else [])]
        landed.session = {"branch": landed.branch, "head_commit": landed.commit}
        if intent.get("described") and expected is None:  # its first work names the whole session
            landed.session |= {"title": intent["title"]}
        return landed

    async def may_have(self, mirror: Mirror) -> str | None:
        """The branch that has this turn's commit, or may have it; None when certainly nothing was pushed."""
        begun = [
            e
            for e in await self._file.effects(("sending", "done"), PUSH)
            if e["key"] == push_key(self._prompt)
        ]
        for each in begun:
            intent = each["intent"]
            if each["state"] == "done":
                return str(intent["branch"])
            try:
                there = await mirror.remote_head(await self.access(GitPurpose.PUSH), intent["branch"])
            except UserError:  # it cannot be seen, which is not the same as not being there
                return str(intent["branch"])
            return str(intent["branch"]) if there == intent["commit"] else None
        return None

    async def _publish(self, change: Change) -> Landed:
        landed = Landed(change.files, branch=change.branch, commit=change.commit)
        made: list[Artifact | PullRequest] = []
        for plugin in self._house.plugins.implementers("publish"):
            answer = await self._published(plugin, change)
            if isinstance(answer.error, PluginError):
                landed.problem = f"Publishing failed (incident {answer.error.incident}, see the bot's log)."
            elif answer.error is not None:
                landed.problem = str(answer.error)
            made += answer.value or ()
        landed.pull_request = next((each for each in made if isinstance(each, PullRequest)), None)
        pull, before = landed.pull_request, change.previous
        landed.updated = pull is not None and before is not None and pull.number == before.number
        landed.artifacts = [each for each in made if isinstance(each, Artifact)]
        if landed.pull_request is not None and landed.pull_request.note:
            landed.notes.append(landed.pull_request.note)
        return landed

    async def _published(self, plugin: str, change: Change) -> Answer:
        """What one plugin made of it. Those that are done are not asked again because another waits."""

        async def ask() -> Answer:
            answer = await self._house.plugins.ask_one(
                plugin, "publish", limit=None, change=change, effects=self._effects
            )
            if isinstance(answer.error, Unreachable):
                raise answer.error
            return answer

        try:
            return await self._patience.over(ask)
        except Unreachable as error:
            return Answer(plugin, error=error)

    async def _change(self, intent: Mapping[str, Any]) -> Change:
        return Change(
            session=self._prompt.session,
            prompt=self._prompt,
            repository=self._repository,
            participants=await participants(self._file),
            branch=intent["branch"],
            base_branch=intent["base_branch"],
            commit=CommitSha(intent["commit"]),
            files=[FileChange(**each) for each in intent["files"]],
            summary=intent.get("described") or intent["summary"],
            previous=PullRequest(**intent["previous"]) if intent["previous"] else None,
            title=intent["title"],
        )

    async def _co_authors(self) -> list[GitIdentity]:
        """Those whose earlier prompts left work in the sandbox that no commit holds yet."""
        taking_part = {row["author_id"] for row in await self._file.participants()}
        found: dict[str, GitIdentity] = {}
        for row in reversed(await self._file.prompts()):
            if row["id"] >= self._prompt.id or row["state"] == "removed":
                continue
            if row["state"] not in {"stopped", "failed"}:
                break
            identity = await self.identity(person_of(row)) if row["author_id"] in taking_part else None
            if identity is not None and row["author_id"] != self._prompt.author.id:
                found[identity.email] = identity
        return list(found.values())


def _notes(
    prompt: Prompt, author: GitIdentity | None, committer: GitIdentity, outside_links: Sequence[str]
) -> list[str]:
    """What people should know of a commit that they would not expect."""
    notes = []
    if author is None:
        name = prompt.author.name
        notes.append(f"Committed as {committer.name}, because {name} has no account linked.")
    if outside_links:
        shown = ", ".join(outside_links[:3])
        notes.append(f"It holds symbolic links that point out of the repository: {shown}. Look at them.")
    return notes


def bounds_of(house: House) -> tuple[Policy, QuarantineLimits]:
    """What a turn's work may be, as configured."""
    limits, git = house.settings.limits, house.settings.git
    policy = Policy(
        files=limits.changed_files, file_mib=git.blob_mib, allow_workflows=git.allow_workflow_changes
    )
    return policy, QuarantineLimits(bundle_mib=limits.bundle_mib)


def push_key(prompt: Prompt) -> str:
    return f"push:{prompt.id}"


async def participants(file: SessionFile) -> list[Person]:
    return [person_of(row) for row in await file.participants()]
