"""chat.startStream, chat.appendStream and chat.stopStream: a message that grows until it is stopped."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from bot.playground import people
from bot.playground.slack import agents, blocks, views
from bot.playground.slack.calls import Call, Handler
from bot.playground.slack.chat import MAX_MARKDOWN
from bot.playground.slack.errors import SlackError
from bot.playground.slack.messages import Json, Message, Stream

TASK_STATES = ("pending", "in_progress", "complete", "error")
DISPLAY_MODES = ("timeline", "plan")
MAX_TASK_TEXT = 256


def start(call: Call) -> Json:
    """chat.startStream: in channels it names its reader, in direct messages it need not."""
    channel = call.joined_channel()
    thread_ts = call.thread(channel, "invalid_thread_ts")
    if not channel.is_im:
        _check_recipient(call)
    mode = call.args.text("task_display_mode") or "timeline"
    if mode not in DISPLAY_MODES:
        raise SlackError(
            "invalid_arguments", "[ERROR] must be timeline or plan [json-pointer:/task_display_mode]"
        )
    message = Message(
        channel=channel.id,
        ts=call.workspace.clock.ts(),
        user=people.BOT_USER_ID,
        bot_id=people.BOT_ID,
        text="",
        thread_ts=thread_ts,
        stream=Stream(display_mode=mode),
    )
    _receive(message, call)
    call.workspace.post(message)
    return {"channel": channel.id, "ts": message.ts}


def _check_recipient(call: Call) -> None:
    team, user = call.args.text("recipient_team_id"), call.args.text("recipient_user_id")
    if not team:
        raise SlackError("missing_recipient_team_id")
    if not user:
        raise SlackError("missing_recipient_user_id")
    if team != people.TEAM_ID:
        raise SlackError("team_not_found")
    if user not in people.PEOPLE:
        raise SlackError("user_not_found")


def append(call: Call) -> Json:
    """chat.appendStream."""
    message = _open_stream(call)
    if not _receive(message, call):
        raise SlackError("no_text")
    call.workspace.change(message, None)
    return {"channel": message.channel, "ts": message.ts}


def stop(call: Call) -> Json:
    """chat.stopStream: the last words, blocks below them, and if asked the session's new status."""
    message = _open_stream(call)
    previous = deepcopy(message)
    given = blocks.checked(call.args.data("blocks", "invalid_blocks_format"))
    status = agents.session_status(call, "session_status")
    _receive(message, call)
    message.blocks = [*(message.blocks or []), *(given or [])] or None
    message.metadata = call.metadata() or message.metadata
    assert message.stream is not None
    message.stream.state = "stopped"
    call.workspace.change(message, previous)
    if status is not None:
        call.workspace.set_status(message.channel, message.root_ts, status=status)
    shown = views.slack_message(message, hide=views.POSTED_HIDES, parent=call.workspace.parent_of(message))
    return {"channel": message.channel, "ts": message.ts, "message": shown}


def _open_stream(call: Call) -> Message:
    channel = call.joined_channel()
    message = call.own_message(channel, "message_not_owned_by_app")
    if not message.streaming:
        raise SlackError("message_not_in_streaming_state")
    return message


def expire(call: Call) -> None:
    """End the stream that the call is about, as Slack does when it has been open too long."""
    message = call.workspace.messages.get(call.args.text("channel") or "", call.args.text("ts") or "")
    if message is not None and message.stream is not None and message.streaming:
        message.stream.state = "expired"
        call.workspace.change(message, None)


def _receive(message: Message, call: Call) -> bool:
    """Take in `markdown_text` or `chunks`; whether there was anything. A stream stays with its first kind."""
    assert message.stream is not None
    markdown = call.args.text("markdown_text")
    chunks = call.args.data("chunks", "invalid_chunks")
    if chunks is not None and not isinstance(chunks, list):
        raise SlackError("invalid_chunks")
    if markdown and chunks:
        raise SlackError("cannot_provide_both_markdown_text_and_chunks")
    if not markdown and not chunks:
        return False
    _stay_in_mode(message.stream, "markdown_text" if markdown else "chunks")
    for chunk in chunks or [{"type": "markdown_text", "text": markdown}]:
        _receive_chunk(message, message.stream, chunk)
    return True


def _stay_in_mode(stream: Stream, mode: str) -> None:
    if stream.mode not in (None, mode):
        raise SlackError("streaming_mode_mismatch")
    stream.mode = mode


def _receive_chunk(message: Message, stream: Stream, chunk: Any) -> None:
    match chunk:
        case {"type": "markdown_text", "text": str(text)}:
            if len(text) > MAX_MARKDOWN:
                raise SlackError("msg_too_long")
            stream.markdown += text
        case {"type": "plan_update", "title": str(title)}:
            stream.plan_title = title
        case {"type": "task_update", "id": str(), "title": str(), "status": str(status)} if (
            status in TASK_STATES
        ):
            _update_task(stream, chunk)
        case {"type": "blocks", "blocks": list(given)}:
            message.blocks = [*(message.blocks or []), *(blocks.checked(given) or [])]
        case _:
            raise SlackError("invalid_chunks")


def _update_task(stream: Stream, chunk: Json) -> None:
    """A task with a known id is updated in place; details and output are added to, as Slack does."""
    if any(len(chunk.get(key) or "") > MAX_TASK_TEXT for key in ("title", "details", "output")):
        raise SlackError("invalid_chunks")
    empty: Json = {"details": None, "output": None, "sources": None}
    task = next((task for task in stream.tasks if task["id"] == chunk["id"]), None)
    if task is None:
        task = {"id": chunk["id"], **empty}
        stream.tasks.append(task)
    task["title"], task["status"] = chunk["title"], chunk["status"]
    for key in ("details", "output"):
        if chunk.get(key):
            task[key] = (task[key] or "") + chunk[key]
    if chunk.get("sources"):
        task["sources"] = chunk["sources"]


METHODS: dict[str, Handler] = {
    "chat.startStream": start,
    "chat.appendStream": append,
    "chat.stopStream": stop,
}
