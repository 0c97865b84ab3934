"""What the pages show, worked out before any template sees it."""

import asyncio
from dataclasses import dataclass

from bot.playground.github.diffs import DiffLine, FileDiff, readable
from bot.playground.github.pulls import Facts, Pulls
from bot.playground.github.repository import Commit, Entry, Repository
from bot.playground.github.store import Pull, Store

_LINES_SHOWN = 1_500
_LINES_OPEN = 400
_FILES_SHOWN = 200
_REVIEW_STATES = {"APPROVED": "approved", "CHANGES_REQUESTED": "changes"}
_REVIEW_WORDS = {"approved": "approved this", "changes": "asked for changes", "comment": "commented"}


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A changed file: its numbered lines, or a note saying why there are none."""

    diff: FileDiff
    lines: list[DiffLine]
    note: str
    open: bool


@dataclass(frozen=True, slots=True)
class Said:
    """One thing in a conversation. `kind` is words or event; `state` picks its sign."""

    kind: str
    state: str
    author: str | None
    at: str
    words: str
    body: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A name in a folder, and the latest commit that touched it."""

    entry: Entry
    commit: Commit


def shown_files(diffs: list[FileDiff]) -> list[ShownFile]:
    """Readable diffs; very long ones stay closed or are left out, and say so."""
    return [_shown(diff, at) for at, diff in enumerate(diffs)]


def _shown(diff: FileDiff, at: int) -> ShownFile:
    size = diff.patch.count("\n")
    if diff.binary:
        return ShownFile(diff, [], "A binary file: there are no lines to compare.", open=True)
    if not diff.patch:
        note = "Only the name changed." if diff.status == "renamed" else "An empty file."
        return ShownFile(diff, [], note, open=True)
    if size > _LINES_SHOWN or at >= _FILES_SHOWN:
        return ShownFile(diff, [], f"{size} lines: too many to show here. See “As a diff”.", open=False)
    return ShownFile(diff, readable(diff.patch), "", open=size <= _LINES_OPEN)


def conversation(store: Store, pull: Pull) -> list[Said]:
    """Comments, reviews, and how it ended, in order of time."""
    said = [
        Said("words", "comment", comment.author, comment.created_at, "commented", comment.body)
        for comment in store.comments(pull)
    ]
    for review in store.reviews(pull):
        if review.state != "PENDING":
            state = _REVIEW_STATES.get(review.state, "comment")
            said.append(
                Said("words", state, review.author, review.submitted_at, _REVIEW_WORDS[state], review.body)
            )
    said.sort(key=lambda item: item.at)
    if pull.merged_at is not None:
        said.append(Said("event", "merged", pull.merged_by, pull.merged_at, "merged this", ""))
    elif pull.closed_at is not None:
        said.append(Said("event", "closed", pull.closed_by, pull.closed_at, "closed this", ""))
    return said


def verdicts(store: Store, pull: Pull) -> dict[str, str]:
    """Who was asked or has reviewed: approved, changes, comment or waiting."""
    found = dict.fromkeys(pull.reviewers, "waiting")
    for review in store.reviews(pull):
        state = _REVIEW_STATES.get(review.state, "comment")
        # A plain comment takes back neither an approval nor a request for changes.
        if state != "comment" or found.get(review.author, "waiting") == "waiting":
            found[review.author] = state
    return found


def outlook(pull: Pull, facts: Facts) -> str:
    """merged, closed, draft, conflict or clean: what can be done with it now."""
    if pull.merged or pull.state != "open":
        return pull.standing
    if pull.draft:
        return "draft"
    return "clean" if facts.mergeable else "conflict"


async def listed(repository: Repository, sha: str, path: str) -> list[Listed]:
    """A folder's names, folders first, each with its latest commit."""
    entries = await repository.listing(sha, f"{path}/" if path else "")
    entries.sort(key=lambda entry: (entry.kind != "tree", entry.name.lower()))
    commits = await asyncio.gather(*(repository.log(sha, limit=1, path=entry.path) for entry in entries))
    return [Listed(entry, found[0]) for entry, found in zip(entries, commits, strict=True) if found]


async def readme_of(repository: Repository, entries: list[Entry]) -> str:
    """The text of the folder's README.md, or nothing."""
    for entry in entries:
        if entry.kind == "blob" and entry.name.lower() == "readme.md":
            return (await repository.blob(entry.sha)).decode("utf-8", "replace")
    return ""


async def pull_page(repository: Repository, pulls: Pulls, store: Store, pull: Pull) -> dict[str, object]:
    """Everything the page of one pull request shows."""
    files = await repository.diff(await pulls.fork_point(repository, pull), pull.head_sha)
    facts = await pulls.facts(repository, pull)
    return {
        "repository": repository,
        "pull": pull,
        "facts": facts,
        "commits": await pulls.commits(repository, pull),
        "shown": shown_files(files),
        "talk": conversation(store, pull),
        "verdicts": verdicts(store, pull),
        "outlook": outlook(pull, facts),
        "head_exists": pull.head in await repository.branches(),
    }
