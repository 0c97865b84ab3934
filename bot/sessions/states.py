"""The decisions of a session's life, as pure functions: nothing here waits, reads or writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from storage.moving import MOVE

# A few marks on a letter are writing; a pile of them covers the lines around it.
_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_STORM = re.compile(f"({_MARK}{{3}}){_MARK}+")
_REPOSITORY_FLAG = re.compile(r"(?:^|\s)repo=\S+")


class Way(Enum):
    """What to do with a prompt that was just claimed."""

    RUN = "run"
    LAND = "land"  # a push was begun before the crash: finish it from its intent, never run the agent again
    STOP = "stop"  # somebody said stop before the crash, or that it belongs elsewhere
    GIVE_UP = "give up"  # it crashed too often


def way_of(attempt: int, most_attempts: int, effects: Iterable[Mapping[str, Any]]) -> Way:
    """Which way a claimed prompt goes; `effects` are those that bear this prompt's id."""
    kinds = {effect["kind"] for effect in effects if effect["kind"] != MOVE or effect["state"] == "pending"}
    if "git.push" in kinds and attempt <= 2 * most_attempts:
        return Way.LAND
    if kinds & {"turn.stop", MOVE}:
        return Way.STOP
    if attempt > most_attempts:
        return Way.GIVE_UP
    return Way.RUN


def title_of(text: str, limit: int = 72) -> str:
    """One line that names a prompt: its first line, without the `repo=` flag, cut at a word."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = " ".join(_REPOSITORY_FLAG.sub(" ", _STORM.sub(r"\1", line)).split())
    if len(line) <= limit:
        return line
    return line[: limit - 1].rsplit(" ", 1)[0].rstrip(" ,;:.") + "…"


def branch_number(current: int, branch: str | None, pull_request_state: str | None) -> int:
    """Which branch of the session a turn works on: a merged or closed pull request ends its branch."""
    if branch is not None and pull_request_state in {"merged", "closed"}:
        return current + 1
    return current
