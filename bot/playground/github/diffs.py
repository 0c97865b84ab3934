"""What changed between two commits, file by file, as git says it."""

from collections.abc import Iterator
from dataclasses import dataclass

_STATUS = {"A": "added", "M": "modified", "D": "removed", "R": "renamed", "C": "copied", "T": "changed"}


@dataclass(frozen=True, slots=True)
class FileDiff:
    """One changed file. `patch` starts at its first hunk and is empty for binary files and pure renames."""

    path: str
    previous: str | None
    status: str
    blob: str
    additions: int
    deletions: int
    patch: str
    binary: bool


def parse_diff(raw: bytes, patch: bytes) -> list[FileDiff]:
    """Join `git diff --raw -z` and `git diff --patch` of the same two commits, which list files alike."""
    sections = iter(_sections(patch.decode("utf-8", "replace")))
    files = []
    for letter, old_blob, new_blob, previous, path in _raw_entries(raw.decode("utf-8", "replace")):
        # A file that became a link (T) is shown as one removal and one addition.
        text = "".join(next(sections, "") for _ in range(2 if letter == "T" else 1))
        hunks = text[text.index("\n@@ ") + 1 :] if "\n@@ " in text else ""
        lines = hunks.split("\n")
        files.append(
            FileDiff(
                path=path,
                previous=previous,
                status=_STATUS.get(letter, "changed"),
                blob=old_blob if letter == "D" else new_blob,
                additions=sum(line.startswith("+") for line in lines),
                deletions=sum(line.startswith("-") for line in lines),
                patch=hunks.removesuffix("\n"),
                binary="\nBinary files " in text,
            )
        )
    return files


def _sections(patch: str) -> list[str]:
    # Content lines always start with " ", "+", "-" or "\", so this line cannot be content.
    parts = ("\n" + patch).split("\ndiff --git ")
    return ["diff --git " + part.removesuffix("\n") + "\n" for part in parts[1:]]


def _raw_entries(raw: str) -> Iterator[tuple[str, str, str, str | None, str]]:
    fields = iter(raw.split("\0"))
    for head in fields:
        if not head:
            continue
        _, _, old_blob, new_blob, letter = head.split(" ")
        first = next(fields)
        if letter[0] in "RC":
            yield letter[0], old_blob, new_blob, first, next(fields)
        else:
            yield letter[0], old_blob, new_blob, None, first


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a hunk as a reader sees it. `kind` is hunk, context, add, delete or note.

    `text` is split into (before, changed, after): the middle is what differs from the paired line.
    """

    kind: str
    old: int | None
    new: int | None
    text: tuple[str, str, str]


def readable(patch: str) -> list[DiffLine]:
    """Number the lines of a patch on both sides, and mark what changed inside paired lines."""
    lines: list[DiffLine] = []
    old = new = 0
    for line in patch.split("\n") if patch else []:
        if line.startswith("@@ "):
            old, new = _hunk_start(line)
            lines.append(DiffLine("hunk", None, None, (line, "", "")))
        elif line.startswith("+"):
            lines.append(DiffLine("add", None, new, (line[1:], "", "")))
            new += 1
        elif line.startswith("-"):
            lines.append(DiffLine("delete", old, None, (line[1:], "", "")))
            old += 1
        elif line.startswith("\\"):
            lines.append(DiffLine("note", None, None, (line[2:], "", "")))
        elif line.startswith(" "):
            lines.append(DiffLine("context", old, new, (line[1:], "", "")))
            old, new = old + 1, new + 1
    return _mark_pairs(lines)


def _hunk_start(line: str) -> tuple[int, int]:
    _, old, new, *_ = line.split(" ")
    return int(old[1:].split(",")[0]), int(new[1:].split(",")[0])


def _mark_pairs(lines: list[DiffLine]) -> list[DiffLine]:
    """Pair each run of deletions with an equally long run of additions right after it."""
    marked = list(lines)
    at = 0
    while at < len(marked):
        deletions = _run(marked, at, "delete")
        additions = _run(marked, at + deletions, "add")
        if deletions and deletions == additions:
            for index in range(at, at + deletions):
                _mark(marked, index, index + deletions)
        at += max(1, deletions + additions)
    return marked


def _run(lines: list[DiffLine], start: int, kind: str) -> int:
    end = start
    while end < len(lines) and lines[end].kind == kind:
        end += 1
    return end - start


def _mark(lines: list[DiffLine], first: int, second: int) -> None:
    before, after = lines[first].text[0], lines[second].text[0]
    shortest = min(len(before), len(after))
    head = next((i for i in range(shortest) if before[i] != after[i]), shortest)
    rest = shortest - head
    tail = next((i for i in range(rest) if before[-1 - i] != after[-1 - i]), rest)
    # Lines with little in common are easier to read without marks.
    if head + tail < shortest * 0.3:
        return
    lines[first] = _split(lines[first], head, tail)
    lines[second] = _split(lines[second], head, tail)


def _split(line: DiffLine, head: int, tail: int) -> DiffLine:
    text = line.text[0]
    end = len(text) - tail
    return DiffLine(line.kind, line.old, line.new, (text[:head], text[head:end], text[end:]))
