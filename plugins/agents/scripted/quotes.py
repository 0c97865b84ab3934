"""A request as people type it, made regular: chat marks undone, quoted parts set aside."""

from __future__ import annotations

import re
from typing import NamedTuple

_OPEN, _CLOSE = "\ue000", "\ue001"  # private characters around the number of a quoted part
QUOTED = f"{_OPEN}[0-9]+{_CLOSE}"

_CLOSERS = {'"': '"”', "“": '”“"', "”": '”"', "„": '“”"', "«": "»", "'": "'’", "‘": "’'", "`": "`"}
_LANGUAGES = re.compile(
    r"(?:bash|sh|shell|console|js|jsx|ts|tsx|json|html|css|md|markdown|py|python|toml|ya?ml|text|txt)?\n"
)
_LINK = re.compile(r"<(?:https?://|mailto:)([^|>\s]+)(?:\|([^>]*))?>")
_MARK = re.compile(
    r"<(?:@[UWB][A-Z0-9]+|#[CG][A-Z0-9]+|!(?:here|channel|everyone)|!subteam\^\w+)(?:\|[^>]*)?>"
)
_ENTITY = re.compile(r"&(lt|gt|amp);")
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&"}
_LEFTOVERS = re.compile(r"\A(?:\s*@[\w.-]+[:,]?\s+|\s*repo(?:sitory)?=\S+)+", re.IGNORECASE)


class Quoted(NamedTuple):
    """A quoted part as it was typed, and what it quotes."""

    raw: str
    text: str


class Request(NamedTuple):
    """`skeleton` is the request with every quoted part replaced by its number."""

    skeleton: str
    parts: list[Quoted]

    def plain(self, fragment: str) -> str:
        """A piece of the skeleton as it was typed."""
        return re.sub(QUOTED, lambda match: self.parts[int(match[0][1:-1])].raw, fragment)

    def value(self, fragment: str) -> str:
        """What a piece of the skeleton stands for: the quoted text, or the words themselves."""
        fragment = fragment.strip()
        if re.fullmatch(QUOTED, fragment):
            return self.parts[int(fragment[1:-1])].text
        return self.plain(fragment)


def read(text: str) -> Request:
    """Undo the marks of a chat, set quoted parts aside, drop what was addressed to the bot and not to us."""
    text = text.replace(_OPEN, "").replace(_CLOSE, "").replace("\u00a0", " ").replace("\r\n", "\n")
    skeleton, parts = _set_aside(from_slack(text))
    return Request(_LEFTOVERS.sub("", skeleton).strip(), parts)


def from_slack(text: str) -> str:
    """Slack's links (it makes one of README.md), mentions and entities, as they were typed.

    A text with a bare <, > or & did not come from Slack, or was undone before, and keeps its entities.
    """
    text = _LINK.sub(lambda match: match[2] or match[0][1:-1], text)
    text = _MARK.sub("", text)
    if re.search(r"[<>]|&(?!(?:lt|gt|amp);)", text):
        return text
    return _ENTITY.sub(lambda match: _ENTITIES[match[1]], text)


def _set_aside(text: str) -> tuple[str, list[Quoted]]:
    out: list[str] = []
    parts: list[Quoted] = []
    at = 0
    while at < len(text):
        found = _fenced(text, at) or _quoted(text, at)
        if found is None:
            out.append(text[at])
            at += 1
            continue
        out.append(f"{_OPEN}{len(parts)}{_CLOSE}")
        parts.append(found)
        at += len(found.raw)
    return "".join(out), parts


def _fenced(text: str, at: int) -> Quoted | None:
    end = text.find("```", at + 3) if text.startswith("```", at) else -1
    if end < 0:
        return None
    body = text[at + 3 : end]
    first_line = _LANGUAGES.match(body)
    return Quoted(text[at : end + 3], (body[first_line.end() :] if first_line else body).removesuffix("\n"))


def _quoted(text: str, at: int) -> Quoted | None:
    closers = _CLOSERS.get(text[at])
    if closers is None or (text[at] in "'‘" and at > 0 and text[at - 1] not in " \t\n(:,"):
        return None
    end = next((i for i in range(at + 1, len(text)) if _closes(text, i, closers)), None)
    if end is None:
        return None
    body = text[at + 1 : end]
    return Quoted(text[at : end + 1], body.replace('\\"', '"') if text[at] == '"' else body)


def _closes(text: str, at: int, closers: str) -> bool:
    if text[at] not in closers or text[at - 1] == "\\":
        return False
    is_apostrophe = text[at] in "'’" and text[at + 1 : at + 2].isalnum()
    return not is_apostrophe
