"""The few blocks that posts are made of, within Slack's limits."""

from __future__ import annotations

from typing import Any

from bot.slack.text import escape, shorten

Blocks = list[dict[str, Any]]
LABEL_LIMIT = 75  # of a button and of an option
OPTIONS_LIMIT = 100
_SECTION_LIMIT = 2900
_CODE_LIMIT = 1800


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": shorten(text, _SECTION_LIMIT)}}


def context(*texts: str) -> dict[str, Any]:
    elements = [{"type": "mrkdwn", "text": shorten(text, 1900)} for text in texts[:10]]
    return {"type": "context", "elements": elements}


def plain(text: str, limit: int = LABEL_LIMIT) -> dict[str, Any]:
    return {"type": "plain_text", "text": shorten(text, limit) or "…"}


def code_block(text: str) -> dict[str, Any]:
    """`text` as it is, in a fence that nothing in it can end."""
    inside = escape(shorten(text.strip("\n"), _CODE_LIMIT)).replace("`", "ʼ")
    return section(f"```\n{inside}\n```")
