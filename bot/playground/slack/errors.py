"""The two ways the Slack side says no."""

from __future__ import annotations


class SlackError(Exception):
    """A refusal of the Web API: `code` is Slack's own error name, `messages` its response metadata.

    `more` is what its answer has besides.
    """

    def __init__(self, code: str, *messages: str, **more: str) -> None:
        super().__init__(code)
        self.code = code
        self.messages = messages
        self.more = more


class ControlError(Exception):
    """A refusal of the control or page API: an HTTP status and a sentence for the caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
