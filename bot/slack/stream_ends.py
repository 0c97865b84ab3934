"""Ending a stream so that no step of it looks at work any more, whoever ended it: we, Slack, or a crash."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.calls import repeatable
from bot.slack.stream_chunks import Chunk

NO_STREAM = frozenset({"message_not_in_streaming_state", "message_not_found"})
_BUSY = frozenset({"pending", "in_progress"})
Message = Mapping[str, Any]


async def end_stream(
    client: AsyncWebClient,
    channel: str,
    ts: str,
    steps: list[Chunk],
    read: Callable[[], Awaitable[Message | None]],
) -> None:
    """Stop it with `steps` in their last state; one that Slack has stopped already is changed as a message.

    `read` gives that message as Slack has it. All of it is decoration: a failure is a line in the log.
    """
    arguments = {"channel": channel, "ts": ts, **({"chunks": steps} if steps else {})}
    answer = await repeatable(client, "chat.stopStream", arguments, NO_STREAM)
    if not steps or answer != "message_not_in_streaming_state":
        return
    message = await read()
    if message is not None and busy_steps(message, "error"):
        text, blocks = str(message.get("text") or ""), _ended(message, {s["id"]: s["status"] for s in steps})
        changed = {"channel": channel, "ts": ts, "text": text, "blocks": blocks}
        await repeatable(client, "chat.update", changed)


def busy_steps(message: Message, status: str) -> list[Chunk]:
    """What ends the steps of a message that still look at work."""
    cards = [card for card in _cards(message.get("blocks") or []) if card.get("status") in _BUSY]
    return [
        {"type": "task_update", "id": str(card["task_id"]), "title": str(card["title"]), "status": status}
        for card in cards
    ]


def _ended(message: Message, states: Mapping[str, str]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = copy.deepcopy(list(message["blocks"]))
    for card in _cards(blocks):
        if card.get("status") in _BUSY:
            card["status"] = states.get(str(card["task_id"]), "error")
    return blocks


def _cards(blocks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The task cards of a message, those of a plan among them."""
    for block in blocks:
        if block.get("type") == "task_card":
            yield block
        yield from (task for task in block.get("tasks") or [])
