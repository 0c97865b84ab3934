"""What can happen to a pull request, with GitHub's rules and its words for refusing."""

import sqlite3
from dataclasses import dataclass

from bot.playground.github.accounts import Account
from bot.playground.github.errors import GitHubSideError, invalid, not_found, refused
from bot.playground.github.forge import WEB_IDENTITY, Forge, signed_now
from bot.playground.github.repository import Commit, Repository
from bot.playground.github.store import Pull, Review, now
from bot.playground.github.writing import merge_commit, move_reference

_REVIEW_STATES = {
    "APPROVE": "APPROVED",
    "APPROVED": "APPROVED",
    "REQUEST_CHANGES": "CHANGES_REQUESTED",
    "CHANGES_REQUESTED": "CHANGES_REQUESTED",
    "COMMENT": "COMMENTED",
    "COMMENTED": "COMMENTED",
    "PENDING": "PENDING",
}
_TITLE_LIMIT = 256
_BODY_LIMIT = 65_536
COMMITS_SHOWN = 250


@dataclass(frozen=True, slots=True)
class Facts:
    """What git says of a pull request. `mergeable` is None once it is merged or closed."""

    commits: int
    additions: int
    deletions: int
    changed_files: int
    mergeable: bool | None


class Pulls:
    """Pull requests over real branches. Every change of one repository goes through its lock."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._store = forge.store

    def find(self, repository: Repository, number: int) -> Pull:
        """Raises GitHubSideError (404)."""
        pull = self._store.pull(repository.full_name, number)
        if pull is None:
            raise not_found()
        return pull

    async def create(
        self,
        repository: Repository,
        actor: Account,
        title: str,
        body: str | None,
        head: str,
        base: str,
        draft: bool,
    ) -> Pull:
        """Open one. `head` is `branch` or `owner:branch`. Raises GitHubSideError (422) as GitHub does."""
        _check_text(title, body)
        branch = _own_branch(repository, head)
        async with repository.lock:
            branches = await repository.branches()
            if branch is None or branch not in branches:
                raise invalid("PullRequest", "head")
            if base not in branches:
                raise invalid("PullRequest", "base")
            if await repository.is_ancestor(branches[branch], branches[base]):
                raise refused("PullRequest", f"No commits between {base} and {branch}")
            if await repository.merge_base(branches[base], branches[branch]) is None:
                raise refused("PullRequest", f"The {branch} branch has no history in common with {base}")
            try:
                pull = self._store.add_pull(
                    repository.full_name,
                    author=actor.login,
                    title=title,
                    body=body,
                    head=branch,
                    base=base,
                    head_sha=branches[branch],
                    base_sha=branches[base],
                    draft=int(draft),
                )
            except sqlite3.IntegrityError:
                label = f"{repository.owner}:{branch}"
                raise refused("PullRequest", f"A pull request already exists for {label}.") from None
            await self._keep_head(repository, pull)
            return pull

    async def update(
        self,
        repository: Repository,
        pull: Pull,
        actor: Account,
        title: str | None = None,
        body: str | None = None,
        state: str | None = None,
        base: str | None = None,
    ) -> Pull:
        """Change texts, state (open or closed) or base; None leaves a thing as it is."""
        if actor.login != pull.author:
            self._forge.require_write(actor, repository)
        _check_text(pull.title if title is None else title, body)
        async with repository.lock:
            pull = self.find(repository, pull.number)
            texts = {"title": title, "body": body}
            pull = self._store.update_pull(pull, **{k: v for k, v in texts.items() if v is not None})
            if base is not None and base != pull.base:
                pull = await self._retarget(repository, pull, base)
            if state is not None and state != pull.state:
                pull = await self._set_state(repository, pull, actor, state)
            return pull

    async def _retarget(self, repository: Repository, pull: Pull, base: str) -> Pull:
        sha = (await repository.branches()).get(base)
        if sha is None or pull.state != "open":
            raise invalid("PullRequest", "base")
        if await repository.is_ancestor(pull.head_sha, sha):
            raise refused(
                "PullRequest", f"There are no new commits between base branch '{base}' and head branch"
            )
        return self._store.update_pull(pull, base=base, base_sha=sha)

    async def _set_state(self, repository: Repository, pull: Pull, actor: Account, state: str) -> Pull:
        if state == "closed":
            return self._close(pull, actor.login)
        if state != "open":
            raise invalid("PullRequest", "state")
        if pull.merged:
            raise refused("PullRequest", "state cannot be changed. The pull request cannot be reopened.")
        branches = await repository.branches()
        if pull.head not in branches:
            raise refused("PullRequest", f"state cannot be changed. The {pull.head} branch has been deleted.")
        try:
            pull = self._store.update_pull(
                pull, state="open", closed_at=None, closed_by=None, head_sha=branches[pull.head]
            )
        except sqlite3.IntegrityError:
            raise refused(
                "PullRequest",
                "state cannot be changed. There is already an open pull request for this branch.",
            ) from None
        await self._keep_head(repository, pull)
        return pull

    def _close(self, pull: Pull, login: str | None) -> Pull:
        return self._store.update_pull(pull, state="closed", closed_at=now(), closed_by=login)

    async def merge(
        self,
        repository: Repository,
        pull: Pull,
        actor: Account,
        method: str = "merge",
        title: str | None = None,
        message: str | None = None,
        sha: str | None = None,
    ) -> Pull:
        """Merge into the base branch with git, for good. Raises GitHubSideError (403, 405, 409, 422)."""
        self._forge.require_write(actor, repository)
        if method not in ("merge", "squash"):
            raise GitHubSideError(405, "Rebase merges are not allowed on this repository.")
        async with repository.lock:
            pull = await self._synced(repository, self.find(repository, pull.number))
            if sha is not None and sha != pull.head_sha:
                raise GitHubSideError(409, "Head branch was modified. Review and try the merge again.")
            if pull.draft and pull.state == "open":
                raise GitHubSideError(405, "Pull Request is still a draft")
            tree = (
                await repository.merged_tree(pull.base_sha, pull.head_sha) if pull.state == "open" else None
            )
            if tree is None:
                raise GitHubSideError(405, "Pull Request is not mergeable")
            text = _merge_message(repository, pull, method, title, message)
            parents = [pull.base_sha, pull.head_sha] if method == "merge" else [pull.base_sha]
            merged = await merge_commit(
                repository, tree, parents, text, signed_now(actor.identity), signed_now(WEB_IDENTITY)
            )
            await move_reference(repository, f"refs/heads/{pull.base}", merged, pull.base_sha)
            pull = self._merged(pull, actor.login, merged)
        await self.sync(repository)  # the base moved: other pull requests may conflict now, or be part of it
        return pull

    def _merged(self, pull: Pull, login: str | None, sha: str) -> Pull:
        at = now()
        return self._store.update_pull(
            pull, state="closed", closed_at=at, closed_by=login, merged_at=at, merged_by=login, merge_sha=sha
        )

    async def review(
        self, repository: Repository, pull: Pull, actor: Account, state: str, body: str
    ) -> Review:
        """Add a review. `state` is GitHub's event (APPROVE) or its result (APPROVED), in any case."""
        known = _REVIEW_STATES.get(state.upper())
        if known is None:
            raise GitHubSideError(422, f"Variable $event has no such value: {state!r}")
        _check_text(pull.title, body)
        own = actor.login == pull.author
        if own and known in ("APPROVED", "CHANGES_REQUESTED"):
            what = "approve" if known == "APPROVED" else "request changes on"
            raise GitHubSideError(422, "Unprocessable Entity", [f"Can not {what} your own pull request"])
        if known in ("COMMENTED", "CHANGES_REQUESTED") and not body.strip():
            raise GitHubSideError(422, "Unprocessable Entity", ["Review body can't be blank"])
        if known == "APPROVED" and pull.state != "open":
            raise GitHubSideError(422, "Unprocessable Entity", ["Can not approve a closed pull request"])
        return self._store.add_review(pull, actor.login, known, body)

    async def sync(self, repository: Repository) -> None:
        """Called after everything that moves a branch."""
        self._store.touch_repository(repository.full_name)
        await self.catch_up(repository)

    async def catch_up(self, repository: Repository) -> None:
        """Bring open pull requests to what the branches say now."""
        async with repository.lock:
            for pull in self._store.pulls(repository.full_name, "open"):
                await self._synced(repository, pull)

    async def _synced(self, repository: Repository, pull: Pull) -> Pull:
        if pull.state != "open":
            return pull
        branches = await repository.branches()
        head, base = branches.get(pull.head), branches.get(pull.base)
        if base is None or head is None:
            # As GitHub: without one of its branches it is closed; its commits stay at refs/pull/N/head.
            return self._close(pull, None)
        if (head, base) == (pull.head_sha, pull.base_sha):
            return pull
        if await repository.is_ancestor(head, base):
            return await self._absorbed(repository, pull, head, base)
        pull = self._store.update_pull(pull, head_sha=head, base_sha=base)
        await self._keep_head(repository, pull)
        return pull

    async def _absorbed(self, repository: Repository, pull: Pull, head: str, base: str) -> Pull:
        """The head is part of the base now: merged by a push or a merge cut short, or reset to it."""
        if head != pull.head_sha:
            return self._close(pull, None)
        new = await repository.log(base, f"^{pull.base_sha}", limit=COMMITS_SHOWN)
        merge = next((commit for commit in new if head in commit.parents[1:]), None)
        by = self._forge.accounts.by_email(merge.author.email) if merge is not None else None
        sha = head if merge is None else merge.sha
        return self._merged(pull, None if by is None else by.login, sha)

    async def _keep_head(self, repository: Repository, pull: Pull) -> None:
        await move_reference(repository, f"refs/pull/{pull.number}/head", pull.head_sha, "")

    async def commits(self, repository: Repository, pull: Pull) -> list[Commit]:
        """Oldest first, at most 250, as on GitHub."""
        found = await repository.log(pull.head_sha, f"^{pull.base_sha}", limit=COMMITS_SHOWN)
        return found[::-1]

    async def fork_point(self, repository: Repository, pull: Pull) -> str:
        """Where the branch left the base; a pull request shows what changed since."""
        point = await repository.merge_base(pull.base_sha, pull.head_sha)
        return pull.base_sha if point is None else point

    async def facts(self, repository: Repository, pull: Pull) -> Facts:
        files = await repository.diff(await self.fork_point(repository, pull), pull.head_sha)
        mergeable = None
        if pull.state == "open":
            mergeable = await repository.merged_tree(pull.base_sha, pull.head_sha) is not None
        return Facts(
            commits=await repository.count(pull.head_sha, f"^{pull.base_sha}"),
            additions=sum(file.additions for file in files),
            deletions=sum(file.deletions for file in files),
            changed_files=len(files),
            mergeable=mergeable,
        )


def _own_branch(repository: Repository, head: str) -> str | None:
    """The branch of `branch` or `owner:branch`; None for another owner, since there are no forks here."""
    owner, colon, branch = head.partition(":")
    if not colon:
        return head
    return branch if owner.lower() == repository.owner.lower() else None


def _check_text(title: str, body: str | None) -> None:
    if not title.strip():
        raise invalid("PullRequest", "title", "missing_field")
    if len(title) > _TITLE_LIMIT:
        raise refused("PullRequest", f"title is too long (maximum is {_TITLE_LIMIT} characters)")
    if body is not None and len(body) > _BODY_LIMIT:
        raise refused("PullRequest", f"body is too long (maximum is {_BODY_LIMIT} characters)")


def _merge_message(
    repository: Repository, pull: Pull, method: str, title: str | None, message: str | None
) -> str:
    if method == "squash":
        first, rest = f"{pull.title} (#{pull.number})", ""
    else:
        first, rest = f"Merge pull request #{pull.number} from {repository.owner}/{pull.head}", pull.title
    first = first if title is None else title
    rest = rest if message is None else message
    return f"{first}\n\n{rest}".strip() + "\n"
