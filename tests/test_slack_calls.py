"""What a failed call to Slack means, whatever it was that answered in Slack's place."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from bot.slack.calls import Outcome, Throttle, advice, outcome, pause_after, reason, worth_repeating

pytestmark = pytest.mark.proof("outside")


class Bare:
    """An HTTP response as aiohttp has it, which the SDK hands over when it cannot read the body."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers or {}


class Answer:
    """The SDK's own response."""

    def __init__(self, data: Any, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        self.data = data
        self.status_code = status_code
        self.headers = headers or {}


def error(response: Any) -> SlackApiError:
    return SlackApiError("a body that nobody should see", response)


def said(word: str, status: int = 200) -> SlackApiError:
    return error(Answer({"ok": False, "error": word}, status))


@pytest.mark.parametrize("word", ["channel_not_found", "is_archived", "msg_too_long", "restricted_action"])
def test_only_what_can_never_be_posted_there_is_refused(word: str) -> None:
    assert outcome(said(word)) is Outcome.REFUSED
    assert outcome(said(word, 503)) is Outcome.UNKNOWN, "a broken server's words count for nothing"


@pytest.mark.parametrize(
    ("response", "means", "again"),
    [
        (Answer({"error": "ratelimited"}, 429), Outcome.PASSING, True),
        (Answer({"error": "token_revoked"}), Outcome.PASSING, False),
        (Answer({"error": "account_inactive"}), Outcome.PASSING, False),
        (Answer({"error": "never_heard_of"}), Outcome.UNKNOWN, False),
        (Answer({"error": ["odd"]}), Outcome.UNKNOWN, True),
        (Answer("too many requests", 429), Outcome.PASSING, True),
        (Answer("upstream connect error", 503), Outcome.UNKNOWN, True),
        (Answer(b"bytes", 502), Outcome.UNKNOWN, True),
        (Answer([], 404), Outcome.UNKNOWN, True),
        (Answer(None, 500), Outcome.UNKNOWN, True),
        (Bare(503), Outcome.UNKNOWN, True),
        (Bare(429), Outcome.PASSING, True),
        (Bare(403), Outcome.UNKNOWN, True),
        ({"error": "channel_not_found"}, Outcome.REFUSED, False),
        (None, Outcome.UNKNOWN, True),
    ],
)
def test_any_answer_has_a_meaning(response: Any, means: Outcome, again: bool) -> None:
    failed = error(response)
    assert outcome(failed) is means
    assert worth_repeating(failed) is again
    assert "nobody should see" not in reason(failed)
    assert advice(failed)


@pytest.mark.parametrize(
    ("after", "seconds"),
    [("7", 7.0), ("0", 2.0), ("soon", 2.0), ("nan", 2.0), ("inf", 2.0), ("1e9", 600.0), ("-5", 2.0)],
)
def test_a_pause_is_as_long_as_slack_asks_within_reason(after: str, seconds: float) -> None:
    for response in (Answer({}, 429, {"Retry-After": after}), Bare(429, {"Retry-After": after})):
        assert pause_after(error(response), 2.0) == seconds
    assert pause_after(error({"error": "x"}), 2.0) == 2.0
    assert pause_after(TimeoutError(), 2.0) == 2.0


def test_a_complaint_is_made_once_a_minute() -> None:
    at = [0.0]
    throttle = Throttle(60.0, lambda: at[0])
    assert throttle.may_say("token_revoked")
    assert not throttle.may_say("token_revoked")
    assert throttle.may_say("ratelimited")
    at[0] = 60.0
    assert throttle.may_say("token_revoked")
