"""The steps that read or change files, each of them one function."""

from __future__ import annotations

import difflib
import os
import shutil
from dataclasses import dataclass, field

from .steps import Append, Create, Delete, ListFiles, Prepend, Rename, Replace, Show, short
from .workspace import StepError, Workspace, is_text

SHOWN_FILES = 200
SHOWN_BYTES = 3_000
NEAR_LINES = 2_000


@dataclass(frozen=True)
class Edit:
    """One changed file with its bytes before and after; None where there was or is none."""

    path: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True)
class Done:
    """What a step did, in one or more lines, and the files it changed. `output`: what a command printed."""

    detail: str
    edits: list[Edit] = field(default_factory=list)
    output: str | None = None


def replace(step: Replace, files: Workspace) -> Done:
    if not step.old:
        raise StepError(
            "There is nothing between the first quotation marks.", "Say which text is to be replaced."
        )
    if step.old == step.new:
        raise StepError("Both texts are the same.", "Say what is to be there instead.")
    sources = files.text_files() if step.path is None else [(step.path, _text(files, step.path))]
    found = [(path, data, *_replaced(data, step)) for path, data in sources]
    hits = [(path, before, after, count) for path, before, after, count in found if count]
    if not hits:
        raise _not_found(step, sources)
    for path, _, after, _ in hits:
        files.write(path, after)
    lines = [f"{path}: {_times(count, 'place')}" for path, _, _, count in hits]
    if step.path is None and len(hits) > 1:
        lines.insert(0, f"{_times(sum(hit[3] for hit in hits), 'place')} in {len(hits)} files")
    return Done("\n".join(lines), [Edit(path, before, after) for path, before, after, _ in hits])


def append(step: Append, files: Workspace) -> Done:
    before = _text(files, step.path)
    end = _line_end(before)
    joint = b"" if not before or before.endswith(b"\n") else end
    after = before + joint + _encoded(step.text, end).rstrip(b"\r\n") + end
    files.write(step.path, after)
    return Done(
        f"{step.path}: {_times(step.text.count(chr(10)) + 1, 'line')} added at the end",
        [Edit(step.path, before, after)],
    )


def prepend(step: Prepend, files: Workspace) -> Done:
    before = _text(files, step.path)
    end = _line_end(before)
    after = _encoded(step.text, end).rstrip(b"\r\n") + end + before
    files.write(step.path, after)
    return Done(
        f"{step.path}: {_times(step.text.count(chr(10)) + 1, 'line')} added at the top",
        [Edit(step.path, before, after)],
    )


def create(step: Create, files: Workspace) -> Done:
    full = files.place(step.path)
    if os.path.lexists(full):
        raise StepError(f"{step.path} is already there.", "Use `append`, `replace`, or `delete` it first.")
    after = step.text.encode()
    if after and not after.endswith(b"\n"):
        after += b"\n"
    full.parent.mkdir(parents=True, exist_ok=True)
    files.write(step.path, after)
    return Done(
        f"{step.path}: new, {_times(len(after.splitlines()), 'line')}", [Edit(step.path, None, after)]
    )


def delete(step: Delete, files: Workspace) -> Done:
    full = files.existing(step.path, follow=False)
    if full.is_dir() and not full.is_symlink():
        count = sum(len(names) for _, _, names in os.walk(full))
        shutil.rmtree(full)
        return Done(f"{step.path}: deleted, with {_times(count, 'file')} in it")
    before = None if full.is_symlink() or not full.is_file() else files.read(step.path)
    full.unlink()
    return Done(f"{step.path}: deleted", [Edit(step.path, before, None)] if before is not None else [])


def rename(step: Rename, files: Workspace) -> Done:
    source = files.existing(step.old, follow=False)
    target, shown = files.place(step.new, follow=False), step.new
    if target.is_dir():
        shown = f"{step.new.rstrip('/')}/{source.name}"
        target = files.place(shown, follow=False)
    if os.path.lexists(target):
        raise StepError(f"{shown} is already there.", "Name a path that is free, or delete it first.")
    if source in target.parents:
        raise StepError(f"{step.old} cannot be moved into itself.", "Name a place outside of it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    return Done(f"{step.old} is now {shown}")


def list_files(step: ListFiles, files: Workspace) -> Done:
    found = files.files()
    if step.path is not None:
        files.existing(step.path)
        found = [file for file in found if file == step.path or file.startswith(step.path.rstrip("/") + "/")]
    more = f"\n… and {len(found) - SHOWN_FILES} more" if len(found) > SHOWN_FILES else ""
    return Done(f"{_times(len(found), 'file')}:\n" + "\n".join(found[:SHOWN_FILES]) + more)


def show(step: Show, files: Workspace) -> Done:
    data = _text(files, step.path)
    text = data[:SHOWN_BYTES].decode("utf-8", "replace")
    more = f"\n… and {len(data) - SHOWN_BYTES} bytes more" if len(data) > SHOWN_BYTES else ""
    return Done(f"{step.path}:\n```\n{text.rstrip()}\n```{more}")


# -- the parts -----------------------------------------------------------------------------------


def _text(files: Workspace, path: str) -> bytes:
    data = files.read(path)
    if is_text(data):
        return data
    raise StepError(f"{path} is no text file.", "I only work on UTF-8 text.")


def _replaced(data: bytes, step: Replace) -> tuple[bytes, int]:
    if step.whole_line:
        return _without_lines(data, step.old.strip().encode())
    end = _line_end(data)
    old = _encoded(step.old, end)
    return data.replace(old, _encoded(step.new, end)), data.count(old)


def _without_lines(data: bytes, wanted: bytes) -> tuple[bytes, int]:
    """Lines that say just this; where there is none, lines that hold it."""
    lines = data.splitlines(keepends=True)
    for is_meant in (lambda line: line.strip() == wanted, lambda line: wanted in line):
        kept = [line for line in lines if not is_meant(line)]
        if len(kept) < len(lines):
            return b"".join(kept), len(lines) - len(kept)
    return data, 0


def _line_end(data: bytes) -> bytes:
    return b"\r\n" if b"\r\n" in data else b"\n"


def _encoded(text: str, end: bytes) -> bytes:
    return text.replace("\r\n", "\n").encode().replace(b"\n", end)


def _not_found(step: Replace, sources: list[tuple[str, bytes]]) -> StepError:
    where = step.path if step.path is not None else f"any of {_times(len(sources), 'text file')}"
    problem = f'"{short(step.old, 80)}" is not in {where}.'
    for path, data in sources:
        if step.old.lower().encode() in data.lower():
            return StepError(problem, f"{path} has it with other capital letters.")
    near = _near_line(step.old, sources)
    return StepError(problem, near or "Look at the file with `show path/to/file`.")


def _near_line(old: str, sources: list[tuple[str, bytes]]) -> str:
    if len(sources) != 1:
        return ""
    path, data = sources[0]
    lines = [line.strip()[:200] for line in data.decode("utf-8", "replace").splitlines()[:NEAR_LINES]]
    near = difflib.get_close_matches(old.strip()[:200], [line for line in lines if line], n=1, cutoff=0.4)
    return f"The line nearest to it in {path} is: {near[0]}" if near else ""


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
