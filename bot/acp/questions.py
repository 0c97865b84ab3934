"""What an agent asks people, and what they answer. Small on purpose: who shows it knows nothing of ACP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """One answer to choose. `value` goes back to the agent and is never shown."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Question:
    """All of it is the agent's own words: bounded and without control characters, still to be escaped.

    `free_text` says that words of one's own are an answer as well; without options they are the only one.
    """

    text: str
    options: tuple[Option, ...] = ()
    free_text: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The `value` of an option, or somebody's own words where those were asked for."""

    value: str


Questions = Callable[[Question], Awaitable[Answer | None]]
"""Puts a question to people and waits; None when nobody answers, for as long as whoever asks waits."""
