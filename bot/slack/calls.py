"""Calling Slack so that a refusal, a pause and an unknown outcome are told apart; and trying again."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
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
_LONGEST_OBEYED_SECONDS = 600.0  # of a Retry-After; Slack's own are a minute at most

# What a post will meet each time anew: this message can never be said in this place. Nothing else is
# given up: a word we do not know may be one that passes, or that whoever runs the bot can mend.
GONE = frozenset({"channel_not_found", "thread_not_found", "message_not_found", "is_archived"})
_REFUSED = GONE | {
    "cannot_dm_bot",
    "cannot_reply_to_message",
    "cant_update_message",
    "edit_window_closed",
    "invalid_arguments",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_metadata_format",
    "invalid_metadata_schema",
    "message_not_in_streaming_state",
    "messages_tab_disabled",
    "metadata_too_large",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
    "restricted_action",
    "restricted_action_non_threadable_channel",
    "restricted_action_read_only_channel",
    "restricted_action_thread_locked",
    "restricted_action_thread_only_channel",
    "thread_locked",
    "user_not_found",
}
_SHORTLY = frozenset({"ratelimited", "rate_limited", "team_added_to_org"})
_FAILURES = frozenset({"internal_error", "fatal_error", "request_timeout", "service_unavailable"})
_REINSTALL = "Install the Slack app again and put its new bot token into the configuration."
_ADVICE = {
    "account_inactive": _REINSTALL,
    "invalid_auth": _REINSTALL,
    "not_authed": _REINSTALL,
    "token_expired": _REINSTALL,
    "token_revoked": _REINSTALL,
    "missing_scope": "Add the missing scope to the Slack app and install it again.",
    "not_in_channel": "Invite the bot into the channel.",
    "no_permission": "Ask a Slack admin to let the app post there.",
    "org_login_required": "Ask a Slack admin to finish the workspace's migration.",
    "team_access_not_granted": "Ask a Slack admin to give the app access to the workspace.",
    "access_denied": "Ask a Slack admin to give the app access to the workspace.",
}


_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Outcome(Enum):
    """What a failed call tells about its effect."""

    REFUSED = "refused"  # it did not happen, and will not
    PASSING = "passing"  # it did not happen, and may work later
    UNKNOWN = "unknown"  # it may have happened


class BadAnswer(ConnectionError):
    """Something that is not Slack answered in its place, such as a proxy with a page of its own."""


def outcome(error: BaseException) -> Outcome:
    """What this failure means."""
    if not isinstance(error, SlackApiError):
        return Outcome.UNKNOWN
    word, status = reason(error), _status(error)
    if status == 429 or word in _SHORTLY:
        return Outcome.PASSING
    if status >= 500:
        return Outcome.UNKNOWN
    if word in _REFUSED:
        return Outcome.REFUSED
    return Outcome.PASSING if word in _ADVICE else Outcome.UNKNOWN


def worth_repeating(error: BaseException) -> bool:
    """Whether the same call may work within a minute, with nobody mending anything."""
    if not isinstance(error, SlackApiError):
        return True
    word, status = reason(error), _status(error)
    return status == 429 or status >= 500 or word in _SHORTLY | _FAILURES or word == _unspoken(status)


def quiet(name: str) -> logging.Logger:
    """A logger of the SDK, never at DEBUG: there it writes bodies, tickets and addresses for answers."""
    logger = logging.getLogger(name)
    logger.setLevel(max(logging.WARNING, logging.getLogger().level))
    return logger


def reason(error: BaseException) -> str:
    """Slack's word for it, or the kind of the failure; never a body or an address."""
    if not isinstance(error, SlackApiError):
        return type(error).__name__
    # The SDK hands over whatever answered: its own response, a bare HTTP one, with a body of any kind.
    body = getattr(error.response, "data", error.response)
    word = body.get("error") if isinstance(body, Mapping) else None
    known = isinstance(word, str) and _WORD.fullmatch(word)  # a proxy may say anything, what it heard too
    return str(word) if known else _unspoken(_status(error))


def advice(error: BaseException) -> str:
    """What whoever runs the bot should do about it."""
    return _ADVICE.get(reason(error), "Check that Slack can be reached, and the app's scopes and channels.")


def pause_after(error: BaseException, seconds: float) -> float:
    """How long to wait: what was planned, or longer when Slack asks for it."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if not isinstance(headers, Mapping):
        return seconds
    try:
        asked = float(headers.get("Retry-After", 0))
    except (TypeError, ValueError):
        return seconds
    return max(seconds, min(asked, _LONGEST_OBEYED_SECONDS)) if math.isfinite(asked) else seconds


def _status(error: SlackApiError) -> int:
    for name in ("status_code", "status"):
        status = getattr(error.response, name, None)
        if isinstance(status, int):
            return status
    return 0


def _unspoken(status: int) -> str:
    return f"HTTP {status} without Slack's words"


class Throttle:
    """Lets each thing be said once in `seconds`, so that a long outage does not fill the log."""

    def __init__(self, seconds: float = 60.0, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._said: dict[str, float] = {}

    def may_say(self, what: str) -> bool:
        now = self._now()
        self._said = {key: at for key, at in self._said.items() if now - at < self._seconds}
        if what in self._said:
            return False
        self._said[what] = now
        return True


async def answer_of(ask: Callable[[], Awaitable[AsyncSlackResponse]]) -> AsyncSlackResponse:
    """Make one call. Raises one of UNREACHABLE, also where the SDK trips over an answer that is no object."""
    try:
        return await ask()
    except (AttributeError, LookupError, ValueError) as error:
        raise BadAnswer("the answer was not Slack's") from error


async def reading(ask: Callable[[], Awaitable[AsyncSlackResponse]]) -> AsyncSlackResponse:
    """The answer of a call that changes nothing, asked for again while that may help.

    Raises the last failure, one of UNREACHABLE.
    """
    pause = _FIRST_PAUSE_SECONDS
    for _ in range(_READS - 1):
        try:
            return await answer_of(ask)
        except UNREACHABLE as error:
            if not worth_repeating(error):
                raise
            await asyncio.sleep(pause_after(error, pause))
            pause *= 2
    return await answer_of(ask)


async def repeatable(
    client: AsyncWebClient, method: str, arguments: dict[str, Any], fine: Collection[str] = ()
) -> str:
    """Make a call that may safely be made twice. "" when it worked, else Slack's word, maybe one of `fine`.

    It is decoration: after a few tries it is given up with a line in the log.
    """
    pause = _FIRST_PAUSE_SECONDS
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            await answer_of(lambda: client.api_call(method, json=arguments))
            return ""
        except UNREACHABLE as error:
            if reason(error) in fine:
                return reason(error)
            if last or not worth_repeating(error):
                log.warning("%s did not work (%s). %s", method, reason(error), advice(error))
                return reason(error)
            await asyncio.sleep(pause_after(error, pause))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
    raise AssertionError("not reached")
