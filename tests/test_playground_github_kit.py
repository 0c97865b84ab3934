"""The kit of the GitHub side's tests: a running side with PyGithub, git and plain HTTP pointed at it."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from github import Auth, Github, GithubException
from github.Repository import Repository

from bot.playground.github import Account, GitHubSide
from bot.playground.settings import PlaygroundSettings

T = TypeVar("T")
ADA = Account(9000011, "ada-sample", "Ada Sample", "ghu_ada0000000000000000")
BEN = Account(9000012, "ben-sample", "Ben Sample", "ghu_ben0000000000000000")
BOT = Account(9000001, "threadsmith-bot", "threadsmith-bot", "ghs_bot0000000000000000", bot=True)
ACCOUNTS = (ADA, BEN, BOT)
STOREFRONT = "acme/storefront"
PAGES = "pages-token"
GIT_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
}


class Local:
    """One running GitHub side, with PyGithub, git and plain HTTP pointed at it."""

    def __init__(self, side: GitHubSide) -> None:
        self.side = side

    async def api(self, account: Account | str, work: Callable[[Github], T]) -> T:
        """Do `work` with a PyGithub client of this account (or this raw token), in a thread."""
        token = account if isinstance(account, str) else account.token

        def run() -> T:
            client = Github(
                auth=Auth.Token(token),
                base_url=self.side.api_url,
                retry=None,
                seconds_between_requests=None,
                seconds_between_writes=None,
            )
            try:
                return work(client)
            finally:
                client.close()

        return await asyncio.to_thread(run)

    async def repo(self, account: Account | str, work: Callable[[Repository], T]) -> T:
        """The same on acme/storefront."""
        return await self.api(account, lambda client: work(client.get_repo(STOREFRONT)))

    async def branch(self, name: str, text: str = "Hello\n", account: Account = ADA) -> str:
        """A branch with one new file on it; returns the commit."""
        written = await self.side.commit(STOREFRONT, name, account.login, {f"{name}.txt": text})
        return str(written["sha"])

    async def pull(self, name: str = "topic", account: Account = ADA) -> int:
        """A pull request from a fresh branch; returns its number."""
        await self.branch(name)
        return await self.repo(
            account,
            lambda repo: repo.create_pull("main", name, title=f"Add {name}", body="Why: *because*").number,
        )

    def clone_url(self, account: Account | None = ADA, repository: str = STOREFRONT) -> str:
        who = "" if account is None else f"x-access-token:{account.token}@"
        return self.side.url.replace("http://", f"http://{who}") + f"/{repository}.git"

    async def git(self, *arguments: str | Path, ok: bool = True) -> str:
        """Run git in a clean environment; its output and messages together."""
        command = ["git", "-c", "user.name=Ada Sample", "-c", f"user.email={ADA.identity.email}"]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, *map(str, arguments)],
            env=GIT_ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode == 0) is ok, done.stderr
        return done.stdout + done.stderr

    async def http(self, method: str, path: str, **arguments: Any) -> tuple[int, str, Any]:
        """One plain request: status, text, headers. It comes in through the door unless `token` says else."""
        token = arguments.pop("token", PAGES)
        cookies = {f"playground_pages_{self.side.url.rpartition(':')[2]}": token}
        async with (
            aiohttp.ClientSession(cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
            session.request(method, self.side.url + path, allow_redirects=False, **arguments) as response,
        ):
            return response.status, await response.text(), response.headers


@contextlib.asynccontextmanager
async def running(folder: Path, port: int = 0) -> AsyncIterator[Local]:
    """A GitHub side over the state in `folder`."""
    side = GitHubSide(PlaygroundSettings(data=folder, github_port=port, pages_token=PAGES), ACCOUNTS)
    await side.start()
    try:
        yield Local(side)
    finally:
        await side.close()


def status_of(error: pytest.ExceptionInfo[GithubException]) -> int:
    return error.value.status
