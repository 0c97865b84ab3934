"""What arrived from Slack, read into a handful of plain records. Pure; nothing here answers Slack.

A body that is not one of these is ignored, and `read` says so with None. Everything in a body is
untrusted: a field of the wrong type makes the whole body unread, never half read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bot.domain import Attachment, ThreadKey
from bot.slack.text import is_stop, mentions, plain, spoken_to, visible

PICK_REPOSITORY = "choose_repository"
WRONG_REPOSITORY = "wrong_repository"
MOVE_REPOSITORY = "move_repository"
ANSWER = "answer"  # begins the id of what answers a question of the agent; its block is named by the question
ANSWER_WORDS = "answer_words"
WORDS_BLOCK = ":words"  # ends the name of the block with the field for words of one's own
STOP_REACTIONS = frozenset({"x", "negative_squared_cross_mark", "octagonal_sign"})
_PERSON_SUBTYPES = frozenset({"", "file_share", "thread_broadcast"})
_FILES_KEPT = 20
_NAME_LIMIT, _TYPE_LIMIT, _ADDRESS_LIMIT = 255, 100, 2000
_STAMP = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}")
_ID = re.compile(r"[A-Za-z0-9]{1,40}")
_QUESTION = re.compile(rf"(ask:[0-9]{{1,15}}:[0-9]{{1,9}}:[0-9]{{1,9}})(?:{WORDS_BLOCK})?")
_PLACE = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Said:
    """A message that may be a prompt. `addressed` is false for an unmentioned reply in a thread."""

    thread: ThreadKey
    ts: str
    user: str
    user_team: str
    text: str
    addressed: bool
    stop: bool
    files: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Edited:
    channel: str
    ts: str
    thread: ThreadKey
    user: str
    text: str
    files: tuple[Attachment, ...] | None = None  # None: as they were


@dataclass(frozen=True, slots=True)
class Deleted:
    channel: str
    ts: str
    thread: ThreadKey


@dataclass(frozen=True, slots=True)
class StopPressed:
    """The native Stop button, or a ❌ on a message. `ts` names a message whose thread is not known yet.

    `key` is the same each time this one is delivered; "" where nothing tells.
    """

    team: str
    channel: str
    user: str
    thread_ts: str | None
    ts: str | None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Picked:
    """An answer to the repository picker. `value` is `prompt id|repository`, as we had put it there."""

    thread: ThreadKey
    user: str
    user_team: str
    value: str


@dataclass(frozen=True, slots=True)
class WrongPressed:
    """“Wrong repository?” on an opening message. `value` is the prompt's id, as we had put it there."""

    thread: ThreadKey
    user: str
    value: str


@dataclass(frozen=True, slots=True)
class MovePicked:
    """An answer to the picker behind it. `value` is `prompt id|repository`, as we had put it there."""

    thread: ThreadKey
    user: str
    value: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to a question of a running turn: the place of an option, or words."""

    thread: ThreadKey
    user: str
    user_team: str
    question: str
    option: int | None
    words: str


Intake = Said | Edited | Deleted | StopPressed | Picked | WrongPressed | MovePicked | Answered


class _Unreadable(Exception):
    pass


def _text(source: Mapping[str, Any], key: str) -> str:
    value = _maybe(source, key)
    if not value:
        raise _Unreadable(key)
    return value


def _maybe(source: Mapping[str, Any], key: str) -> str:
    """A text that may be left out: "" then."""
    value = source.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Unreadable(key)
    return value


def _id(source: Mapping[str, Any], key: str) -> str:
    """Slack's name of a person, a channel or a team."""
    value = _text(source, key)
    if not _ID.fullmatch(value):
        raise _Unreadable(key)
    return value


def _stamp(source: Mapping[str, Any], key: str) -> str:
    """Slack's name of a message: seconds with a fraction."""
    value = _text(source, key)
    if not _STAMP.fullmatch(value):
        raise _Unreadable(key)
    return value


def _thread(source: Mapping[str, Any], ts: str) -> str:
    """The thread a message is in; one outside any thread begins its own."""
    return _stamp(source, "thread_ts") if source.get("thread_ts") is not None else ts


def _table(source: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = source.get(key)
    if not isinstance(value, Mapping):
        raise _Unreadable(key)
    return value


def bot_user(body: Mapping[str, Any]) -> str | None:
    """The bot's own user id, as the envelope of an event tells it."""
    grants = body.get("authorizations")
    if not isinstance(grants, list):
        return None
    for grant in grants:
        if isinstance(grant, Mapping) and grant.get("is_bot") and isinstance(grant.get("user_id"), str):
            return str(grant["user_id"])
    return None


def read(body: Mapping[str, Any], me: str, bots: Collection[str] = ()) -> Intake | None:
    """The record in a Socket Mode or HTTP body. None for all we ignore.

    `me` is our own user id; of other bots only those in `bots` are heard.
    """
    try:
        if body.get("type") == "event_callback":
            return _event(_id(body, "team_id"), _table(body, "event"), me, bots)
        if body.get("type") == "block_actions":
            return _clicked(body)
    except _Unreadable:
        return None
    return None


def _event(team: str, event: Mapping[str, Any], me: str, bots: Collection[str]) -> Intake | None:
    kind = _maybe(event, "type")
    if kind in {"message", "app_mention"}:
        return _message(team, event, me, bots)
    if kind == "agent_session_stopped":
        channel, thread_ts = _id(event, "channel"), _stamp(event, "thread_ts")
        return StopPressed(team, channel, _id(event, "user"), thread_ts, None, _deed(event, channel))
    if kind == "reaction_added" and _maybe(event, "reaction") in STOP_REACTIONS:
        item = _table(event, "item")
        if item.get("type") != "message":
            return None
        channel, ts = _id(item, "channel"), _stamp(item, "ts")
        return StopPressed(team, channel, _id(event, "user"), None, ts, _deed(event, channel))
    return None


def _deed(event: Mapping[str, Any], channel: str) -> str:
    at = _maybe(event, "event_ts")
    return f"{channel}:{at}" if at else ""


def _message(team: str, event: Mapping[str, Any], me: str, bots: Collection[str]) -> Intake | None:
    channel = _id(event, "channel")
    subtype = _maybe(event, "subtype")
    if subtype == "message_changed":
        return _edited(team, channel, _table(event, "message"), _table(event, "previous_message"), me)
    if subtype == "message_deleted":
        gone = _table(event, "previous_message")
        ts = _stamp(event, "deleted_ts")
        return Deleted(channel, ts, ThreadKey(team, channel, _thread(gone, ts)))
    if event.get("user") == me or (event.get("bot_id") and event.get("user") not in bots):
        return None
    if subtype not in _PERSON_SUBTYPES:
        return None
    ts, user, raw = _stamp(event, "ts"), _id(event, "user"), _maybe(event, "text")
    thread_ts = _thread(event, "")
    direct = event.get("channel_type") == "im"
    mentioned = event.get("type") == "app_mention" or me in mentions(raw)
    if not (direct or mentioned or thread_ts):
        return None
    if not (direct or mentioned) and spoken_to(raw) is not None:
        return None  # people talking to each other in our thread
    text = plain(raw, me)
    return Said(
        thread=ThreadKey(team, channel, thread_ts or ts),
        ts=ts,
        user=user,
        user_team=_team_of(event) or team,
        text=text,
        addressed=direct or mentioned,
        stop=is_stop(text),
        files=attachments(event),
    )


def attachments(message: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """The files of a message, as far as they are kept; those past the bound are one that only counts them."""
    found = message.get("files")
    if found is None:
        return ()
    if not isinstance(found, list):
        raise _Unreadable("files")
    there = [each for each in found if not (isinstance(each, Mapping) and each.get("mode") == "tombstone")]
    kept = tuple(_attachment(each) for each in there[:_FILES_KEPT])
    if more := len(there) - len(kept):
        kept += (Attachment("", f"{more} more"),)
    return kept


def _attachment(file: object) -> Attachment:
    """Of a file shared from another organisation Slack tells the id alone; the rest is asked for later."""
    if not isinstance(file, Mapping):
        raise _Unreadable("files")
    size, url = file.get("size"), _maybe(file, "url_private_download") or _maybe(file, "url_private")
    return Attachment(
        id=_id(file, "id"),
        name=(_maybe(file, "name") or _maybe(file, "title"))[:_NAME_LIMIT],
        mimetype=_maybe(file, "mimetype")[:_TYPE_LIMIT],
        size=size if type(size) is int and 0 <= size < 1 << 53 else 0,
        url=url if len(url) <= _ADDRESS_LIMIT else "",
    )


def _team_of(event: Mapping[str, Any]) -> str:
    """The author's own; "" where the event does not say."""
    return next((_id(event, key) for key in ("user_team", "team") if _maybe(event, key)), "")


def _edited(
    team: str, channel: str, now: Mapping[str, Any], before: Mapping[str, Any], me: str
) -> Edited | None:
    if now.get("bot_id") or now.get("user") == me:
        return None
    files = attachments(now) if now.get("files") is not None else None
    if now.get("text") == before.get("text") and (files is None or files == attachments(before)):
        return None
    ts = _stamp(now, "ts")
    thread = ThreadKey(team, channel, _thread(now, ts))
    return Edited(channel, ts, thread, _id(now, "user"), plain(_maybe(now, "text"), me), files)


def _clicked(body: Mapping[str, Any]) -> Picked | WrongPressed | MovePicked | Answered | None:
    actions = body.get("actions")
    if not isinstance(actions, list) or not actions or not isinstance(actions[0], Mapping):
        return None
    action = actions[0]
    name = _maybe(action, "action_id")
    if name == WRONG_REPOSITORY:
        thread, user, _ = _where(body)
        return WrongPressed(thread, user, _text(action, "value"))
    if name.startswith(ANSWER):
        return _answered(body, action, name)
    if name not in (PICK_REPOSITORY, MOVE_REPOSITORY):
        return None
    value = _text(_table(action, "selected_option"), "value")
    thread, user, team = _where(body)
    return Picked(thread, user, team, value) if name == PICK_REPOSITORY else MovePicked(thread, user, value)


def _where(body: Mapping[str, Any]) -> tuple[ThreadKey, str, str]:
    """The thread of a click, who clicked, and their team. What one person alone is shown has no message."""
    container, user = _table(body, "container"), _table(body, "user")
    message = body.get("message") or {}
    if not isinstance(message, Mapping):
        raise _Unreadable("message")
    ts = _thread(container, "") or _thread(message, "") or _stamp(container, "message_ts")
    team = _id(_table(body, "team"), "id")
    thread = ThreadKey(team, _id(container, "channel_id"), ts)
    return thread, _id(user, "id"), _maybe(user, "team_id") or team


def _answered(body: Mapping[str, Any], action: Mapping[str, Any], name: str) -> Answered | None:
    found = _QUESTION.fullmatch(_text(action, "block_id"))
    if found is None:
        return None
    if name == ANSWER_WORDS:
        return Answered(*_where(body), found[1], None, visible(_maybe(action, "value")))
    chosen = _table(action, "selected_option") if "selected_option" in action else action
    place = _text(chosen, "value")
    if not _PLACE.fullmatch(place):
        return None
    return Answered(*_where(body), found[1], int(place), "")
