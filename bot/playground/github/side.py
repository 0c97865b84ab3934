"""The GitHub side as a whole: one server, and what the control API may ask of it."""

import contextlib
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from bot.playground.faults import FaultRefused, Faults
from bot.playground.github.accounts import Account, Permission
from bot.playground.github.door import Door
from bot.playground.github.errors import GitHubSideError
from bot.playground.github.forge import WEB_IDENTITY, Forge, Seed, signed_now
from bot.playground.github.gate import Gate, own_host_only
from bot.playground.github.pages import Pages
from bot.playground.github.pull_shapes import PullShapes
from bot.playground.github.pulls import Pulls
from bot.playground.github.repository import Commit, Repository
from bot.playground.github.request_log import RequestLog
from bot.playground.github.rest import Rest
from bot.playground.github.rest_contents import ContentRoutes
from bot.playground.github.rest_issues import IssueRoutes
from bot.playground.github.rest_pulls import PullRoutes
from bot.playground.github.rest_repositories import RepositoryRoutes
from bot.playground.github.rest_users import UserRoutes
from bot.playground.github.seeds import sample_seeds
from bot.playground.github.shapes import Shapes
from bot.playground.github.smart_http import SmartHttp
from bot.playground.github.store import Pull
from bot.playground.github.writing import Change, checked_path, move_reference, write_commit
from bot.playground.settings import PlaygroundSettings

_PREFIX = "/api/v3"
_GOODBYE_SECONDS = 2.0
_BODY_LIMIT_BYTES = 32 * 1024 * 1024


FAULT_KINDS = ("rate_limited", "server_error", "lost_reply", "refused")


class GitHubSide:
    """A GitHub on 127.0.0.1: REST at `api_url`, git and pages at `url`; state below the settings' folder."""

    def __init__(
        self, settings: PlaygroundSettings, accounts: Sequence[Account], seeds: Sequence[Seed] | None = None
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._seeds = seeds
        self._faults = Faults(FAULT_KINDS)
        self._log = RequestLog()
        self._runner: web.AppRunner | None = None
        self.url = ""

    @property
    def api_url(self) -> str:
        return self.url + _PREFIX

    async def start(self) -> None:
        """Make the sample repositories when absent, catch up with what was pushed, and listen.

        Raises GitHubSideError (500) when the port is taken.
        """
        # Every answer holds addresses with the port, so the socket comes before everything else.
        listener = _listener(self._settings.github_port)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            self._forge = Forge(self._settings.folder / "github", self._accounts)
            self._pulls = Pulls(self._forge)
            await self._catch_up()
            # git's compressed bodies go to git as they come; nobody else sends compressed ones.
            self._runner = web.AppRunner(
                self._application(),
                auto_decompress=False,
                access_log=None,
                shutdown_timeout=_GOODBYE_SECONDS,
            )
            await self._runner.setup()
            await web.SockSite(self._runner, listener).start()
        except BaseException:
            listener.close()
            raise

    async def _catch_up(self) -> None:
        seeds = sample_seeds(self._forge.accounts) if self._seeds is None else self._seeds
        await self._forge.open(seeds)
        for name in self._forge.names():
            await self._pulls.catch_up(self._forge.repository(name))

    def _application(self) -> web.Application:
        forge, pulls = self._forge, self._pulls
        gate = Gate(forge.accounts, self._faults, self._log, _PREFIX)
        shapes = Shapes(forge, self.url, self.api_url)
        rest = Rest(forge, pulls, shapes, PullShapes(forge, shapes))
        api = web.Application(middlewares=[gate.rest])
        for group in (UserRoutes, RepositoryRoutes, ContentRoutes, PullRoutes, IssueRoutes):
            group(rest).add_routes(api)
        door = Door(self._settings.pages_token, self.url)
        pages = Pages(forge, pulls, door, self.url, self._settings.secret_prefix)
        guards = [own_host_only(self.url), pages.guard]
        app = web.Application(middlewares=guards, client_max_size=_BODY_LIMIT_BYTES)
        app.add_subapp(_PREFIX, api)
        pages.add_routes(app)
        SmartHttp(forge, pulls, gate).add_routes(app)
        return app

    async def close(self) -> None:
        """Stop listening and close the state; a second call does nothing."""
        if self._runner is None:
            return
        await self._runner.cleanup()
        self._runner = None
        self._forge.close()

    # -- what the control API asks

    def repositories(self) -> list[str]:
        return self._forge.names()

    def grant(self, repository: str, login: str, permission: Permission) -> None:
        """Change what an account may do with a repository; at first everyone may write."""
        self._forge.store.grant(
            self._repository(repository).full_name, self._forge.account(login).login, permission
        )

    def fault(self, method: str, kind: str, times: int) -> None:
        """Let the next `times` requests that match fail. Raises GitHubSideError (400)."""
        try:
            self._faults.add(method, kind, times)
        except FaultRefused as error:
            raise GitHubSideError(400, str(error)) from None

    def requests(self) -> list[dict[str, Any]]:
        """The latest API and git requests: `{at, method, path, status, login}`, oldest first."""
        return list(self._log)

    async def pulls(self) -> list[dict[str, Any]]:
        """Every pull request of every repository, as `/control/pulls` shows it, oldest first."""
        return [
            await self._described(repository, pull)
            for repository in map(self._forge.repository, self._forge.names())
            for pull in reversed(self._forge.store.pulls(repository.full_name))
        ]

    async def pull(self, repository: str, number: int) -> dict[str, Any]:
        """One of them. Raises GitHubSideError (404)."""
        found = self._repository(repository)
        return await self._described(found, self._pull(found, number))

    async def merge(self, repository: str, number: int, login: str) -> dict[str, Any]:
        """Merge as this person; returns the pull request. Raises GitHubSideError (403, 404, 405)."""
        found = self._repository(repository)
        with _in_words():
            merged = await self._pulls.merge(found, self._pull(found, number), self._forge.account(login))
        return await self._described(found, merged)

    async def review(self, repository: str, number: int, login: str, state: str, body: str) -> dict[str, Any]:
        """Review as this person; returns `{id, state, body, author}`. Raises GitHubSideError."""
        found, account = self._repository(repository), self._forge.account(login)
        self._forge.readable(account, repository)
        with _in_words():
            review = await self._pulls.review(found, self._pull(found, number), account, state, body)
        return {"id": review.id, "state": review.state, "body": review.body, "author": review.author}

    async def commit(
        self, repository: str, branch: str, login: str, files: Mapping[str, str | None]
    ) -> dict[str, Any]:
        """Commit files straight to a branch (None removes one); a missing branch starts at the default one.

        Returns `{sha, branch}`. Raises GitHubSideError (403, 404, 409, 422).
        """
        found = self._repository(repository)
        account = self._forge.require_write(self._forge.account(login), found)
        changes = [Change(checked_path(path), _encoded(path, text)) for path, text in files.items()]
        if not changes:
            raise GitHubSideError(422, "files is empty: nothing to commit")
        async with found.lock:
            branches = await found.branches()
            parent = branches.get(branch, branches[await found.default_branch()])
            message = f"Update {', '.join(files)}\n"
            sha = await write_commit(
                found, [parent], changes, message, signed_now(account.identity), signed_now(WEB_IDENTITY)
            )
            await move_reference(found, f"refs/heads/{branch}", sha, branches.get(branch))
        await self._pulls.sync(found)
        return {"sha": sha, "branch": branch}

    async def _described(self, repository: Repository, pull: Pull) -> dict[str, Any]:
        fork_point = await self._pulls.fork_point(repository, pull)
        files = await repository.diff(fork_point, pull.head_sha)
        patch = await repository.patch(fork_point, pull.head_sha)
        return {
            "repository": repository.full_name,
            "number": pull.number,
            "state": pull.standing,
            "title": pull.title,
            "body": "" if pull.body is None else pull.body,
            "author": pull.author,
            "head": pull.head,
            "base": pull.base,
            "commits": [_described_commit(each) for each in await self._pulls.commits(repository, pull)],
            "files": [file.path for file in files],
            "diff": patch.decode("utf-8", "replace"),
        }

    def _repository(self, full_name: str) -> Repository:
        try:
            return self._forge.repository(full_name)
        except GitHubSideError:
            known = ", ".join(self._forge.names())
            raise GitHubSideError(404, f"no repository {full_name!r}; known: {known}") from None

    def _pull(self, repository: Repository, number: int) -> Pull:
        try:
            return self._pulls.find(repository, number)
        except GitHubSideError:
            raise GitHubSideError(404, f"{repository.full_name} has no pull request {number}") from None


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Put GitHub's list of errors into the message, which is all that the control API passes on."""
    try:
        yield
    except GitHubSideError as error:
        raise GitHubSideError(error.status, error.detail) from error


def _encoded(path: str, text: str | None) -> bytes | None:
    try:
        return None if text is None else text.encode()
    except UnicodeEncodeError:
        raise GitHubSideError(422, f"the text of {path} is not valid Unicode") from None


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise GitHubSideError(
            500, f"port {port} on 127.0.0.1 cannot be used ({error.strerror}); choose another"
        ) from error


def _described_commit(commit: Commit) -> dict[str, Any]:
    return {
        "sha": commit.sha,
        "message": commit.message,
        "author": commit.author.name,
        "author_email": commit.author.email,
        "committer": commit.committer.name,
    }
