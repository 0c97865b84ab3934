"""What all clicks share: whose prompt is meant, and words for whoever clicked."""

from __future__ import annotations

import logging
import re

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain import PromptId
from bot.errors import UserError
from bot.slack.block_kit import Blocks

log = logging.getLogger(__name__)

_PROMPT = re.compile(r"[0-9]{1,15}")


def prompt_of_click(value: str, what: str) -> PromptId:
    """The prompt that a value of ours names. UserError where it is none; `what` is what was clicked."""
    if not _PROMPT.fullmatch(value):
        raise UserError(f"That {what} is not one of mine.")
    return PromptId(int(value))


async def whisper(
    client: AsyncWebClient,
    channel: str,
    user: str,
    thread_ts: str | None,
    text: str,
    blocks: Blocks | None = None,
) -> None:
    """Said to one person alone; decoration, so a failure is logged and no more."""
    try:
        await client.chat_postEphemeral(
            channel=channel, user=user, thread_ts=thread_ts, text=text, blocks=blocks
        )
    except Exception as error:
        log.warning("could not tell %s something (%s)", user, type(error).__name__)
