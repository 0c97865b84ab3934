"""Buttons, pickers and slash commands on their way to the bot, and what it answers to `response_url`."""

from __future__ import annotations

import secrets
import time
from typing import Any

from aiohttp import web

from bot.playground import people
from bot.playground.slack import blocks, views
from bot.playground.slack.errors import ControlError, SlackError
from bot.playground.slack.messages import Json, Message, elements
from bot.playground.slack.workspace import Workspace

MAX_USES = 5
# What an option of a select is called in the action, by the select's type.
_SELECTED = {
    "users_select": "selected_user",
    "channels_select": "selected_channel",
    "conversations_select": "selected_conversation",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
}
_WITH_OPTIONS = frozenset({"static_select", "radio_buttons", "overflow", "external_select"})
_KEPT = ("action_id", "type", "text", "style", "url", "placeholder", "confirm", "initial_option")


def clicked(
    workspace: Workspace, message: Message, user: people.Person, action_id: str, value: str | None
) -> Json:
    """The `block_actions` payload of one click; ControlError where there is no such element or option."""
    found = [
        (block, element) for block, element in elements(message.blocks) if element["action_id"] == action_id
    ]
    if not found:
        raise ControlError(404, f"message {message.ts} has no action {action_id!r}")
    block, element = _meant(found, value)
    action = _action(element, block, value) | {"action_ts": workspace.clock.ts()}
    channel = people.CHANNELS[message.channel]
    payload = {
        "type": "block_actions",
        **_who(workspace, user),
        "channel": {"id": channel.id, "name": "directmessage" if channel.is_im else channel.name},
        "container": _container(message),
        "state": {"values": _state(message, block, action)},
        "actions": [action],
        "response_url": workspace.response_url(channel.id, user.id, message.thread_ts, message.ts),
    }
    if message.ephemeral_to is None:
        payload["message"] = _clicked_message(workspace, message)
    return payload


def _clicked_message(workspace: Workspace, message: Message) -> Json:
    facts = workspace.messages.replies(message.channel, message.ts)
    parent = workspace.parent_of(message)
    return views.slack_message(message, hide=frozenset({"reactions"}), parent=parent, replies=facts)


def _meant(found: list[tuple[Json, Json]], value: str | None) -> tuple[Json, Json]:
    """Of several elements with one id, the one that has this value."""
    return next((pair for pair in found if value is not None and pair[1].get("value") == value), found[0])


def _who(workspace: Workspace, user: people.Person) -> Json:
    return {
        "team": {"id": people.TEAM_ID, "domain": people.TEAM_DOMAIN},
        "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": people.TEAM_ID},
        "api_app_id": people.APP_ID,
        "token": workspace.verification_token,
        "trigger_id": trigger_id(workspace),
        "enterprise": None,
        "is_enterprise_install": False,
    }


def trigger_id(workspace: Workspace) -> str:
    """An id for opening a view; views come later."""
    right = workspace.secret_prefix + secrets.token_hex(16)
    return f"{time.time_ns() // 1000}.{secrets.randbelow(10**12)}.{right}"


def _container(message: Message) -> Json:
    data: Json = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": message.channel,
        "is_ephemeral": message.ephemeral_to is not None,
    }
    return data | ({"thread_ts": message.thread_ts} if message.thread_ts else {})


def _action(element: Json, block: Json, value: str | None) -> Json:
    action = {key: element[key] for key in _KEPT if key in element} | {"block_id": block.get("block_id", "")}
    kind = element.get("type")
    if kind in _WITH_OPTIONS:
        option = _option(element, value)
        return action | {"selected_option": {key: option[key] for key in ("text", "value") if key in option}}
    if kind == "plain_text_input":
        return action | {"value": _words(element, value)}
    if kind == "feedback_buttons":
        return {**action, "value": _option(element, value).get("value", "")}
    if kind in _SELECTED:
        return action | {_SELECTED[kind]: value or ""}
    if "value" in element:
        return action | {"value": element["value"]}
    return action


def _words(element: Json, value: str | None) -> str:
    """What somebody wrote into a field, within what it takes."""
    most = element.get("max_length")
    if isinstance(most, int) and len(value or "") > most:
        raise ControlError(400, f"action {element['action_id']!r} takes {most} characters at most")
    return value or ""


def _option(element: Json, value: str | None) -> Json:
    known = views.options(element)
    option = next((option for option in known if option.get("value") == value), None)
    if option is None:
        names = ", ".join(str(option.get("value")) for option in known)
        raise ControlError(400, f"action {element['action_id']!r} has no option {value!r}, only: {names}")
    return option


def _state(message: Message, block: Json, action: Json) -> Json:
    """What stands in each input of the message; only the one just used is known to have changed."""
    values: Json = {}
    for other, element in elements(message.blocks):
        used = action if other is block and element["action_id"] == action["action_id"] else {}
        kind = element.get("type")
        if kind in _WITH_OPTIONS - {"overflow"}:
            state = {"selected_option": used.get("selected_option", element.get("initial_option"))}
        elif kind == "plain_text_input":
            state = {"value": used.get("value")}
        else:
            continue
        values.setdefault(other.get("block_id", ""), {})[element["action_id"]] = {"type": kind, **state}
    return values


def commanded(
    workspace: Workspace, channel: people.Channel, user: people.Person, command: str, text: str
) -> Json:
    """The payload of one slash command."""
    return {
        "token": workspace.verification_token,
        "team_id": people.TEAM_ID,
        "team_domain": people.TEAM_DOMAIN,
        "channel_id": channel.id,
        "channel_name": "directmessage" if channel.is_im else channel.name,
        "user_id": user.id,
        "user_name": user.name,
        "command": command,
        "text": text,
        "api_app_id": people.APP_ID,
        "is_enterprise_install": False,
        "response_url": workspace.response_url(channel.id, user.id, None, None),
        "trigger_id": trigger_id(workspace),
    }


async def response_url(request: web.Request, workspace: Workspace) -> web.Response:
    """`POST /response/SECRET`: at most 5 times within 30 minutes, like Slack's."""
    row = workspace.store.one("select * from response_urls where secret = ?", request.match_info["secret"])
    if row is None or row["expires_at"] < time.time() or row["uses"] >= MAX_USES:
        return web.json_response({"ok": False, "error": "expired_url" if row else "no_such_url"}, status=404)
    try:
        body = await request.json()
    except (ValueError, LookupError, RecursionError):
        return web.json_response({"ok": False, "error": "invalid_payload"}, status=400)
    entry = {"method": "response_url", "at": time.time(), "args": body, "fault": None}
    try:
        _used(workspace, row, body)
    except SlackError as error:
        workspace.log_request(entry | {"status": 400, "ok": False, "error": error.code})
        return web.json_response({"ok": False, "error": error.code}, status=400)
    workspace.log_request(entry | {"status": 200, "ok": True, "error": None})
    return web.json_response({"ok": True})


def _used(workspace: Workspace, row: Any, body: Any) -> None:
    if not isinstance(body, dict):
        raise SlackError("invalid_payload")
    with workspace.store.transaction():
        workspace.store.run("update response_urls set uses = uses + 1 where secret = ?", row["secret"])
        answer(workspace, row["channel"], row["user"], row["thread_ts"], row["message_ts"], body)


def answer(
    workspace: Workspace, channel: str, user: str, thread_ts: str | None, message_ts: str | None, body: Json
) -> None:
    """Do what an answer to an interaction says: replace, delete, or post for one person or for all."""
    original = workspace.messages.get(channel, message_ts) if message_ts else None
    if body.get("delete_original") and original is not None:
        workspace.delete(original)
        return
    text, given = str(body.get("text") or ""), blocks.checked(body.get("blocks"))
    if not text and not given:
        raise SlackError("no_text")
    if body.get("replace_original") and original is not None:
        original.text, original.blocks, original.stream = text, given, None
        workspace.edit(original, people.BOT_USER_ID)
        return
    public = body.get("response_type") == "in_channel"
    workspace.post(
        Message(
            channel=channel,
            ts=workspace.clock.ts(),
            user=people.BOT_USER_ID,
            bot_id=people.BOT_ID,
            text=text,
            blocks=given,
            thread_ts=_thread(workspace, channel, body.get("thread_ts")) or thread_ts,
            ephemeral_to=None if public else user,
        )
    )


def _thread(workspace: Workspace, channel: str, asked_for: object) -> str | None:
    message = workspace.messages.get(channel, asked_for) if isinstance(asked_for, str) else None
    return message.root_ts if message else None
