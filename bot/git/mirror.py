"""The bare clone of a repository on the host: fetched with a read credential, the source of every bundle."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from pathlib import Path

from bot.domain import CommitSha, GitAccess
from bot.errors import GitError
from bot.git.command import Git
from bot.git.failures import FailureKind, GitFailure
from bot.git.process import Bounds
from storage.creation import flush_folder

BASE_REF = "refs/threadsmith/base"  # the one ref of every bundle that goes into a sandbox
SESSION_REFS = "refs/threadsmith/sessions/"  # our own commits, kept from being pruned
MANY_PACKS = 40  # each fetch and each turn leaves one; beyond this they are rolled up

_SHA = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[A-Za-z0-9_.-]{1,100}")
_BRANCH = re.compile(
    r"(?!.*(//|\.\.|@\{|\.lock(/|$)|/\.|\.$|/$))[^\s~^:?*\[\\\x00-\x20\x7f./-][^\s~^:?*\[\\\x00-\x20\x7f]{0,199}"
)


def checked_sha(text: str) -> CommitSha:
    """`text` as a full commit name, GitError when it is none. Keeps options and ranges out of arguments."""
    if not _SHA.fullmatch(text):
        raise GitError(f"{text[:80]!r} is not a full commit name of 40 hexadecimal digits.")
    return CommitSha(text)


def checked_branch(name: str) -> str:
    """`name` when it may be a branch (the rules of `git check-ref-format`), else GitError."""
    if not _BRANCH.fullmatch(name):
        raise GitError(f"{name[:80]!r} cannot be the name of a branch.")
    return name


class Mirror:
    """One repository's bare clone at `path`; made by the first fetch. `scratch` is for throwaway folders."""

    def __init__(self, path: Path, *, git: Git | None = None, fetch_seconds: float = 1800) -> None:
        self.path = path
        self.scratch = path.parent / f"{path.name}.scratch"
        self.git = Git() if git is None else git
        self._remote = Bounds(seconds=fetch_seconds)
        self._fetches: dict[GitAccess, asyncio.Task[None]] = {}
        self._tidying = asyncio.Lock()

    # -- talking to the remote -------------------------------------------------------------------

    async def fetch(self, access: GitAccess) -> None:
        """Bring all branches to where the remote has them, all or none. Simultaneous calls share one fetch.

        A call that joins a running fetch sees the remote as it was when that one began.
        """
        task = self._fetches.get(access)
        if task is None:
            task = asyncio.create_task(self._fetch(access), name=f"fetch {self.path.name}")
            self._fetches[access] = task
            task.add_done_callback(lambda done: self._forget(access, done))
        await asyncio.shield(task)

    async def default_branch(self, access: GitAccess) -> str:
        """The branch that the remote's HEAD names. GitError when the remote has none."""
        for line in await self._ls_remote(access, "HEAD"):
            if line.startswith("ref: refs/heads/"):
                return checked_branch(line.split("\t")[0].removeprefix("ref: refs/heads/"))
        raise GitError(f"{access.url} is empty: push a first commit to it, then ask again.")

    async def remote_head(self, access: GitAccess, branch: str) -> CommitSha | None:
        """Where the remote has `branch` right now, None when it has no such branch."""
        ref = f"refs/heads/{checked_branch(branch)}"
        for line in await self._ls_remote(access, ref):
            sha, _, name = line.partition("\t")
            if name == ref:
                return checked_sha(sha)
        return None

    async def _ls_remote(self, access: GitAccess, pattern: str) -> list[str]:
        args = ("ls-remote", "--symref", "--", access.url, pattern)
        return (await self.git.run(*args, what="Reading the repository", access=access)).text.splitlines()

    # -- reading what is here --------------------------------------------------------------------

    async def head(self, branch: str) -> CommitSha | None:
        """Where the last fetch saw `branch`, None when it saw none."""
        if not self.path.exists():
            return None
        ref = f"refs/heads/{checked_branch(branch)}"
        output = await self._read("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", ok=(0, 1))
        return checked_sha(output) if output else None

    async def contains(self, sha: CommitSha) -> bool:
        """Is this commit here?"""
        if not self.path.exists():
            return False
        # A batch and not `cat-file -e`, whose exit code does not tell "missing" from "broken".
        query = f"{checked_sha(sha)}\n".encode()
        output = await self.git.run("cat-file", "--batch-check", git_dir=self.path, stdin=query)
        return output.text.split()[1:2] == ["commit"]

    async def is_ancestor(self, ancestor: CommitSha, descendant: CommitSha) -> bool:
        """Can `descendant` be reached from `ancestor` by going forward only? Both must be here."""
        args = ("merge-base", "--is-ancestor", checked_sha(ancestor), checked_sha(descendant))
        output = await self.git.run(*args, git_dir=self.path, ok=(0, 1))
        return output.code == 0

    async def fork_point(self, one: CommitSha, other: CommitSha) -> CommitSha:
        """The newest commit that both build on; `one` itself where they share nothing. Both must be here."""
        args = ("merge-base", checked_sha(one), checked_sha(other))
        output = await self._read(*args, ok=(0, 1))
        return checked_sha(output) if output else one

    async def bundle(
        self, want: CommitSha, have: Sequence[CommitSha] = (), ref: str = BASE_REF
    ) -> AsyncGenerator[bytes, None]:
        """A git bundle with `want` as `ref`, for someone who has `have`, in chunks.

        Commits of `have` that are not here are left out. Close the generator when it is not read to its end.
        """
        known = [sha for sha in have if await self.contains(sha)]
        if not await self.contains(want):
            raise GitError(f"The commit {want[:12]} is not in the mirror; fetch first.")
        # The header is a few lines, so it is written here: `git bundle create` needs a real ref of that name.
        prerequisites = "".join(f"-{sha} \n" for sha in known)
        yield f"# v2 git bundle\n{prerequisites}{want} {ref}\n\n".encode()
        revisions = "\n".join([want, *(f"^{sha}" for sha in known), ""]).encode()
        args = ("pack-objects", "--revs", "--thin", "--stdout", "--delta-base-offset", "--quiet")
        bounds = Bounds(seconds=self._remote.seconds, output_bytes=1 << 40)
        pack = self.git.stream(
            *args, git_dir=self.path, stdin=revisions, what="Packing the repository", bounds=bounds
        )
        try:
            async for chunk in pack:
                yield chunk
        finally:
            await pack.aclose()

    # -- keeping our own commits -----------------------------------------------------------------

    async def adopt(self, source: Path, commit: CommitSha, parent: CommitSha, ref: str) -> None:
        """Copy one checked commit from another repository of ours and keep it under `ref`.

        Only what the commit itself needs is copied; whatever else lies in `source` stays there.
        """
        revisions = f"{checked_sha(commit)}\n^{checked_sha(parent)}\n".encode()
        with tempfile.TemporaryFile(dir=source) as pack:
            args = ("pack-objects", "--revs", "--thin", "--stdout", "--delta-base-offset", "--quiet")
            async for chunk in self.git.stream(*args, git_dir=source, stdin=revisions):
                pack.write(chunk)
            pack.flush()
            pack.seek(0)
            await self.git.run(
                "index-pack", "--stdin", "--fix-thin", "--strict", git_dir=self.path, stdin=pack
            )
        await self.git.run("update-ref", ref, commit, git_dir=self.path)
        # Its push is promised next, and git flushes what is in files, but not their names.
        await asyncio.to_thread(_flush_names, self.path, self.path / "objects/pack", (self.path / ref).parent)

    async def tidy(self) -> None:
        """Roll many packs up into few. Nothing is ever pruned, so it may run beside everything else."""
        async with self._tidying:
            packs = self.path.glob("objects/pack/*.pack")
            if sum(1 for _ in packs) > MANY_PACKS:
                args = ("repack", "--geometric=2", "-d", "--quiet")
                await self.git.run(*args, git_dir=self.path, bounds=self._remote)

    async def close(self) -> None:
        """Stop what is still being fetched."""
        for task in list(self._fetches.values()):
            task.cancel()
            with suppress(asyncio.CancelledError, GitError):
                await task

    # -- inside ----------------------------------------------------------------------------------

    async def _fetch(self, access: GitAccess) -> None:
        await self._ready()
        try:
            await self._fetch_once(access, "--atomic")
        except GitFailure as error:
            if error.kind is not FailureKind.MOVED:
                raise
            # A branch `a` that became `a/b` cannot change in one transaction; without one it can.
            await self._fetch_once(access)
        await self.tidy()

    async def _fetch_once(self, access: GitAccess, *options: str) -> None:
        flags = ("--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--quiet")
        await self.git.run(
            *(
                "fetch",
                *flags,
                "--no-show-forced-updates",
                *options,
                "--",
                access.url,
                "+refs/heads/*:refs/heads/*",
            ),
            git_dir=self.path,
            what="Fetching the repository",
            access=access,
            bounds=self._remote,
        )

    async def _ready(self) -> None:
        """Make the empty repository aside and move it into place, so that half of one is never seen."""
        if self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=self.path.parent))
        await self.git.run("init", "--quiet", "--bare", "--template=", str(aside))
        await asyncio.to_thread(_flush_all, aside)  # git does not, and would never mend what a cut left of it
        _put(aside, self.path)
        await asyncio.to_thread(_flush_names, self.path.parent.parent, self.path)

    async def _read(self, *args: str, ok: tuple[int, ...] = (0,)) -> str:
        return (await self.git.run(*args, git_dir=self.path, ok=ok)).text

    def _forget(self, access: GitAccess, task: asyncio.Task[None]) -> None:
        self._fetches.pop(access, None)
        if not task.cancelled():
            task.exception()  # seen, even when every caller has gone away meanwhile


def _flush_all(folder: Path) -> None:
    """All files below a folder, and all names, are on the disk when this returns."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            flush_folder(path)
    flush_folder(folder)


def _flush_names(top: Path, *folders: Path) -> None:
    """The names in these folders, and in those around them up to `top`, are on the disk when this returns."""
    around = (each for folder in folders for each in (folder, *folder.parents))
    for folder in dict.fromkeys(each for each in around if each.is_relative_to(top)):
        flush_folder(folder)


def _put(aside: Path, path: Path) -> None:
    """Move a folder into place, or drop it when another one was there first."""
    try:
        aside.rename(path)
    except OSError:
        shutil.rmtree(aside)
        if not path.exists():
            raise


class Mirrors:
    """All mirrors below one folder (0700), one object per repository."""

    def __init__(self, folder: Path, *, git: Git | None = None) -> None:
        self._folder = folder
        self._git = Git() if git is None else git
        self._mirrors: dict[str, Mirror] = {}

    def of(self, repository: str) -> Mirror:
        """The mirror of `owner/name`."""
        if not _NAME.fullmatch(repository) or repository.endswith(("/.", "/..")):
            raise GitError(f"{repository[:80]!r} is not a repository name; expected owner/name.")
        if repository not in self._mirrors:
            self._mirrors[repository] = Mirror(self._folder / f"{repository}.git", git=self._git)
        return self._mirrors[repository]

    def sweep(self) -> None:
        """Delete what a crash left half done. For the holder of the data folder's lock, at start."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)
        for pattern in ("*/*.git.scratch", "*/.new-*"):
            for leftover in self._folder.glob(pattern):
                shutil.rmtree(leftover)
        for mirror in self._folder.glob("*/*.git"):
            for lock in mirror.rglob("*.lock"):  # of a git that was killed: in the way for ever
                lock.unlink(missing_ok=True)

    async def close(self) -> None:
        for mirror in self._mirrors.values():
            await mirror.close()
