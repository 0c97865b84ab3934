"""What may go wrong with git, told apart, and cleaned of every secret before anyone reads it."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterable
from enum import StrEnum
from urllib.parse import quote

from bot.domain import GitAccess
from bot.errors import GitError

log = logging.getLogger(__name__)

MAX_DETAIL = 600  # characters of git's own words that an error may carry


class FailureKind(StrEnum):
    """Why a git step did not work; the worker decides by it whether trying again can help."""

    MOVED = "moved"  # the remote branch is not where it was expected
    FORBIDDEN = "forbidden"  # known, but not allowed to
    UNAUTHENTICATED = "unauthenticated"  # the credential was not accepted
    NOT_FOUND = "not_found"  # the repository does not exist for this credential
    UNREACHABLE = "unreachable"  # network, server error: trying again may help
    TIMED_OUT = "timed_out"
    TOO_LARGE = "too_large"
    REFUSED = "refused"  # our own checks said no
    FAILED = "failed"


class GitFailure(GitError):
    """A git step that failed. `kind` is for the program, the text for people; no secret is in it."""

    def __init__(self, text: str, kind: FailureKind = FailureKind.FAILED) -> None:
        self.kind = kind
        super().__init__(text)


class Refused(GitFailure):
    """What a sandbox handed out breaks a rule; the text names the rule and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(text, FailureKind.REFUSED)


_TOKEN_SHAPES = re.compile(
    r"gh[a-z]_[A-Za-z0-9_]{10,}"
    r"|github_pat_[A-Za-z0-9_]+"
    r"|x-access-token:[^@\s]+"
    r"|(?<=://)[^/@\s]+@"  # any user:password@ of an address
    r"|(?i:authorization:)[^\r\n]*"
)


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without anything that looks like a token and without `secrets`, plain or encoded."""
    for secret in secrets:
        for form in _forms(secret):
            text = text.replace(form, "[secret]")
    return _TOKEN_SHAPES.sub("[secret]", text)


def _forms(secret: str) -> list[str]:
    if not secret:
        return []
    encoded = (base64.b64encode(f"{user}{secret}".encode()).decode() for user in ("", "x-access-token:"))
    return [secret, quote(secret, safe=""), *encoded]


# Git has no machine-readable reasons, so its English (LC_ALL=C) is read. The order matters: a server that
# says both "rejected" and "protected" means the latter.
_SIGNS: tuple[tuple[FailureKind, str], ...] = (
    (FailureKind.FORBIDDEN, r"protected branch|GH006|GH013|hook declined|refusing to allow"),
    (
        FailureKind.MOVED,
        r"stale info|non-fast-forward|fetch first|\[rejected\]|cannot lock ref|reference already exists",
    ),
    (
        FailureKind.FORBIDDEN,
        r"error: 403|Permission to .* denied|[Ww]rite access .* not granted|access denied",
    ),
    (
        FailureKind.UNAUTHENTICATED,
        r"Authentication failed|could not read (Username|Password)|error: 401|Invalid username",
    ),
    (
        FailureKind.NOT_FOUND,
        r"[Rr]epository .*not found|error: 404|does not appear to be a git repository|error: 30\d",
    ),
    (
        FailureKind.UNREACHABLE,
        r"[Cc]ould not resolve|[Ff]ailed to connect|[Cc]ouldn't connect|[Tt]imed? ?out"
        r"|Connection (reset|refused)|hung up|early EOF|error: (5\d\d|429)|SSL|RPC failed"
        r"|Operation too slow|Empty reply|Recv failure|unable to access",
    ),
)


def classify(stderr: str) -> FailureKind:
    """What git's words mean, FAILED when they mean nothing known."""
    return next((kind for kind, sign in _SIGNS if re.search(sign, stderr)), FailureKind.FAILED)


_ADVICE = {
    FailureKind.MOVED: "the remote branch has moved meanwhile. Ask again, and the next turn starts from "
    "where it is now.",
    FailureKind.FORBIDDEN: "the account may not do this. Give it write access to the repository, or take "
    "away the rule that stands against it.",
    FailureKind.UNAUTHENTICATED: "the token was not accepted. It was revoked, has expired or is wrong: put a "
    "new one in place.",
    FailureKind.NOT_FOUND: "the repository was not found with this account. Check its name and that the "
    "account may see it; if it was renamed, put the new name into the configuration.",
    FailureKind.UNREACHABLE: "the server could not be reached or did not answer properly. Try again in a "
    "moment.",
}


def remote_failure(what: str, stderr: str, access: GitAccess | None) -> GitFailure:
    """The error for a failed step that talked to a remote: what was tried, what to do, what git said."""
    said = scrub(stderr, [access.password.reveal()] if access else ())
    kind = classify(said)
    where = f" ({access.url})" if access else ""
    if access is not None and kind is FailureKind.UNAUTHENTICATED:
        # Where the token lies is for whoever runs the bot, not for the thread.
        log.warning("%s: the token from %s was not accepted", access.url, access.password.name)
    advice = _ADVICE.get(kind, "git gave up.")
    return GitFailure(f"{what}{where}: {advice} Git said: {last_words(said)}", kind)


def last_words(stderr: str) -> str:
    """The end of git's own words on one line, without the hints it gives to people at a terminal."""
    lines = (line.removeprefix("remote:").strip() for line in stderr.splitlines())
    kept = " / ".join(line for line in lines if line and not line.startswith("hint:"))
    printable = "".join(c if c.isprintable() else " " for c in kept)
    return printable[-MAX_DETAIL:] if printable else "nothing"
