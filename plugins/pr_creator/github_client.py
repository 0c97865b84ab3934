"""GitHub's REST API through PyGithub: one short-lived client per job, in threads of our own.

PyGithub is not safe to share between threads and by default repeats POST requests, sleeps for as long as a
rate limit asks and logs tokens at DEBUG; all of that is switched off here. It is imported late, since that
takes half a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from bot import Unreachable, UserError
from plugins.pr_creator.accounts import Actor

if TYPE_CHECKING:
    from github import Github
    from github.PullRequest import PullRequest as GithubPull

T = TypeVar("T")
API_VERSION = "2022-11-28"
LONGEST_WAIT_SECONDS = 20
NEWEST = 20  # pull requests of one branch that are looked at


class GitHubError(UserError):
    """GitHub said no or nothing. `uncertain`: the request may have worked all the same."""

    def __init__(
        self, text: str, *, status: int = 0, uncertain: bool = False, duplicate: bool = False
    ) -> None:
        self.status, self.uncertain, self.duplicate = status, uncertain, duplicate
        super().__init__(text)


class GitHubAway(GitHubError, Unreachable):
    """GitHub was not there, has trouble of its own, or asks to be left alone for `after_seconds`."""

    def __init__(
        self, text: str, *, status: int = 0, uncertain: bool = False, after_seconds: float = 0.0
    ) -> None:
        super().__init__(text, status=status, uncertain=uncertain)
        self.after_seconds = after_seconds


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request as GitHub has it. `branch` is the head's name, None when it is of another repository."""

    number: int
    url: str
    title: str
    body: str
    state: str  # open | merged | closed
    branch: str | None
    head: str
    base: str
    opener: str


@dataclass(frozen=True, slots=True)
class NewPull:
    title: str
    body: str
    branch: str
    base: str
    draft: bool


class GitHubClient:
    """Async calls; each answers or raises GitHubError within a few times `timeout_seconds`."""

    def __init__(self, api_url: str, timeout_seconds: float) -> None:
        self._api_url = api_url
        self._timeout = timeout_seconds
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="github")

    async def login(self, actor: Actor) -> str:
        """The login that the actor's token really belongs to."""
        return await self._do(actor, "Reading the account", lambda client: str(client.get_user().login))

    async def pulls(self, actor: Actor, repository: str, branch: str) -> list[Pull]:
        """The pull requests of one branch of the repository itself, newest first."""
        owner = repository.partition("/")[0]

        def job(client: Github) -> list[Pull]:
            found = client.get_repo(repository).get_pulls(
                state="all", head=f"{owner}:{branch}", sort="created", direction="desc"
            )
            # Not a slice: PyGithub raises IndexError for one of an empty list.
            return [_pull(one, repository) for one in islice(found, NEWEST)]

        pulls = await self._do(actor, f"Looking for pull requests in {repository}", job)
        return [pull for pull in pulls if pull.branch == branch]

    async def pull(self, actor: Actor, repository: str, number: int) -> Pull:
        """One pull request as it is now."""
        what = f"Reading {repository}#{number}"
        return await self._do(
            actor, what, lambda client: _pull(client.get_repo(repository).get_pull(number), repository)
        )

    async def create(self, actor: Actor, repository: str, new: NewPull) -> Pull:
        """Open a pull request: sent once, never repeated here."""

        def job(client: Github) -> Pull:
            created = client.get_repo(repository).create_pull(
                base=new.base, head=new.branch, title=new.title, body=new.body, draft=new.draft
            )
            return _pull(created, repository)

        return await self._do(actor, f"Opening a pull request in {repository}", job)

    async def describe(self, actor: Actor, repository: str, number: int, body: str) -> None:
        """Replace the description of a pull request."""
        what = f"Updating {repository}#{number}"
        await self._do(
            actor, what, lambda client: client.get_repo(repository).get_pull(number).edit(body=body)
        )

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _do(self, actor: Actor, what: str, job: Callable[[Github], T]) -> T:
        loop = asyncio.get_running_loop()
        deadline = 4 * self._timeout + LONGEST_WAIT_SECONDS
        try:
            async with asyncio.timeout(deadline):
                return await loop.run_in_executor(self._threads, self._run, actor, what, job)
        except TimeoutError:
            raise _silent(what) from None

    def _run(self, actor: Actor, what: str, job: Callable[[Github], T]) -> T:
        import github

        client = _connect(actor, self._api_url, self._timeout)
        try:
            return job(client)
        except github.GithubException as error:
            raise explain(what, actor, error.status, error.data, error.headers) from None
        except (OSError, ValueError, AssertionError, github.BadAttributeException):
            # OSError is all that `requests` raises, ValueError what is no JSON and carries the whole answer.
            raise _silent(what) from None
        finally:
            client.close()


def _connect(actor: Actor, api_url: str, timeout: float) -> Github:
    import github

    github.set_log_level(logging.WARNING)
    retry = github.GithubRetry(
        total=3,
        backoff_factor=0.3,
        allowed_methods={"GET", "HEAD"},
        max_rate_limit_wait=LONGEST_WAIT_SECONDS,
        respect_retry_after_header=False,  # PyGithub would sleep it in full, however long it is
    )
    return github.Github(
        auth=github.Auth.Token(actor.token.reveal()),
        base_url=api_url,
        timeout=max(1, round(timeout)),
        user_agent="threadsmith",
        retry=retry,
        seconds_between_requests=None,
        seconds_between_writes=None,
        lazy=True,
        api_version=API_VERSION,
    )


def _pull(one: GithubPull, repository: str) -> Pull:
    own = one.head.repo is not None and one.head.repo.full_name.lower() == repository.lower()
    return Pull(
        number=one.number,
        url=one.html_url,
        title=one.title,
        body=one.body or "",
        state="merged" if one.merged_at is not None else one.state,
        branch=one.head.ref if own else None,
        head=one.head.sha,
        base=one.base.ref,
        opener=one.user.login,
    )


def _silent(what: str) -> GitHubError:
    return GitHubAway(
        f"{what}: GitHub could not be reached or did not answer. Try again in a moment.", uncertain=True
    )


def explain(what: str, actor: Actor, status: int, data: Any, headers: dict[str, str] | None) -> GitHubError:
    """GitHub's refusal in words that say what to do. `data` is its answer, `headers` in lower case."""
    said = _messages(data, actor.token.reveal())
    sso = any(key.lower() == "x-github-sso" for key in headers or {})
    text = f"{what}: {_advice(actor, status, said, sso)}"
    if status >= 500 or _slow_down(status, said):
        after = _asked_seconds(headers or {})
        return GitHubAway(text, status=status, uncertain=status >= 500, after_seconds=after)
    return GitHubError(text, status=status, duplicate=status == 422 and "already exists" in said)


def _slow_down(status: int, said: str) -> bool:
    return status == 429 or (status == 403 and "rate limit" in said.lower())


def _asked_seconds(headers: dict[str, str]) -> float:
    """How long GitHub asks to be left alone: `Retry-After`, or the time its hourly window has left."""
    try:
        if "retry-after" in headers:
            return _within_reason(float(headers["retry-after"]))
        if headers.get("x-ratelimit-remaining") == "0":
            # By GitHub's clock, not ours; a wrong one of ours must not make anybody wait for hours.
            now = parsedate_to_datetime(headers["date"]).timestamp()
            return _within_reason(float(headers["x-ratelimit-reset"]) - now)
    except (KeyError, ValueError):
        pass
    return 0.0


def _within_reason(seconds: float) -> float:
    return min(seconds, 3600.0) if seconds > 0 else 0.0  # not a number is no wish either


def _advice(actor: Actor, status: int, said: str, sso: bool) -> str:
    if status == 401:
        return (
            f"the token of {actor.login} was not accepted; it was revoked or has expired. Make a new one and "
            f"put it in place ({actor.token.name}, {actor.where})."
        )
    if _slow_down(status, said):
        return f"GitHub asks {actor.login} to slow down. Try again in a few minutes."
    if sso:
        return f"the organisation asks for single sign-on: authorise {actor.login}'s token for it on GitHub."
    if status == 403:
        return f"{actor.login} may not do this. Give account and token write access. GitHub said: {said}"
    if status == 404:
        return f"{actor.login} cannot see it. Check the name, and that the account and its token have access."
    if status >= 500:
        return f"GitHub has trouble of its own (status {status}). Try again in a moment."
    return f"GitHub refused (status {status}): {said}"


def _messages(data: Any, secret: str) -> str:
    """What GitHub's answer says, on one line, bounded; never the credential, should something say it back."""
    if not isinstance(data, dict):
        return "nothing"
    errors = data.get("errors")
    details = [
        str(error.get("message") or f"{error.get('field')} is {error.get('code')}")
        if isinstance(error, dict)
        else str(error)
        for error in (errors if isinstance(errors, list) else [])[:5]
    ]
    said = " / ".join([str(data.get("message", "")), *details]).replace(secret, "[secret]")
    return " ".join(said.split())[:400]
