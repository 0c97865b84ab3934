"""How a part of the gateway says no."""

from __future__ import annotations

from bot.gateway.words import Denial


class Refused(Exception):
    """The request is answered with this, in words for the program that asked.

    `denial` is what the turn hears of it, for people; None where nobody needs to know.
    """

    def __init__(self, status: int, code: str, text: str, denial: Denial | None = None) -> None:
        self.status, self.code, self.text, self.denial = status, code, text, denial
        super().__init__(text)
