"""Agent sessions and assistant threads: what the bot shows on a thread while it works."""

from __future__ import annotations

from bot.playground.slack.calls import Call, Handler
from bot.playground.slack.errors import SlackError
from bot.playground.slack.messages import Json

SESSION_STATES = ("active", "processing", "suspended", "closed")
MAX_TITLE = 200
MAX_PROMPTS = 4
MAX_LOADING_MESSAGES = 10


def session_status(call: Call, name: str) -> str | None:
    """The session status an argument asks for; None where it is absent."""
    value = call.args.text(name)
    if value is not None and value not in SESSION_STATES:
        raise SlackError(
            "invalid_arguments", f"[ERROR] must be one of {SESSION_STATES} [json-pointer:/{name}]"
        )
    return value


def _thread(call: Call) -> tuple[str, str]:
    channel = call.joined_channel("channel_id")
    thread_ts = call.thread(channel, "invalid_thread_ts")
    if thread_ts is None:
        raise SlackError("invalid_thread_ts")
    return channel.id, thread_ts


def _title(call: Call) -> str | None:
    title = call.args.text("title")
    if title is not None and len(title) > MAX_TITLE:
        raise SlackError(
            "invalid_arguments", "[ERROR] must be no more than 200 characters [json-pointer:/title]"
        )
    return title


def set_session_status(call: Call) -> Json:
    """agents.sessions.setStatus: makes the session if there is none; title and initiator count only then."""
    channel, thread_ts = _thread(call)
    status = session_status(call, "status")
    if status is None:
        raise SlackError("invalid_arguments", "[ERROR] missing required field: status")
    before = call.workspace.status(channel, thread_ts)
    changes: Json = {"status": status}
    if before is None or before["status"] is None:
        changes |= {"title": _title(call), "initiator": call.args.text("initiator_user_id")}
    after = call.workspace.set_status(channel, thread_ts, **changes)
    answer: Json = {"status": status, "agent_status": status}
    return answer | ({"title": after["title"]} if after and after["title"] else {})


def rename_session(call: Call) -> Json:
    """agents.sessions.rename."""
    channel, thread_ts = _thread(call)
    call.args.need("title")
    status = call.workspace.status(channel, thread_ts)
    if status is None or status["status"] is None:
        raise SlackError("session_not_found")
    title = _title(call)
    call.workspace.set_status(channel, thread_ts, title=title)
    return {"title": title}


def set_thread_status(call: Call) -> Json:
    """assistant.threads.setStatus: cleared by an empty status and by the bot's next message there."""
    channel, thread_ts = _thread(call)
    text = call.args.text("status")
    if text is None:
        raise SlackError("invalid_arguments", "[ERROR] missing required field: status")
    loading = call.args.data("loading_messages", "invalid_arguments") or []
    if not isinstance(loading, list) or len(loading) > MAX_LOADING_MESSAGES:
        raise SlackError(
            "invalid_arguments", "[ERROR] no more than 10 items [json-pointer:/loading_messages]"
        )
    call.workspace.set_status(channel, thread_ts, text=text, loading_messages=loading if text else [])
    return {}


def set_thread_title(call: Call) -> Json:
    """assistant.threads.setTitle."""
    channel, thread_ts = _thread(call)
    call.args.need("title")
    call.workspace.set_status(channel, thread_ts, title=_title(call))
    return {}


def set_suggested_prompts(call: Call) -> Json:
    """assistant.threads.setSuggestedPrompts: checked, but the page does not draw them."""
    call.channel("channel_id")
    prompts = call.args.data("prompts", "invalid_arguments")
    well_formed = isinstance(prompts, list) and all(
        isinstance(prompt, dict) and prompt.get("title") and prompt.get("message") for prompt in prompts
    )
    if not well_formed or len(prompts) > MAX_PROMPTS:
        raise SlackError("invalid_arguments", "[ERROR] must be at most 4 prompts with title and message")
    return {}


METHODS: dict[str, Handler] = {
    "agents.sessions.setStatus": set_session_status,
    "agents.sessions.rename": rename_session,
    "assistant.threads.setStatus": set_thread_status,
    "assistant.threads.setTitle": set_thread_title,
    "assistant.threads.setSuggestedPrompts": set_suggested_prompts,
}
