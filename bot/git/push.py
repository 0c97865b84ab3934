"""Bringing one commit to its branch on the remote: never by force, and done only when read back."""

from __future__ import annotations

import re
import unicodedata

from bot.domain import CommitSha, GitAccess, SessionId
from bot.errors import GitError
from bot.git.failures import FailureKind, GitFailure, Refused
from bot.git.mirror import Mirror, checked_branch, checked_sha
from bot.git.process import Bounds

BRANCH_PREFIX = "threadsmith/"
SLUG_CHARACTERS = 40
_PUSH = Bounds(seconds=600)


def branch_name(session: SessionId, text: str, number: int = 1) -> str:
    """`threadsmith/<short id>-<slug>`, from the second branch of a session on with `-2`, `-3`, … at the end.

    Give the same `text` for all branches of a session. Only letters, digits and dashes get through, so the
    name is valid whatever the text holds.
    """
    plain = unicodedata.normalize("NFKD", text[:1000]).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    slug = ""
    for word in words:
        longer = f"{slug}-{word}"
        if len(longer) > SLUG_CHARACTERS:
            break
        slug = longer
    suffix = f"-{number}" if number > 1 else ""
    return f"{BRANCH_PREFIX}{session[:8]}{slug}{suffix}"


async def push(
    mirror: Mirror, access: GitAccess, commit: CommitSha, branch: str, *, expected: CommitSha | None
) -> None:
    """Move the remote `branch` from `expected` (None: it must not exist yet) to `commit`, and read it back.

    A branch that already is at `commit` is success, so after a crash or a lost reply it may be called again.
    GitFailure tells by its kind whether the branch moved, the account may not, or nothing was reachable.
    """
    _check_branch(branch)
    there = await mirror.remote_head(access, branch)
    if there == commit:
        return
    if there != expected:
        raise _moved(branch, there, expected)
    # A lease alone would allow going backwards, which is ruled out here; it guards the moment in between.
    if expected is not None and not await mirror.is_ancestor(expected, commit):
        raise Refused(
            f"The new commit does not build on {expected[:12]}, where {branch} is; it is not pushed."
        )
    await _push(mirror, access, commit, branch, expected)
    there = await mirror.remote_head(access, branch)
    if there != commit:
        raise _moved(branch, there, commit)


async def _push(
    mirror: Mirror, access: GitAccess, commit: CommitSha, branch: str, expected: CommitSha | None
) -> None:
    ref = f"refs/heads/{branch}"
    lease = f"--force-with-lease={ref}:{expected or ''}"
    args = ("push", "--quiet", "--no-verify", "--no-follow-tags", "--atomic", lease, "--")
    try:
        await mirror.git.run(
            *args,
            *(access.url, f"{checked_sha(commit)}:{ref}"),
            git_dir=mirror.path,
            what=f"Pushing {branch}",
            access=access,
            bounds=_PUSH,
        )
    except GitFailure as error:
        # The reply may be lost and the push done all the same: the remote knows.
        lost = error.kind in (FailureKind.UNREACHABLE, FailureKind.TIMED_OUT, FailureKind.MOVED)
        if not lost or await mirror.remote_head(access, branch) != commit:
            raise


def _check_branch(branch: str) -> None:
    """Only branches of ours are ever written, whatever an agent says."""
    checked_branch(branch)
    if not branch.startswith(BRANCH_PREFIX):
        raise GitError(f"Only branches below {BRANCH_PREFIX} are pushed, not {branch!r}.")


def _moved(branch: str, there: CommitSha | None, expected: CommitSha | None) -> GitFailure:
    now = "gone" if there is None else f"at {there[:12]}"
    then = "absent" if expected is None else f"at {expected[:12]}"
    return GitFailure(
        f"{branch} is {now} on the remote, but was expected to be {then}: someone changed it. "
        "Ask again, and the next turn starts from what is there now.",
        FailureKind.MOVED,
    )
