"""One bare repository: everything that is only read from it."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bot.playground.github.accounts import Identity
from bot.playground.github.diffs import FileDiff, parse_diff
from bot.playground.github.git import Git, GitError

T = TypeVar("T")

_LOG_FORMAT = "%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%cn%x00%ce%x00%cd%x00%B"
_LOG_FIELDS = 10
_DATE = "--date=format-local:%Y-%m-%dT%H:%M:%SZ"
_DIFF = ("--no-color", "--no-ext-diff", "--no-textconv", "--find-renames", "--full-index")
_CACHED = 256
_UNSAFE_REVISION = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^-|^$|\.lock$|/$")


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit; times are UTC, ISO 8601."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Identity
    authored_at: str
    committer: Identity
    committed_at: str
    message: str

    @property
    def subject(self) -> str:
        return self.message.split("\n", 1)[0]


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a tree. `kind` is blob, tree or commit (a submodule); `size` is in bytes, 0 for trees."""

    mode: str
    kind: str
    sha: str
    size: int
    path: str

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


class Repository:
    """Read access to a bare repository. What a pair of commit ids determines is remembered."""

    def __init__(self, full_name: str, path: Path) -> None:
        self.full_name = full_name
        self.owner, self.name = full_name.split("/")
        self.path = path
        self.git = Git(path)
        self.lock = asyncio.Lock()
        self._known: OrderedDict[tuple[str, ...], Any] = OrderedDict()

    async def _remember(self, key: tuple[str, ...], ask: Callable[[], Awaitable[T]]) -> T:
        if key in self._known:
            self._known.move_to_end(key)
            known: T = self._known[key]
            return known
        answer = await ask()
        self._known[key] = answer
        if len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return answer

    async def default_branch(self) -> str:
        head = await self.git("symbolic-ref", "--short", "HEAD")
        return head.decode().strip()

    async def branches(self) -> dict[str, str]:
        """Branch name to commit id, by name."""
        return {
            name.removeprefix("refs/heads/"): sha for name, sha in (await self.refs("refs/heads/")).items()
        }

    async def refs(self, prefix: str) -> dict[str, str]:
        """Full reference name to object id for all below `prefix` (ends in a slash)."""
        listing = await self.git("for-each-ref", "--format=%(refname) %(objectname)", prefix)
        lines = listing.decode("utf-8", "replace").splitlines()
        return {name: sha for name, _, sha in (line.rpartition(" ") for line in lines)}

    async def resolve(self, revision: str, kind: str = "commit") -> str | None:
        """The object id of a branch, tag or (short) id, or None when there is no such thing."""
        if _UNSAFE_REVISION.search(revision):
            return None
        code, output, _ = await self.git.run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{{kind}}}"
        )
        return output.decode().strip().splitlines()[-1] if code == 0 else None

    async def commit(self, sha: str) -> Commit:
        """One commit by its full id."""
        return (await self.log(sha, limit=1))[0]

    async def log(self, *revisions: str, limit: int, skip: int = 0, path: str = "") -> list[Commit]:
        """Commits reachable from `revisions` (ids, or `^id` to leave out), newest first."""
        where = ["--", path] if path else ["--"]
        output = await self.git(
            "log",
            "-z",
            f"--format=tformat:{_LOG_FORMAT}",
            _DATE,
            f"--max-count={limit}",
            f"--skip={skip}",
            *revisions,
            *where,
        )
        fields = output.decode("utf-8", "replace").split("\0")
        return [
            _commit(fields[at : at + _LOG_FIELDS])
            for at in range(0, len(fields) - _LOG_FIELDS + 1, _LOG_FIELDS)
        ]

    async def count(self, *revisions: str, path: str = "") -> int:
        """How many commits `log` would list without a limit."""
        where = ["--", path] if path else ["--"]
        return int(await self.git("rev-list", "--count", *revisions, *where))

    async def merge_base(self, one: str, other: str) -> str | None:
        """The best common ancestor, or None for unrelated histories."""

        async def ask() -> str | None:
            code, output, _ = await self.git.run("merge-base", one, other)
            return output.decode().strip() if code == 0 else None

        return await self._remember(("merge-base", one, other), ask)

    async def is_ancestor(self, old: str, new: str) -> bool:
        code, _, errors = await self.git.run("merge-base", "--is-ancestor", old, new)
        if code not in (0, 1):
            raise GitError("merge-base", code, errors)
        return code == 0

    async def merged_tree(self, base: str, head: str) -> str | None:
        """The tree of merging `head` into `base`, made by git, or None when they conflict."""

        async def ask() -> str | None:
            code, output, errors = await self.git.run(
                "merge-tree", "--write-tree", "--no-messages", base, head
            )
            if code not in (0, 1):
                raise GitError("merge-tree", code, errors)
            return output.decode().strip() if code == 0 else None

        return await self._remember(("merge-tree", base, head), ask)

    async def diff(self, old: str, new: str) -> list[FileDiff]:
        """What changed from one commit or tree to another, file by file."""

        async def ask() -> list[FileDiff]:
            raw, patch = await asyncio.gather(
                self.git("diff", "--raw", "-z", *_DIFF, old, new), self.patch(old, new)
            )
            return parse_diff(raw, patch)

        return await self._remember(("diff", old, new), ask)

    async def patch(self, old: str, new: str) -> bytes:
        """The same as one unified diff, byte for byte."""
        return await self.git("diff", *_DIFF, old, new)

    async def listing(self, revision: str, path: str = "", recursive: bool = False) -> list[Entry]:
        """The names below a folder, or the one name `path` itself when it is a file. Empty when absent."""
        options = ["-r", "-t"] if recursive else []
        output = await self.git(
            "ls-tree", "-z", "-l", "--full-tree", *options, revision, *(["--", path] if path else [])
        )
        return [_entry(line) for line in output.decode("utf-8", "replace").split("\0") if line]

    async def empty_tree(self) -> str:
        """The tree without files: what the first commit is compared with."""
        return (await self.git("mktree")).decode().strip()

    async def blob(self, sha: str) -> bytes:
        return await self.git("cat-file", "blob", sha)


def _commit(fields: list[str]) -> Commit:
    sha, tree, parents, name, email, at, committer, committer_email, committed_at, message = fields
    return Commit(
        sha=sha.strip("\n"),
        tree=tree,
        parents=tuple(parents.split()),
        author=Identity(name, email),
        authored_at=at,
        committer=Identity(committer, committer_email),
        committed_at=committed_at,
        message=message.rstrip("\n"),
    )


def _entry(line: str) -> Entry:
    facts, path = line.split("\t", 1)
    mode, kind, sha, size = facts.split()
    return Entry(mode, kind, sha, 0 if size == "-" else int(size), path)
