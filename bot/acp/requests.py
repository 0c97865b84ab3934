"""What an agent may ask of us: permission, and people. No file and no terminal of the host is lent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from acp.exceptions import RequestError
from acp.meta import CLIENT_METHODS

from bot.acp.shape import mapping
from bot.acp.text import clean_line
from bot.acp.updates import tool_facts

PERMISSION = CLIENT_METHODS["session_request_permission"]
FORM = CLIENT_METHODS["elicitation_create"]
WRITE = CLIENT_METHODS["fs_write_text_file"]
OPTION_LIMIT = 20


@dataclass(frozen=True, slots=True)
class PermissionOption:
    """One answer the agent offers. `kind` is allow_once, allow_always, reject_once or reject_always."""

    id: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class PermissionAsk:
    """The agent asks before it uses a tool. All of it is the agent's own words, bounded and cleaned.

    What it said of that tool before counts where the request leaves it out. `diff` is an excerpt.
    """

    tool_id: str
    title: str
    kind: str
    options: tuple[PermissionOption, ...]
    command: str = ""
    paths: tuple[str, ...] = ()
    diff: str = ""


Policy = Callable[[PermissionAsk], Awaitable[str | None]]
"""Answers with the id of an option, or None for none of them."""

Ask = Callable[[PermissionAsk], Awaitable[str | None]]
"""Puts a permission to people and waits; the id of an option, None when nobody answers."""


async def allow_once(ask: PermissionAsk) -> str | None:
    """The default policy: the sandbox is the boundary, so inside it everything is allowed, each time anew."""
    by_kind = {option.kind: option.id for option in reversed(ask.options)}
    return by_kind.get("allow_once", by_kind.get("allow_always"))


async def deny(ask: PermissionAsk) -> str | None:
    """No, each time anew: what is refused for good could not be allowed by a later setting."""
    return next((option.id for option in ask.options if option.kind == "reject_once"), None)


def asking(ask: Ask) -> Policy:
    """The policy that lets people decide. No answer, or one that was not offered, is a no."""

    async def decide(permission: PermissionAsk) -> str | None:
        answer = await ask(permission)
        offered = {option.id for option in permission.options}
        return answer if answer in offered else await deny(permission)

    return decide


def policy_of(permissions: str, ask: Ask) -> Policy:
    """The policy by a recipe's word: allow, deny or ask."""
    policies: dict[str, Policy] = {"allow": allow_once, "ask": asking(ask)}
    return policies.get(permissions, deny)


def permission_ask(params: object, root: str = "", known: Mapping[str, Any] | None = None) -> PermissionAsk:
    """Read a permission request; raises RequestError (invalid params) for one without usable options.

    `known` is what was said of its tool before.
    """
    fields = mapping(params)
    tool = mapping(fields.get("toolCall"))
    listed = fields.get("options")
    options = [_option(item) for item in listed[:OPTION_LIMIT]] if isinstance(listed, list) else []
    if not any(options):
        raise RequestError.invalid_params({"details": "options: expected a list of {optionId, kind, name}"})
    facts = {**(known or {}), **tool_facts(tool, root)}
    diffs = facts.get("diffs", [])
    return PermissionAsk(
        tool_id=clean_line(tool.get("toolCallId"), 128),
        title=facts.get("title", ""),
        kind=facts.get("kind", ""),
        options=tuple(option for option in options if option),
        command=facts.get("command", ""),
        paths=tuple(dict.fromkeys([*facts.get("locations", []), *(diff["path"] for diff in diffs)])),
        diff=next((diff["excerpt"] for diff in diffs if "excerpt" in diff), ""),
    )


def outcome(option_id: str | None) -> dict[str, Any]:
    """The response to a permission request; None says that the turn was cancelled."""
    if option_id is None:
        return {"outcome": {"outcome": "cancelled"}}
    return {"outcome": {"outcome": "selected", "optionId": option_id}}


def refuse(method: str) -> dict[str, Any]:
    """Answer everything else.

    Writing is a no-op: opencode writes through us after an approved edit although we declared that we have
    no file system, and its turn fails on an error. All else is refused with -32601.
    """
    if method == WRITE:
        return {}
    raise RequestError.method_not_found(method)


def _option(item: object) -> PermissionOption | None:
    fields = mapping(item)
    option_id = fields.get("optionId")
    if not isinstance(option_id, str) or not 0 < len(option_id) <= 128:
        return None
    return PermissionOption(
        option_id, clean_line(fields.get("kind"), 32), clean_line(fields.get("name"), 100)
    )
