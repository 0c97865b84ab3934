"""Slack's text forms: what people typed, made plain for agents, and plain text made safe for Slack."""

from __future__ import annotations

import re

# None looks past the next <, which Slack escapes in what people type: a message of nothing else is read once.
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^<>]*)?>")
_CHANNEL = re.compile(r"<#([CG][A-Z0-9]+)(?:\|([^<>]*))?>")
_LINK = re.compile(r"<((?:https?|mailto)[^<>|]*)(?:\|([^<>]*))?>")
_SPECIAL = re.compile(r"<!([^<>|]*)(?:\|([^<>]*))?>")
# Control characters; what turns, joins or hides the text around it; and what shows as nothing at all, in
# which sentences can be put for an agent that no person sees. The one that makes emoji colourful stays.
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# What Slack obeys, also where Markdown would first undo an entity or a backslash.
_OBEYED = re.compile(r"(?:<|&(?:amp;)*(?:lt|#0*60|#x0*3c);?)(?=\\*[!@#])", re.IGNORECASE)
# A link that hides where it leads: Slack's with a label, or one that is not at its end yet.
_LABELLED = re.compile(r"<(?=[a-z][a-z0-9+.-]*:[^:\s])(?![^<>|]*>)", re.IGNORECASE)
# Markdown's with a label, and its definition elsewhere: known by the start of an address.
_MASKED = re.compile(r"\](?=[(:]\s*[^\s)]{0,40}?(?:[:&\\]|//))")
_STOP_WORDS = frozenset({"stop", "stop!", "stop.", "cancel", "halt"})


def mentions(text: str) -> list[str]:
    """The user ids mentioned, in order."""
    return _MENTION.findall(text)


def spoken_to(text: str) -> str | None:
    """The user id a message begins with, when it begins by addressing someone."""
    match = _MENTION.match(text.strip())
    return match.group(1) if match else None


def visible(text: str) -> str:
    """`text` as it looks: nothing in it hides, turns or joins anything."""
    return _INVISIBLE.sub("", text)


def plain(text: str, bot_user: str) -> str:
    """What was meant: the bot's own mention gone, links bare, Slack's entities undone.

    Other people stay as `<@U…>`, for whoever can look up their names.
    """
    text = _MENTION.sub(lambda m: "" if m.group(1) == bot_user else f"<@{m.group(1)}>", text)
    text = _CHANNEL.sub(lambda m: f"#{m.group(2) or m.group(1)}", text)
    text = _LINK.sub(lambda m: m.group(1), text)
    text = _SPECIAL.sub(lambda m: f"@{m.group(2) or m.group(1)}", text)
    text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return visible(text).strip()


def is_stop(text: str) -> bool:
    """Whether a message says nothing but stop."""
    return text.strip().casefold() in _STOP_WORDS


def escape(text: str) -> str:
    """Text from an agent, a repository or a person, so that Slack shows it and obeys none of it."""
    text = visible(text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """`text` in backticks, on one line; a backtick inside would end it and becomes a quote."""
    return "`" + escape(" ".join(text.split())).replace("`", "ʼ") + "`"


def link(url: str, label: str) -> str:
    """A Slack link; a URL of any other scheme is shown as text."""
    if not url.startswith(("http://", "https://")) or any(c in url for c in "<>|\n"):
        return escape(label)
    return f"<{url.replace('&', '&amp;')}|{escape(label).replace('|', '¦')}>"


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, with an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def harmless(text: str) -> str:
    """Markdown from an agent: nothing is a mention or a broadcast, and every link shows its address."""
    text = _OBEYED.sub("‹", visible(text))
    return _MASKED.sub("] ", _LABELLED.sub("‹", text))
