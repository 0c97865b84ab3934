"""Calling Slack so that a refusal, a pause and an unknown outcome are told apart; and trying again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from enum import Enum
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

log = logging.getLogger(__name__)

UNREACHABLE = (SlackApiError, aiohttp.ClientError, TimeoutError, OSError)
_TRIES = 6
_READS = 4
_FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
# Slack's own words for "not now" and for what whoever runs the bot can mend while it runs.
_PASSING = frozenset(
    {
        "ratelimited",
        "rate_limited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
        "internal_error",
        "fatal_error",
        "invalid_auth",
        "token_expired",
        "missing_scope",
        "not_in_channel",
    }
)
_UNKNOWN = frozenset({"internal_error", "fatal_error", "request_timeout", "service_unavailable"})


class Outcome(Enum):
    """What a failed call tells about its effect."""

    REFUSED = "refused"  # it did not happen, and will not
    PASSING = "passing"  # it did not happen, and may work later
    UNKNOWN = "unknown"  # it may have happened


def outcome(error: BaseException) -> Outcome:
    """What this failure means."""
    if not isinstance(error, SlackApiError):
        return Outcome.UNKNOWN
    if error.response.status_code >= 500 or reason(error) in _UNKNOWN:
        return Outcome.UNKNOWN
    return Outcome.PASSING if reason(error) in _PASSING else Outcome.REFUSED


def reason(error: BaseException) -> str:
    """Slack's word for it, or the kind of the failure; never a body or an address."""
    return str(error.response.get("error")) if isinstance(error, SlackApiError) else type(error).__name__


def pause_after(error: BaseException, seconds: float) -> float:
    """How long to wait: what was planned, or longer when Slack asks for it."""
    if not isinstance(error, SlackApiError):
        return seconds
    try:
        return max(seconds, float(error.response.headers.get("Retry-After", 0)))
    except (TypeError, ValueError):
        return seconds


async def reading(ask: Callable[[], Awaitable[AsyncSlackResponse]]) -> AsyncSlackResponse:
    """The answer of a call that changes nothing, asked for again while that may help.

    Raises the last failure, one of UNREACHABLE.
    """
    pause = _FIRST_PAUSE_SECONDS
    for _ in range(_READS - 1):
        try:
            return await ask()
        except UNREACHABLE as error:
            if outcome(error) is Outcome.REFUSED:
                raise
            await asyncio.sleep(pause_after(error, pause))
            pause *= 2
    return await ask()


async def repeatable(
    client: AsyncWebClient, method: str, arguments: dict[str, Any], fine: Collection[str] = ()
) -> bool:
    """Make a call that may safely be made twice; True when it worked or Slack answered one of `fine`.

    It is decoration: after a few tries it is given up with a line in the log.
    """
    pause = _FIRST_PAUSE_SECONDS
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            await client.api_call(method, json=arguments)
            return True
        except UNREACHABLE as error:
            if reason(error) in fine:
                return True
            if last or outcome(error) is Outcome.REFUSED:
                log.warning("%s: %s", method, reason(error))
                return False
            await asyncio.sleep(pause_after(error, pause))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
    return False
