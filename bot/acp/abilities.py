"""What an agent said it can do, when hands were shaken and when its session opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.acp.options import Choice, ConfigOption, choices
from bot.acp.shape import mapping


@dataclass(frozen=True, slots=True)
class Abilities:
    """All of it is the agent's own word. `modes` and `options` are known once a session is open."""

    load_session: bool = False
    resume_session: bool = False  # as loading, but without the history being said again
    image: bool = False
    audio: bool = False
    embedded_context: bool = False  # the text of a file within a prompt
    mcp_http: bool = False
    mcp_sse: bool = False
    auth_methods: tuple[Choice, ...] = ()
    modes: tuple[Choice, ...] = ()
    options: tuple[ConfigOption, ...] = ()


def abilities(hello: Mapping[str, Any]) -> Abilities:
    """Read the answer to `initialize`; what has the wrong shape counts as not able."""
    able = mapping(hello.get("agentCapabilities"))
    prompt, mcp = mapping(able.get("promptCapabilities")), mapping(able.get("mcpCapabilities"))
    return Abilities(
        load_session=able.get("loadSession") is True,
        resume_session=isinstance(mapping(able.get("sessionCapabilities")).get("resume"), Mapping),
        image=prompt.get("image") is True,
        audio=prompt.get("audio") is True,
        embedded_context=prompt.get("embeddedContext") is True,
        mcp_http=mcp.get("http") is True,
        mcp_sse=mcp.get("sse") is True,
        auth_methods=choices(hello.get("authMethods"), "id"),
    )
