"""What Slack makes of typed text: its raw form for `text`, and the rich text block beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_TOKEN = re.compile(
    r"<@(?P<user>[UW][A-Z0-9]+)(?:\|[^<>]*)?>"
    r"|<#(?P<channel>[CGD][A-Z0-9]+)(?:\|[^<>]*)?>"
    r"|<!(?P<range>here|channel|everyone)(?:\|[^<>]*)?>"
    r"|<(?P<url>(?:https?://|mailto:)[^\s<>|]+)(?:\|(?P<label>[^<>]*))?>"
)
_BARE_URL = re.compile(r"https?://[^\s<>|\"'`]*[^\s<>|\"'`.,;:!?)\]}]")
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt);)")
_NAME = re.compile(r"(?<![\w<@./-])@([A-Za-z][\w-]*)")


def raw_form(typed: str, user_id: Callable[[str], str | None]) -> str:
    """Typed text as Slack stores it: entities escaped, bare addresses and known @names in angle brackets.

    `user_id` gives the id for a handle, or None; what is already in raw form is left as it is.
    """
    parts: list[str] = []
    end = 0
    for match in _TOKEN.finditer(typed):
        parts.append(_raw_words(typed[end : match.start()], user_id))
        parts.append(match.group())
        end = match.end()
    parts.append(_raw_words(typed[end:], user_id))
    return "".join(parts)


def _raw_words(words: str, user_id: Callable[[str], str | None]) -> str:
    escaped = _ENTITY.sub("&amp;", words).replace("<", "&lt;").replace(">", "&gt;")
    linked = _BARE_URL.sub(lambda match: f"<{match.group()}>", escaped)

    def mention(match: re.Match[str]) -> str:
        found = user_id(match.group(1))
        return f"<@{found}>" if found else match.group()

    return _NAME.sub(mention, linked)


def rich_text(text: str, block_id: str) -> dict[str, Any]:
    """The `rich_text` block Slack sends beside `text`, which is in raw form."""
    section = {"type": "rich_text_section", "elements": _elements(text)}
    return {"type": "rich_text", "block_id": block_id, "elements": [section]}


def _elements(text: str) -> list[dict[str, Any]]:
    elements: list[dict[str, Any]] = []
    end = 0
    for match in _TOKEN.finditer(text):
        _add_text(elements, text[end : match.start()])
        elements.append(_token_element(match))
        end = match.end()
    _add_text(elements, text[end:])
    return elements


def _add_text(elements: list[dict[str, Any]], text: str) -> None:
    if text:
        elements.append({"type": "text", "text": unescape(text)})


def _token_element(match: re.Match[str]) -> dict[str, Any]:
    if match["user"]:
        return {"type": "user", "user_id": match["user"]}
    if match["channel"]:
        return {"type": "channel", "channel_id": match["channel"]}
    if match["range"]:
        return {"type": "broadcast", "range": match["range"]}
    element = {"type": "link", "url": unescape(match["url"])}
    if match["label"]:
        element["text"] = unescape(match["label"])
    return element


def unescape(text: str) -> str:
    """Slack's three entities turned back into characters."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def mentions(text: str, user: str) -> bool:
    """Whether `text`, in raw form, mentions the user."""
    return any(match["user"] == user for match in _TOKEN.finditer(text))
