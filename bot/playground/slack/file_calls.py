"""The files.* methods: looking one up, and the three steps of an upload."""

from __future__ import annotations

import secrets

from bot.playground import people
from bot.playground.slack import blocks, richtext
from bot.playground.slack.calls import Call, Handler
from bot.playground.slack.errors import SlackError
from bot.playground.slack.files import MAX_FILE_BYTES, MAX_FILES, File, described, new_file
from bot.playground.slack.messages import Json, Message

READ, WRITE = "files:read", "files:write"


def info(call: Call) -> Json:
    """files.info, of one that was posted where the bot is."""
    call.needs(READ)
    file = call.workspace.files.get(call.args.need("file"))
    if file is None or not (file.user == people.BOT_USER_ID or _is_seen(call, file)):
        raise SlackError("file_not_found")
    shown = described(file, call.workspace.base_url) | _shares(file)
    return {
        "file": shown,
        "comments": [],
        "response_metadata": {"next_cursor": ""},
    }


def _is_seen(call: Call, file: File) -> bool:
    return any(call.workspace.is_member(channel, people.BOT_USER_ID) for channel, *_ in file.shares)


def _shares(file: File) -> Json:
    channels = list(dict.fromkeys(channel for channel, *_ in file.shares))
    ims = [channel for channel in channels if people.CHANNELS[channel].is_im]
    shares: Json = {}
    for channel, ts, thread_ts in file.shares:
        share: Json = {"ts": ts, "team_id": people.TEAM_ID, "share_user_id": file.user}
        if thread_ts:
            share["thread_ts"] = thread_ts
        shares.setdefault(channel, []).append(share)
    public = {channel: shares[channel] for channel in channels if channel not in ims}
    private = {channel: shares[channel] for channel in ims}
    return {
        "channels": [channel for channel in channels if channel not in ims],
        "groups": [],
        "ims": ims,
        "shares": ({"public": public} if public else {}) | ({"private": private} if private else {}),
    }


def get_upload_url(call: Call) -> Json:
    """files.getUploadURLExternal: where to send the bytes to, once."""
    call.needs(WRITE)
    length = call.args.values.get("length")
    if not str(length or "").isdigit() or int(str(length)) == 0:
        raise SlackError("missing_argument" if length in (None, "", 0, "0") else "invalid_arguments")
    name = call.args.text("filename")
    if not name:
        raise SlackError("missing_argument")
    if int(str(length)) > MAX_FILE_BYTES:
        raise SlackError("file_upload_size_restricted")
    file = new_file(people.BOT_USER_ID, name, int(str(length)))
    ticket = call.workspace.secret_prefix + secrets.token_urlsafe(24)
    call.workspace.files.add(file, None, ticket)
    return {"upload_url": f"{call.workspace.base_url}/upload/v1/{ticket}", "file_id": file.id}


def complete_upload(call: Call) -> Json:
    """files.completeUploadExternal: once a file, and with a channel it is posted there."""
    call.needs(WRITE)
    wanted = _wanted(call)
    found = [call.workspace.files.uploaded(str(each["id"])) for each in wanted]
    complete = [file for file in found if file is not None]
    if len(complete) != len(wanted):
        raise SlackError("file_not_found")
    for file, each in zip(complete, wanted, strict=True):
        file.title = str(each.get("title") or file.name)
    message = _message(call) if call.args.text("channel_id") else None
    for file in complete:
        if message is not None:
            file.shares.append([message.channel, message.ts, message.thread_ts or ""])
        call.workspace.files.save(file)
    if message is not None:
        message.files = [described(file, call.workspace.base_url) for file in complete]
        call.workspace.post(message)
    return {"files": [{"id": file.id, "title": file.title} for file in complete]}


def _wanted(call: Call) -> list[Json]:
    given = call.args.data("files", "invalid_arguments")
    if not isinstance(given, list) or not 0 < len(given) <= MAX_FILES:
        raise SlackError("invalid_arguments", "[ERROR] missing required field: files")
    if not all(isinstance(each, dict) and isinstance(each.get("id"), str) for each in given):
        raise SlackError("invalid_arguments", "[ERROR] must provide an object [json-pointer:/files/0]")
    return given


def _message(call: Call) -> Message:
    channel = call.joined_channel("channel_id")
    thread_ts = call.thread(channel)
    text = call.args.text("initial_comment") or ""
    return Message(
        channel=channel.id,
        ts=call.workspace.clock.ts(),
        user=people.BOT_USER_ID,
        bot_id=people.BOT_ID,
        text=text,
        blocks=[richtext.rich_text(text, blocks.new_id())] if text else None,
        thread_ts=thread_ts,
        subtype="file_share",
    )


METHODS: dict[str, Handler] = {
    "files.info": info,
    "files.getUploadURLExternal": get_upload_url,
    "files.completeUploadExternal": complete_upload,
}
