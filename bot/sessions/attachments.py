"""Files that came with a prompt: fetched when its turn begins, put into the sandbox, shown to the agent.

Nothing of this keeps a turn from going on. What is missing is named, in the prompt and in the final message.
"""

from __future__ import annotations

import asyncio
import base64
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from bot.acp.blocks import image_block, resource_block, text_block
from bot.bounds import ATTACHED_BYTES, ATTACHED_FILE_BYTES, ATTACHED_FILES
from bot.domain import Attachment, Prompt
from bot.errors import SandboxError, SandboxGone, TooLarge, UserError
from bot.sessions.brief import as_data
from bot.sessions.ports import Directory
from bot.sessions.workbench import Workbench

FOLDER = "attachments"  # below the agent's home
TEXT_BYTES = 64 << 10  # what is longer is read from its file
_NAME_BYTES = 120
_NAMED = 10
_SECONDS = 120.0  # for all files of one prompt

_IMAGES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)


@dataclass(slots=True)
class _Fetched:
    contents: dict[str, bytes] = field(default_factory=dict)  # by the name that each has in the sandbox
    missing: list[tuple[str, str]] = field(default_factory=list)  # name, why


async def blocks_of(
    directory: Directory, bench: Workbench, prompt: Prompt, texts: Sequence[str], notes: list[str]
) -> list[dict[str, Any]]:
    """The blocks of a prompt: its texts, and its files before the last of them, which is the request itself.

    What is missing is added to the `notes`. Raises SandboxGone.
    """
    *before, request = map(text_block, texts)
    if not prompt.files:
        return [*before, request]
    fetched = await _fetch(directory, prompt.files)
    folder = await _put(bench, prompt, fetched)
    notes += _notes(fetched.missing)
    listing = text_block(as_data("Files that came with the request", _listing(folder, fetched)))
    embeds = bench.abilities.embedded_context
    shown = [_shown(f"{folder}/{name}", content, embeds) for name, content in fetched.contents.items()]
    return [*before, listing, *filter(None, shown), request]


async def _fetch(directory: Directory, files: Sequence[Attachment]) -> _Fetched:
    """One after the other, so that no more is held than may be."""
    fetched, left = _Fetched(), ATTACHED_BYTES
    try:
        async with asyncio.timeout(_SECONDS):
            for file in files[:ATTACHED_FILES]:
                name = _free(safe_name(file.name), fetched.contents)
                try:
                    content = await directory.fetch(file, min(ATTACHED_FILE_BYTES, left))
                except UserError as error:
                    fetched.missing.append((name, _why(error, left)))
                    continue
                fetched.contents[name] = content
                left -= len(content)
    except TimeoutError:
        tried = len(fetched.contents) + len(fetched.missing)
        late = [
            (safe_name(file.name), "there was no time left for it") for file in files[tried:ATTACHED_FILES]
        ]
        fetched.missing += late
    bound = f"a request may have {ATTACHED_FILES} files"
    fetched.missing += [(safe_name(file.name), bound) for file in files[ATTACHED_FILES:]]
    return fetched


def _why(error: UserError, left: int) -> str:
    """What was left of the bound of all is not the bound of one."""
    if isinstance(error, TooLarge) and left < ATTACHED_FILE_BYTES:
        return f"all files of a request may have {ATTACHED_BYTES >> 20} MiB together"
    return str(error)


async def _put(bench: Workbench, prompt: Prompt, fetched: _Fetched) -> str:
    """Into a folder of this prompt alone, so that a later "image.png" does not replace an earlier one."""
    folder = f"{FOLDER}/{prompt.id}"
    if not fetched.contents:
        return folder
    try:
        return await bench.take_in(folder, fetched.contents)
    except SandboxGone:
        raise
    except SandboxError:
        why = "it could not be written into the sandbox"
        fetched.missing += [(name, why) for name in fetched.contents]
        fetched.contents.clear()
        return folder


def _shown(path: str, content: bytes, embeds: bool) -> dict[str, Any] | None:
    """What the agent sees at once. An image that it cannot take the client turns into words."""
    if (kind := image_type(content)) is not None:
        return image_block(kind, base64.b64encode(content).decode(), f"file://{path}")
    text = text_of(content)
    if text is None:
        return None
    if embeds:
        return resource_block(f"file://{path}", text)
    return text_block(as_data(f"The content of {path}", text, TEXT_BYTES))


def _listing(folder: str, fetched: _Fetched) -> str:
    there = [
        f"{folder}/{name} ({image_type(content) or 'file'}, {len(content)} bytes)"
        for name, content in fetched.contents.items()
    ]
    return "\n".join(
        [*there, *(f"not here: {name}: {why}" for name, why in fetched.missing[: 2 * ATTACHED_FILES])]
    )


def _notes(missing: Sequence[tuple[str, str]]) -> list[str]:
    """One line for each reason, whatever the number of files."""
    by_reason: dict[str, list[str]] = {}
    for name, why in missing:
        by_reason.setdefault(why, []).append(name)
    return [f"Not handed to the agent: {_names(names)}: {why}." for why, names in by_reason.items()]


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def image_type(content: bytes) -> str | None:
    """By its first bytes; what it is said to be decides nothing."""
    return next((kind for magic, kind in _IMAGES if magic.match(content)), None)


def text_of(content: bytes) -> str | None:
    """The text of a short text file; None for all else."""
    if not 0 < len(content) <= TEXT_BYTES or b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def safe_name(name: str) -> str:
    """A name for a file in a folder: one part, nothing in it that hides or turns, no dot or dash in front."""
    shown = "".join(
        c if unicodedata.category(c)[0] not in "CZ" else " " for c in unicodedata.normalize("NFC", name)
    )
    flat = re.sub(r"[\\/:*?\"<>|`$]+", "_", "_".join(shown.split())).lstrip(".-_")
    stem, suffix = PurePosixPath(flat).stem, PurePosixPath(flat).suffix
    tail = suffix.encode()[:20].decode(errors="ignore")
    return (stem.encode()[: _NAME_BYTES - len(tail.encode())].decode(errors="ignore") + tail) or "file"


def _free(name: str, taken: Mapping[str, bytes]) -> str:
    path, number, free = PurePosixPath(name), 1, name
    while free.casefold() in {each.casefold() for each in taken}:
        number += 1
        free = f"{path.stem}-{number}{path.suffix}"
    return free
