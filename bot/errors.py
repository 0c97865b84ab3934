"""The errors people meet, and what each may show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ThreadsmithError(Exception):
    """The root of all ours."""


class UserError(ThreadsmithError):
    """Its text is shown to whoever asked: what was wrong, where, and what to do. Never a secret in it."""


class Unreachable(UserError):
    """Something outside was not there, or had trouble of its own: the same may work in a few minutes.

    `after_seconds` is how long it asked to be left alone, 0 when it did not say.
    """

    def __init__(self, text: str, after_seconds: float = 0.0) -> None:
        self.after_seconds = after_seconds
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong setting: which key, what was expected, what was found, how to fix it."""

    key: str
    expected: str
    got: str
    fix: str

    def __str__(self) -> str:
        return f"{self.key}: expected {self.expected}, got {self.got}. {self.fix}"


class ConfigError(UserError):
    """All mistakes of a configuration at once."""

    def __init__(self, mistakes: Sequence[Mistake], where: str = "configuration") -> None:
        self.mistakes = tuple(mistakes)
        self.where = where
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        super().__init__(f"{len(mistakes)} mistake(s) in {where}:\n{lines}")


class PluginError(ThreadsmithError):
    """A plugin broke. The user sees `incident`, the log has the detail."""

    def __init__(self, plugin: str, hook: str, incident: str) -> None:
        self.plugin, self.hook, self.incident = plugin, hook, incident
        super().__init__(f"plugin {plugin} failed in {hook} (incident {incident}, see the log)")


class TooLarge(UserError):
    """It is over the bound with which it was asked for."""


class Denied(UserError):
    """Someone may not do what they asked for."""


class SandboxError(UserError):
    """A sandbox could not be made or used; the text says what to do."""


class SandboxGone(SandboxError):
    """It certainly does not run any more."""


class SandboxUnreachable(SandboxError):
    """It may still run; nobody can tell."""


class AgentError(UserError):
    """The agent could not be started, broke its protocol, or died."""


class ModelError(UserError):
    """A model was not reached, refused, or may not be asked; nothing about it is a secret."""


class GitError(UserError):
    """A host-side git step failed or refused what a sandbox handed out."""
