"""Blocks as they come in: form checked, ids given. Limits per block are for later."""

from __future__ import annotations

import secrets
from typing import Any

from bot.playground.slack.errors import SlackError
from bot.playground.slack.messages import Json

# fmt: off
KNOWN = frozenset(
    (
        "actions", "alert", "auth_provider", "call", "card", "carousel", "container", "context",
        "context_actions", "divider", "file", "header", "image", "input", "markdown", "plan", "rich_text",
        "section", "table", "task_card", "video",
    )
)
INTERACTIVE = frozenset(
    (
        "button", "channels_select", "checkboxes", "conversations_select", "datepicker", "datetimepicker",
        "external_select", "feedback_buttons", "icon_button", "multi_channels_select",
        "multi_conversations_select", "multi_external_select", "multi_static_select", "multi_users_select",
        "overflow", "plain_text_input", "radio_buttons", "static_select", "timepicker", "users_select",
        "workflow_button",
    )
)
# fmt: on
MAX_BLOCKS = 50
FEEDBACK = ("positive_button", "negative_button")


def checked(value: Any) -> list[Json] | None:
    """The blocks argument as a list with every id filled in, None for none; else Slack's error."""
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        raise SlackError("invalid_blocks_format")
    if len(value) > MAX_BLOCKS:
        raise SlackError("invalid_blocks", f"no more than {MAX_BLOCKS} items allowed [json-pointer:/blocks]")
    return [_checked_block(block, index) for index, block in enumerate(value)]


def _checked_block(block: Any, index: int) -> Json:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise SlackError("invalid_blocks", f"[ERROR] must be a block object [json-pointer:/blocks/{index}]")
    if block["type"] not in KNOWN:
        raise SlackError(
            "invalid_blocks", f"[ERROR] unsupported type: {block['type']} [json-pointer:/blocks/{index}/type]"
        )
    if not all(_has_options_in_form(element) for element in _parts(block)):
        raise SlackError("invalid_blocks", f"[ERROR] malformed options [json-pointer:/blocks/{index}]")
    filled = {key: _with_action_ids(value) for key, value in block.items()}
    if not filled.get("block_id"):
        filled["block_id"] = new_id()
    return filled


def _parts(block: Json) -> list[Any]:
    elements = block.get("elements")
    return [*(elements if isinstance(elements, list) else []), block.get("accessory"), block.get("element")]


def _has_options_in_form(element: Any) -> bool:
    """Whether what is read again later, the options of an element, can be."""
    if not isinstance(element, dict):
        return True
    groups = element.get("option_groups") or []
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        return False
    lists = [element.get("options") or [], *(group.get("options") for group in groups)]
    buttons = [element[key] for key in FEEDBACK if key in element]
    found = [*lists, buttons]
    return all(isinstance(o, list) and all(isinstance(item, dict) for item in o) for o in found)


def _with_action_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_action_ids(item) for item in value]
    if isinstance(value, dict):
        if value.get("type") in INTERACTIVE and not value.get("action_id"):
            return {**value, "action_id": new_id()}
        return value
    return value


def new_id() -> str:
    """A block or action id as Slack makes up for those that came without."""
    return secrets.token_urlsafe(4)[:5]
