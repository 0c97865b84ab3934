"""What a tree changes against its base, and which changes are refused."""

from __future__ import annotations

import io
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bot.domain import CommitSha
from bot.git.command import Git
from bot.git.failures import FailureKind, GitFailure, Refused
from bot.git.process import Bounds, KernelLimits

MIB = 1024 * 1024
GITLINK, SYMLINK = "160000", "120000"
PATH_BYTES = 1024
LINK_BYTES = 4096
LISTING_MIB = 1024
# What turns text around, takes no room or ends a line. Joiners stay: words and emoji need them.
_HIDING = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
# Git reads none of these through a link, but other programs may.
_GITS_OWN = frozenset({".gitattributes", ".gitignore", ".gitmodules", ".mailmap"})


@dataclass(frozen=True, slots=True)
class Policy:
    """What a turn may change. Workflows run with the repository's secrets: by default they need a person."""

    files: int = 5000
    file_mib: int = 25
    total_mib: int = 256
    allow_workflows: bool = False
    allow_submodules: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One changed path of a tree: its new mode and object, `status` as git's letter (A, M, D, T)."""

    path: str
    mode: str
    old_mode: str
    oid: str
    status: str


@dataclass(frozen=True, slots=True)
class Found:
    count: int
    outside_links: tuple[str, ...]


async def inspect_changes(
    git: Git, git_dir: Path, base: CommitSha, tree: str, policy: Policy, bounds: Bounds
) -> Found:
    """Look at every changed path. Refused with the rule, the path and what to do when one is not allowed."""
    entries = await _changes(git, git_dir, base, tree, policy, bounds)
    for entry in entries:
        check_entry(entry, policy)
    written = [entry for entry in entries if entry.status != "D" and entry.mode != GITLINK]
    sizes = await _sizes(git, git_dir, written, bounds)
    _check_sizes(written, sizes, policy)
    links = [entry for entry in written if entry.mode == SYMLINK and sizes[entry.oid] <= LINK_BYTES]
    return Found(len(entries), await _outside(git, git_dir, links, bounds))


async def _changes(
    git: Git, git_dir: Path, base: CommitSha, tree: str, policy: Policy, bounds: Bounds
) -> list[Entry]:
    args = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", f"{base}^{{tree}}", tree)
    try:
        output = await git.run(*args, git_dir=git_dir, what="Listing the changes", bounds=_modest(bounds))
    except GitFailure as error:
        if error.kind is FailureKind.TIMED_OUT:
            raise
        raise _too_many(policy) from None  # a few trees can unfold into billions of files
    entries = list(parse_raw(output.stdout))
    if len(entries) > policy.files:
        raise _too_many(policy)
    return entries


def _modest(bounds: Bounds) -> Bounds:
    """Git holds the whole list in memory before it says a line; more only makes a bomb last longer."""
    kernel = bounds.kernel or KernelLimits()
    return replace(bounds, kernel=replace(kernel, memory_mib=min(kernel.memory_mib, LISTING_MIB)))


def _too_many(policy: Policy) -> Refused:
    return Refused(
        f"The turn changed more than {policy.files} files, or nested them too deeply. Ask for a smaller "
        "change, or to leave built and downloaded files out (.gitignore)."
    )


def parse_raw(output: bytes) -> Iterator[Entry]:
    """Entries of `git diff-tree --raw -z --no-renames`. A name that is not UTF-8 is refused."""
    fields = output.split(b"\0")
    for meta, raw_path in zip(fields[:-1:2], fields[1::2], strict=False):
        old_mode, mode, _, oid, status = meta.decode("ascii").lstrip(":").split()
        try:
            path = raw_path.decode("utf-8")
        except UnicodeDecodeError:
            shown = raw_path.decode("utf-8", "backslashreplace")
            raise Refused(f"The file name {shown!r} is not UTF-8; rename it.") from None
        yield Entry(path, mode, old_mode, oid, status[:1])


def check_entry(entry: Entry, policy: Policy) -> None:
    """Refused when this one change is against the rules."""
    path = entry.path
    if entry.status != "D":
        _check_name(path)
    folded = _folded(path)
    # A link in place of a folder above them would bring workflows in from elsewhere.
    workflows = folded in (".github", ".github/workflows") or folded.startswith(".github/workflows/")
    if workflows and not policy.allow_workflows:
        raise Refused(
            f"The turn changed {path}, and a change of workflows needs a person: they run with the "
            "repository's secrets. Make that part by hand, or allow workflow changes in the configuration."
        )
    submodule = GITLINK in (entry.mode, entry.old_mode) or folded == ".gitmodules"
    if submodule and not policy.allow_submodules:
        raise Refused(
            f"The turn changed the submodule or nested repository {path}, which needs a person. If a "
            "repository was cloned into the workspace, ask to delete it or to put it elsewhere."
        )
    if entry.mode == SYMLINK and posixpath.basename(folded) in _GITS_OWN:
        raise Refused(f"{path} is a symbolic link where git wants a file; ask to make it a file.")


def _folded(path: str) -> str:
    """`path` as less exact file systems read it: no case, nothing unseen, no dots or spaces at ends."""
    seen = "".join(c for c in unicodedata.normalize("NFC", path) if unicodedata.category(c) != "Cf")
    return "/".join(name.rstrip(" .") for name in seen.casefold().split("/"))


def _check_name(path: str) -> None:
    if len(path.encode()) > PATH_BYTES:
        raise Refused(f"The file name {path[:80]!r}… is longer than {PATH_BYTES} bytes; shorten it.")
    if _HIDING.search(path):
        raise Refused(f"The file name {path!a} holds control characters or hidden ones; rename it.")


async def _sizes(git: Git, git_dir: Path, entries: Sequence[Entry], bounds: Bounds) -> dict[str, int]:
    """The size in bytes of each entry's blob, by object name."""
    names = sorted({entry.oid for entry in entries})
    query = "".join(f"{name}\n" for name in names).encode()
    check = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
    output = await git.run("cat-file", check, git_dir=git_dir, stdin=query, bounds=bounds)
    rows = [line.split() for line in output.text.splitlines()]
    sizes = {row[0]: int(row[2]) for row in rows if len(row) == 3 and row[1] == "blob"}
    if sizes.keys() != set(names):
        raise Refused("The sandbox's work is incomplete: some of its files are missing.")
    return sizes


def _check_sizes(entries: Sequence[Entry], sizes: dict[str, int], policy: Policy) -> None:
    total = 0
    for entry in entries:
        total += sizes[entry.oid]
        if sizes[entry.oid] > policy.file_mib * MIB:
            raise Refused(
                f"{entry.path} is larger than {policy.file_mib} MiB; leave it out (.gitignore) or shrink it."
            )
    if total > policy.total_mib * MIB:
        raise Refused(
            f"The changed files are larger than {policy.total_mib} MiB together; ask for a smaller change."
        )


async def _outside(git: Git, git_dir: Path, links: Sequence[Entry], bounds: Bounds) -> tuple[str, ...]:
    """Which of these symbolic links lead out of the repository: data to us, but a person should know."""
    query = "".join(f"{link.oid}\n" for link in links).encode()
    output = await git.run("cat-file", "--batch=%(objectsize)", git_dir=git_dir, stdin=query, bounds=bounds)
    answer, found = io.BytesIO(output.stdout), []
    for link in links:
        target = answer.read(int(answer.readline()))
        answer.readline()  # the line end after each
        if leads_outside(link.path, target.decode("utf-8", "replace")):
            found.append(link.path)
    return tuple(found)


def leads_outside(path: str, target: str) -> bool:
    """Does a symbolic link at `path` with this target point out of the repository?"""
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return target.startswith("/") or joined == ".." or joined.startswith("../")
