"""Was it posted? The thread is read for what an earlier try may have left in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.calls import GONE, UNREACHABLE, Outcome, answer_of, reason

REQUEST_SECONDS = 10.0
Message = Mapping[str, Any]


class NotLooked(Exception):
    """The thread could not be read, which says nothing about the post that is looked for in it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(reason(error))
        self.error = error

    @property
    def means(self) -> Outcome:
        return Outcome.REFUSED if reason(self.error) in GONE else Outcome.UNKNOWN


async def posted(
    client: AsyncWebClient,
    session: Mapping[str, Any],
    row: Mapping[str, Any],
    is_it: Callable[[Message], bool],
) -> str | None:
    """The timestamp of the post of this row, if an earlier try got through. Raises NotLooked.

    It came after the message it answers, by Slack's clock; ours may be wrong and decides nothing here.
    """
    left = row["updated_at"] + REQUEST_SECONDS - time.time()
    await asyncio.sleep(min(max(0.0, left), REQUEST_SECONDS))
    cursor = None
    while True:
        ask = partial(
            client.conversations_replies,
            channel=session["channel"],
            ts=session["thread_ts"],
            oldest=row["intent"].get("message_ts") or session["thread_ts"],
            include_all_metadata=True,
            limit=200,
            cursor=cursor,
        )
        try:
            answer = await answer_of(ask)
        except UNREACHABLE as error:
            raise NotLooked(error) from error
        for message in answer["messages"]:
            if is_it(message):
                return str(message["ts"])
        cursor = (answer.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return None
