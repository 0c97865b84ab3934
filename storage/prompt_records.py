"""What goes into a session's file as a prompt, and what is said of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storage.engine import Row


@dataclass(frozen=True, slots=True)
class NewPrompt:
    """A request as it came in, unique on `(source, key)`. `at` in seconds since the epoch.

    `unaddressed`: it is one only because its thread is a session, so what was said before that is none.
    """

    source: str
    key: str
    author_id: str
    author_name: str
    text: str
    at: float
    author: Mapping[str, Any] = field(default_factory=dict)
    message_ts: str | None = None
    repository: str | None = None
    unaddressed: bool = False
    files: Sequence[Mapping[str, Any]] = ()  # what its edge says of them, not their content


@dataclass(frozen=True, slots=True)
class Accepted:
    """`new` is false for one that was there already. `position` counts the unfinished ahead of it.

    New and `removed`: there was no room for it.
    """

    prompt_id: int
    new: bool
    state: str
    position: int


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop, and who said it.

    `key` names it: heard again, it is not meant for what has begun since. `at` (seconds) is given for one
    that is heard late: it concerns only what had begun by then; with `by_messages` what had been said by
    then, by the clock of the messages, since ours is known to be wrong.
    """

    by: str
    key: str = ""
    at: float | None = None
    by_messages: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """`planned` is the prompt whose turn has to end now; `anything` whether the stop was meant for any."""

    planned: Row | None
    anything: bool
