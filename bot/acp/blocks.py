"""Content blocks of a prompt: text, and what people attached, as far as the agent takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bot.acp.abilities import Abilities
from bot.acp.shape import mapping, string
from bot.acp.text import clean_line

IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})  # what models can look at
IMAGE_CHARACTERS = 5_000_000  # of base64; common models refuse a larger one, and the whole prompt with it
RESOURCE_CHARACTERS = 100_000
PROMPT_CHARACTERS = 20_000_000  # of all attachments of one prompt
NAME_LIMIT = 200

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")

Block = dict[str, Any]


def text_block(text: str) -> Block:
    return {"type": "text", "text": text}


def image_block(mime: str, data: str, uri: str = "") -> Block:
    """An image as base64. `uri` says where it lies in the sandbox, for agents that cannot see it."""
    place = {"uri": uri} if uri else {}
    return {"type": "image", "mimeType": mime, "data": data} | place


def resource_block(uri: str, text: str, mime: str = "text/plain") -> Block:
    """A file whose text the agent gets with the prompt."""
    return {"type": "resource", "resource": {"uri": uri, "text": text, "mimeType": mime}}


def resource_link_block(uri: str, name: str, mime: str = "") -> Block:
    """A file that the agent may read for itself; every agent takes these."""
    kind = {"mimeType": mime} if mime else {}
    return {"type": "resource_link", "uri": uri, "name": clean_line(name, NAME_LIMIT)} | kind


def fitting(blocks: Sequence[Mapping[str, Any]], abilities: Abilities) -> list[Block]:
    """The same blocks, but what the agent does not take, or what is too large, as words about where it is."""
    fit: list[Block] = []
    left = PROMPT_CHARACTERS
    for block in blocks:
        size = _size(block)
        takes = size <= left and _takes(block, abilities)
        left -= size if takes else 0
        fit.append(dict(block) if takes else text_block(_words(block)))
    return fit


def _size(block: Mapping[str, Any]) -> int:
    return len(string(block.get("data"))) + len(string(mapping(block.get("resource")).get("text")))


def _takes(block: Mapping[str, Any], abilities: Abilities) -> bool:
    match block.get("type"):
        case "text" | "resource_link":
            return True
        case "image":
            data = string(block.get("data"))
            fits = 0 < len(data) <= IMAGE_CHARACTERS and len(data) % 4 == 0
            known = string(block.get("mimeType")) in IMAGE_TYPES
            return abilities.image and known and fits and _BASE64.fullmatch(data) is not None
        case "resource":
            return abilities.embedded_context and _size(block) <= RESOURCE_CHARACTERS
        case _:
            return False


def _words(block: Mapping[str, Any]) -> str:
    """Its kind, and its path inside."""
    uri = string(block.get("uri")) or string(mapping(block.get("resource")).get("uri"))
    path = clean_line(uri.removeprefix("file://"), NAME_LIMIT * 2)
    what = "An image" if block.get("type") == "image" else "A file"
    if not path:
        return f"[{what} came with this that cannot be shown here.]"
    return f"[{what} came with this; it is in the sandbox at {path}]"
