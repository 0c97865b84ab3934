"""The one commit of a turn, made on the host from a checked tree, and what it changes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from bot.domain import CommitSha, FileChange, GitIdentity, SessionId
from bot.errors import GitError
from bot.git.failures import FailureKind, GitFailure
from bot.git.mirror import SESSION_REFS, Mirror, checked_sha
from bot.git.process import Bounds, KernelLimits
from bot.git.quarantine import Collected

MESSAGE_CHARACTERS = 8000
SUBJECT_CHARACTERS = 120
_LOOK = Bounds(seconds=60, kernel=KernelLimits())
_SESSION = re.compile(r"[A-Za-z0-9-]{1,64}")
_TRAILER = re.compile(
    r"(?im)^[^\S\n]*(?:co-authored-by|signed-off-by|reviewed-by|acked-by|approved-by|skip-checks|request-checks)"
    r"\s*:.*\n?"
)
# What a code host acts upon when it reads a message: issues to close, people to call, checks to leave out.
_REFERENCE = re.compile(
    r"(?i)(#|(?<![a-z0-9])gh-|/(?:issues|pull|pulls|discussions)/)(?=\d)|(?<![a-z0-9])@(?=\w)"
)
_NO_CHECKS = re.compile(r"(?i)\[([^\[\]\n]*(?:skip|\bno[\s_-]*(?:ci|actions))[^\[\]\n]*)\]")
_NO_CI = re.compile(r"(?i)(?<!\*)\*+\s*(no_ci)\s*\*+")
_STATUS = {"A": "added", "D": "deleted", "R": "renamed"}


async def commit_turn(
    mirror: Mirror,
    collected: Collected,
    *,
    session: SessionId,
    parent: CommitSha,
    author: GitIdentity,
    committer: GitIdentity,
    co_authors: Sequence[GitIdentity] = (),
    message: str,
    date: float,
) -> CommitSha | None:
    """Commit the collected tree on `parent` and keep it in the mirror; None when it changes nothing.

    `date` is in seconds since the epoch. The same arguments give the same commit, so a turn that is finished
    again after a crash ends in the same place; give a time that was stored, not the present one.
    """
    if parent != collected.base:
        # The tree holds none of what came between, so the commit would undo it.
        raise GitError(f"The turn worked on {collected.base[:12]} and cannot be committed on {parent[:12]}.")
    if not _SESSION.fullmatch(session):
        raise GitError(f"{session[:80]!r} is not a session id.")
    if collected.tree == await _tree(mirror, parent):
        return None
    when = f"@{int(date)} +0000"
    env = {**_identity("AUTHOR", author, when), **_identity("COMMITTER", committer, when)}
    text = commit_message(message, [one for one in co_authors if one.email != author.email])
    output = await mirror.git.run(
        *("commit-tree", collected.tree, "-p", checked_sha(parent)),
        git_dir=collected.git_dir,
        stdin=text.encode(),
        env=env,
        what="Making the commit",
    )
    commit = checked_sha(output.text)
    await mirror.adopt(collected.git_dir, commit, parent, f"{SESSION_REFS}{session}")
    return commit


def commit_message(text: str, co_authors: Sequence[GitIdentity]) -> str:
    """A clean message: bounded, no control characters, no trailers but our own `Co-authored-by`.

    The words are an agent's, so nothing in them may close an issue, call a person or leave out checks.
    """
    kept = "".join(
        c
        for c in text.replace("\r\n", "\n")
        if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs")
    )
    kept = "\n".join(kept.splitlines())  # whatever else ends a line, before lines are judged
    lines = _harmless(_TRAILER.sub("", kept)).strip().splitlines() or ["Changes"]
    subject = _short(lines[0].strip(), SUBJECT_CHARACTERS)
    body = _short("\n".join(line.rstrip() for line in lines[1:]).strip(), MESSAGE_CHARACTERS)
    trailers = "\n".join(dict.fromkeys(f"Co-authored-by: {_name(one)} <{_email(one)}>" for one in co_authors))
    return "\n\n".join(part for part in (subject, body, trailers) if part) + "\n"


def _harmless(text: str) -> str:
    """Readable still: `# 1` for an issue, `@ name` for a person, `(skip ci)` for an order to the checks."""
    text = _NO_CI.sub(r"(\1)", _NO_CHECKS.sub(r"(\1)", text))
    return _REFERENCE.sub(lambda found: f"{found[0]} ", text)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _identity(role: str, identity: GitIdentity, when: str) -> dict[str, str]:
    parts = {"NAME": _name(identity), "EMAIL": _email(identity), "DATE": when}
    return {f"GIT_{role}_{key}": value for key, value in parts.items()}


def _name(identity: GitIdentity) -> str:
    """The name without what would end it in a commit; git refuses an empty one, so the e-mail stands in."""
    plain = "".join(
        c for c in identity.name if c not in "<>" and unicodedata.category(c) not in ("Cc", "Cf", "Cs")
    )
    return plain.strip(" .,:;\"'")[:100] or _email(identity).partition("@")[0]


def _email(identity: GitIdentity) -> str:
    if not re.fullmatch(r"[^\s<>\x00-\x1f\x7f]{1,254}", identity.email):
        raise GitError(f"{identity.email[:80]!r} cannot be the e-mail of a commit.")
    return identity.email


async def _tree(mirror: Mirror, commit: CommitSha) -> str:
    name = f"{checked_sha(commit)}^{{commit}}^{{tree}}"
    return (await mirror.git.run("rev-parse", "--verify", name, git_dir=mirror.path)).text


# -- what it changes -----------------------------------------------------------------------------


async def tree_changes(mirror: Mirror, collected: Collected) -> list[FileChange]:
    """As `file_changes`, for what a turn left and is not committed yet."""
    return await _changes(mirror, collected.git_dir, collected.base, collected.tree)


async def file_changes(mirror: Mirror, parent: CommitSha, commit: CommitSha) -> list[FileChange]:
    """Every file that differs, renames seen as one, sorted as git does. Binary files count no lines."""
    return await _changes(mirror, mirror.path, checked_sha(parent), checked_sha(commit))


async def _changes(mirror: Mirror, git_dir: Path, before: str, after: str) -> list[FileChange]:
    args = ("diff-tree", "-r", "-z", "-M", "--raw", "--numstat", "--no-ext-diff", "--no-textconv")
    output = await mirror.git.run(
        *args, before, after, git_dir=git_dir, bounds=_LOOK, what="Listing the changes"
    )
    return list(parse_changes(output.stdout))


def parse_changes(output: bytes) -> Iterator[FileChange]:
    """The changes in `git diff-tree -r -z -M --raw --numstat`: first all raw records, then all counts."""
    fields = iter(output.decode("utf-8", "replace").split("\0"))
    statuses: dict[str, str] = {}
    for field in fields:
        if field.startswith(":"):
            letter = field.split()[-1][:1]
            path = next(fields)
            statuses[next(fields) if letter == "R" else path] = _STATUS.get(letter, "modified")
        elif field:
            added, deleted, path = field.split("\t", 2)
            if not path:  # a rename: the old and the new name follow
                next(fields)
                path = next(fields)
            yield FileChange(path, statuses.get(path, "modified"), _count(added), _count(deleted))


def _count(text: str) -> int:
    return 0 if text == "-" else int(text)


async def diff(
    mirror: Mirror, parent: CommitSha, commit: CommitSha, *, max_bytes: int = 1024 * 1024
) -> tuple[str, bool]:
    """The change as a patch for reading, and whether it was cut at `max_bytes`."""
    bounds = Bounds(seconds=_LOOK.seconds, output_bytes=max_bytes + 256 * 1024, kernel=_LOOK.kernel)
    args = ("diff-tree", "-r", "-p", "-M", "--no-color", "--no-ext-diff", "--no-textconv")
    stream = mirror.git.stream(
        *args, checked_sha(parent), checked_sha(commit), git_dir=mirror.path, bounds=bounds
    )
    kept = bytearray()
    try:
        async for chunk in stream:
            kept += chunk
            if len(kept) > max_bytes:
                break
    except GitFailure as error:
        if error.kind is not FailureKind.TOO_LARGE:
            raise
    finally:
        await stream.aclose()
    return bytes(kept[:max_bytes]).decode("utf-8", "replace"), len(kept) > max_bytes
