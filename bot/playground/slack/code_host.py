"""The GitHub side as the Slack side's control and page API use it, present or not."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

from bot.playground.slack.errors import ControlError
from bot.playground.slack.messages import Json

T = TypeVar("T")


class GitHub(Protocol):
    """What is asked of `bot.playground.github.GitHubSide`."""

    url: str

    def repositories(self) -> list[str]:
        """All names, owner/name."""

    async def pulls(self) -> list[Json]:
        """All pull requests, in the form of `/control/pulls`."""

    async def merge(self, repository: str, number: int, login: str) -> Any:
        """Merge one."""

    async def review(self, repository: str, number: int, login: str, state: str, body: str) -> Any:
        """Review one."""

    async def commit(self, repository: str, branch: str, login: str, files: Mapping[str, str | None]) -> Any:
        """Commit files to a branch."""

    def fault(self, method: str, kind: str, times: int) -> None:
        """Let something go wrong."""

    def requests(self) -> list[Json]:
        """Calls received, `at` in ISO form."""


class CodeHost:
    """The GitHub side behind one door: its errors become control errors, its absence is one too."""

    def __init__(self, github: GitHub | None) -> None:
        self._github = github

    @property
    def url(self) -> str | None:
        """Where its pages are."""
        return self._github.url if self._github else None

    def repositories(self) -> list[str]:
        """All names; none without a GitHub side."""
        return self._github.repositories() if self._github else []

    def requests(self) -> list[Json]:
        """Calls received, `at` in seconds like ours; none without a GitHub side."""
        received = self._github.requests() if self._github else []
        return [{**call, "at": datetime.fromisoformat(call["at"]).timestamp()} for call in received]

    async def pulls(self) -> list[Json]:
        """All pull requests; none without a GitHub side."""
        return await self._github.pulls() if self._github else []

    async def merge(self, repository: str, number: int, login: str) -> Json:
        """Merge a pull request as `login`."""
        return await _done(self._side().merge(repository, number, login))

    async def review(self, repository: str, number: int, login: str, state: str, body: str) -> Json:
        """Review a pull request as `login`."""
        return await _done(self._side().review(repository, number, login, state, body))

    async def commit(self, repository: str, branch: str, login: str, files: Mapping[str, str | None]) -> Json:
        """Commit files straight to a branch as `login`."""
        return await _done(self._side().commit(repository, branch, login, files))

    def fault(self, method: str, kind: str, times: int) -> None:
        """Let something go wrong over there."""
        try:
            self._side().fault(method, kind, times)
        except Exception as error:
            raise _as_control(error) from error

    def _side(self) -> GitHub:
        if self._github is None:
            raise ControlError(503, "this playground runs without its GitHub side")
        return self._github


async def _done(work: Awaitable[Any]) -> Json:
    try:
        result = await work
    except Exception as error:
        raise _as_control(error) from error
    return result if isinstance(result, dict) else {}


def _as_control(error: Exception) -> Exception:
    """GitHubSideError carries status and message; anything else is a bug and stays itself."""
    status, message = getattr(error, "status", None), getattr(error, "message", None)
    if isinstance(status, int) and isinstance(message, str):
        return ControlError(status, message)
    return error
