"""What the git tests stand on: a remote over HTTP, a mirror of it, and workspaces where an "agent" works."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bot.domain import CommitSha, GitAccess, GitIdentity, SessionId
from bot.git import Collected, Mirror, Mirrors, Policy, QuarantineLimits, collect, commit_turn, sandbox_side
from bot.playground.github import Account, GitHubSide
from bot.playground.settings import PlaygroundSettings
from storage import Secret

REPOSITORY = "acme/storefront"
ADA = Account(9000011, "ada-sample", "Ada Sample", "ghp_adaadaadaadaadaada11")
BEN = Account(9000012, "ben-sample", "Ben Sample", "ghp_benbenbenbenbenben22")
BOT = Account(9000001, "threadsmith-bot", "Threadsmith", "ghp_botbotbotbotbotbot33", bot=True)
AUTHOR = GitIdentity("Ada Sample", "9000011+ada-sample@users.noreply.github.com")
COMMITTER = GitIdentity("Threadsmith", "bot@example.com")
SESSION = SessionId("0123456789abcdef0123")
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Agent",
    "GIT_AUTHOR_EMAIL": "agent@example.com",
    "GIT_COMMITTER_NAME": "Agent",
    "GIT_COMMITTER_EMAIL": "agent@example.com",
}


def git(folder: Path, *args: str | Path, stdin: bytes | None = None) -> str:
    """Run git as an agent would; its output without the last line end."""
    command = ["git", "-C", str(folder), *map(str, args)]
    done = subprocess.run(command, env=ENVIRONMENT, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().rstrip("\n")


async def once(data: bytes) -> AsyncIterator[bytes]:
    """Bytes as a stream of one chunk."""
    yield data


class World:
    """A running GitHub side and a fresh mirror of one of its repositories."""

    def __init__(self, side: GitHubSide, folder: Path) -> None:
        self.side = side
        self.folder = folder
        self.mirrors = Mirrors(folder / "mirrors")
        self.mirrors.sweep()
        self.mirror: Mirror = self.mirrors.of(REPOSITORY)

    def access(self, account: Account = BOT, repository: str = REPOSITORY) -> GitAccess:
        return GitAccess(
            f"{self.side.url}/{repository}.git", "x-access-token", Secret(account.token, "test token")
        )

    async def commit(self, branch: str, **files: str | None) -> CommitSha:
        """Somebody commits straight to the remote."""
        names = {name.replace("__", "/"): text for name, text in files.items()}
        return CommitSha(str((await self.side.commit(REPOSITORY, branch, "ben-sample", names))["sha"]))

    async def base(self) -> CommitSha:
        """Fetch; where the default branch is."""
        await self.mirror.fetch(self.access())
        head = await self.mirror.head("main")
        assert head is not None
        return head

    async def workspace(self, base: CommitSha, name: str = "workspace") -> Workspace:
        """A sandbox's clone of `base`."""
        workspace = Workspace(self.folder / name)
        await workspace.run(sandbox_side.clone(str(workspace.path)), self.mirror.bundle(base))
        return workspace

    @asynccontextmanager
    async def collected(
        self,
        bundle: bytes,
        base: CommitSha,
        policy: Policy | None = None,
        limits: QuarantineLimits | None = None,
    ) -> AsyncIterator[Collected]:
        async with collect(self.mirror, once(bundle), base, policy=policy, limits=limits) as collected:
            yield collected

    async def turn(self, workspace: Workspace, base: CommitSha, message: str = "Change it") -> CommitSha:
        """Collect and commit what the workspace holds."""
        async with self.collected(await workspace.collect(base), base) as collected:
            commit = await commit_turn(
                self.mirror,
                collected,
                session=SESSION,
                parent=base,
                author=AUTHOR,
                committer=COMMITTER,
                message=message,
                date=1_700_000_000,
            )
        assert commit is not None
        return commit


class Workspace:
    """A folder in which the sandbox-side commands run for real."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def run(self, argv: Sequence[str], stdin: AsyncIterator[bytes] | None = None) -> bytes:
        """Run it as the sandbox's exec would; AssertionError with its words when it fails."""
        code, out, err = await self.attempt(argv, stdin)
        assert code == 0, err.decode()
        return out

    async def attempt(
        self, argv: Sequence[str], stdin: AsyncIterator[bytes] | None = None
    ) -> tuple[int, bytes, bytes]:
        data = b"" if stdin is None else b"".join([chunk async for chunk in stdin])
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=-1, stdout=-1, stderr=-1, env={"PATH": ENVIRONMENT["PATH"], "HOME": "/nonexistent"}
        )
        out, err = await process.communicate(data)
        assert process.returncode is not None
        return process.returncode, out, err

    async def collect(self, base: CommitSha) -> bytes:
        return await self.run(sandbox_side.collect(str(self.path), base))

    def git(self, *args: str | Path, stdin: bytes | None = None) -> str:
        return git(self.path, *args, stdin=stdin)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def bundle(self, tree: str, base: CommitSha, ref: str = "refs/threadsmith/turn") -> bytes:
        """A hand-made bundle of any tree, as a hostile sandbox would build it."""
        commit = self.git("commit-tree", tree, "-p", base, "-m", "turn")
        self.git("update-ref", ref, commit)
        command = ["git", "-C", str(self.path), "bundle", "create", "--quiet", "-", ref, f"^{base}"]
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True).stdout


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    side = GitHubSide(PlaygroundSettings(data=folder / "github"), [ADA, BEN, BOT])
    await side.start()
    here = World(side, folder)
    try:
        yield here
    finally:
        await here.mirrors.close()
        await side.close()
