"""What changes a bare repository from our side: creating it, commits, merges, references."""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.playground.github.accounts import Identity
from bot.playground.github.errors import GitHubSideError
from bot.playground.github.git import Git, GitError
from bot.playground.github.repository import Repository

_FORBIDDEN_PARTS = {"", ".", "..", ".git"}
_CONFIG = """
[http]
	receivepack = true
[uploadpack]
	allowFilter = true
	allowAnySHA1InWant = true
[receive]
	maxInputSize = 256m
	autogc = false
	; as on GitHub, pull request heads can be fetched but never pushed
	hideRefs = refs/pull
[transfer]
	; where commits live for the moment before a branch takes them
	hideRefs = refs/playground
[core]
	hooksPath = /dev/null
	quotePath = false
; a background gc would outlive the playground
[gc]
	auto = 0
[maintenance]
	auto = false
"""


@dataclass(frozen=True, slots=True)
class Signed:
    """Who and when of one side of a commit; `at` is git's raw form, e.g. `1761984000 +0000`."""

    who: Identity
    at: str

    def __str__(self) -> str:
        name = "".join(c for c in self.who.name if c not in "<>\n\0")
        email = "".join(c for c in self.who.email if c not in "<> \n\0")
        return f"{name} <{email}> {self.at}"


@dataclass(frozen=True, slots=True)
class Change:
    """The content of one path; None removes it. `mode` None keeps the mode the path has."""

    path: str
    content: bytes | None
    mode: str | None = None


async def create_repository(path: Path, stream: bytes) -> None:
    """Make a bare repository out of a fast-import stream: wholly, or (after a crash) not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.parent / f".new-{uuid.uuid4().hex}"
    git = Git(new)
    try:
        # Without --template there are no hooks to begin with; the settings keep later ones from running.
        await git("init", "--quiet", "--bare", "--template=", "--initial-branch=main")
        with (new / "config").open("a", encoding="utf-8") as config:
            config.write(_CONFIG)
        await git("fast-import", "--quiet", stdin=stream)
        new.rename(path)
    finally:
        shutil.rmtree(new, ignore_errors=True)


async def write_commit(
    repository: Repository,
    parents: Sequence[str],
    changes: Sequence[Change],
    message: str,
    author: Signed,
    committer: Signed,
) -> str:
    """Make a commit on top of `parents[0]` without moving any branch; returns its id."""
    modes = await _modes(repository, parents[0], changes)
    temporary = f"refs/playground/{uuid.uuid4().hex}"
    stream = commit_stream(temporary, parents, changes, message, author, committer, modes)
    await repository.git("fast-import", "--quiet", "--date-format=raw", stdin=stream)
    sha = (await repository.git("rev-parse", temporary)).decode().strip()
    await repository.git("update-ref", "-d", temporary)
    return sha


async def _modes(repository: Repository, parent: str, changes: Sequence[Change]) -> dict[str, str]:
    """What is executable stays so, unless the change says otherwise."""
    output = await repository.git(
        "ls-tree", "-z", "--full-tree", parent, "--", *(change.path for change in changes)
    )
    lines = [line.split("\t", 1) for line in output.decode("utf-8", "replace").split("\0") if line]
    return {path: facts.split()[0] for facts, path in lines if facts.split()[1] == "blob"}


def commit_stream(
    reference: str,
    parents: Sequence[str],
    changes: Sequence[Change],
    message: str,
    author: Signed,
    committer: Signed,
    modes: Mapping[str, str],
) -> bytes:
    """One commit in fast-import's language."""
    text = message.encode()
    head = f"commit {reference}\nauthor {author}\ncommitter {committer}\ndata {len(text)}\n"
    parts = [head.encode(), text, b"\n"]
    parts += [f"{'merge' if at else 'from'} {parent}\n".encode() for at, parent in enumerate(parents)]
    for change in changes:
        path = _quoted(change.path)
        if change.content is None:
            parts.append(f"D {path}\n".encode())
            continue
        mode = change.mode if change.mode is not None else modes.get(change.path, "100644")
        parts += [f"M {mode} inline {path}\ndata {len(change.content)}\n".encode(), change.content, b"\n"]
    return b"".join([*parts, b"\n"])


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def checked_path(path: str) -> str:
    """A path that git can hold below the top folder. Raises GitHubSideError (422) otherwise."""
    parts = path.split("/")
    if any(part.lower() in _FORBIDDEN_PARTS for part in parts) or any(
        ord(c) < 32 or "\ud800" <= c <= "\udfff" for c in path
    ):
        raise GitHubSideError(422, f"path is not valid: {path!r}")
    return path


async def merge_commit(
    repository: Repository, tree: str, parents: Sequence[str], message: str, author: Signed, committer: Signed
) -> str:
    """A commit of a finished tree, without moving any branch; returns its id."""
    options = [option for parent in parents for option in ("-p", parent)]
    output = await repository.git(
        "commit-tree",
        tree,
        *options,
        stdin=message.encode(),
        environment={
            "GIT_AUTHOR_NAME": author.who.name,
            "GIT_AUTHOR_EMAIL": author.who.email,
            "GIT_AUTHOR_DATE": author.at,
            "GIT_COMMITTER_NAME": committer.who.name,
            "GIT_COMMITTER_EMAIL": committer.who.email,
            "GIT_COMMITTER_DATE": committer.at,
        },
    )
    return output.decode().strip()


async def move_reference(repository: Repository, name: str, new: str, old: str | None) -> None:
    """Point a reference at `new` if it still is at `old` (None: does not exist yet, "": whatever it is).

    Raises GitHubSideError (409) when somebody else was faster, (422) for a name git refuses.
    """
    if "\0" in name or (await repository.git.run("check-ref-format", name))[0] != 0:
        raise GitHubSideError(422, f"Reference name is not valid: {name!r}")
    expected = [] if old == "" else ["0" * 40 if old is None else old]
    try:
        await repository.git("update-ref", name, new, *expected)
    except GitError as error:
        raise GitHubSideError(409, f"Reference {name} was changed by somebody else; try again") from error


async def delete_reference(repository: Repository, name: str) -> None:
    await repository.git("update-ref", "-d", name)
