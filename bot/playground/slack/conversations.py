"""The conversations.* methods and users.conversations."""

from __future__ import annotations

from collections.abc import Callable

from bot.playground import people
from bot.playground.slack import views
from bot.playground.slack.calls import Call, Handler, page_of
from bot.playground.slack.errors import SlackError
from bot.playground.slack.messages import Json, Message

_CREATED = 1700000000
_TYPES = frozenset({"public_channel", "private_channel", "mpim", "im"})


def described(call: Call, channel: people.Channel, *, member: bool = True) -> Json:
    """A conversation object; `member` adds whether the bot is in it."""
    common = {"id": channel.id, "created": _CREATED, "is_archived": False, "is_org_shared": False}
    common |= {"context_team_id": people.TEAM_ID, "updated": _CREATED * 1000}
    if channel.is_im:
        return {**common, "is_im": True, "user": channel.user}
    flags = (
        "is_group",
        "is_im",
        "is_mpim",
        "is_private",
        "is_shared",
        "is_ext_shared",
        "is_pending_ext_shared",
    )
    topic = {"value": channel.topic, "creator": people.ADA.id, "last_set": _CREATED}
    data = {
        **common,
        **dict.fromkeys(flags, False),
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": True,
        "is_general": channel.name == "general",
        "creator": people.ADA.id,
        "unlinked": 0,
        "topic": topic,
        "purpose": {"value": "", "creator": "", "last_set": 0},
        "previous_names": [],
        "shared_team_ids": [people.TEAM_ID],
        "pending_shared": [],
        "pending_connected_team_ids": [],
    }
    if member:
        data["is_member"] = call.workspace.is_member(channel.id, people.BOT_USER_ID)
    return data


def _listed(call: Call) -> list[people.Channel]:
    types = {part.strip() for part in (call.args.text("types") or "public_channel").split(",")}
    if not types <= _TYPES:
        raise SlackError("invalid_types")
    kinds = {True: "im" in types, False: "public_channel" in types}
    return [channel for channel in people.CHANNELS.values() if kinds[channel.is_im]]


def channel_list(call: Call) -> Json:
    """conversations.list."""
    page, next_cursor = page_of(_listed(call), call.args)
    listed = []
    for channel in page:
        data = described(call, channel)
        if not channel.is_im:
            data["num_members"] = len(call.workspace.members(channel.id))
        listed.append(data)
    return {"channels": listed, "response_metadata": {"next_cursor": next_cursor}}


def of_user(call: Call) -> Json:
    """users.conversations: those of a person, or the bot's own."""
    user = call.args.text("user") or people.BOT_USER_ID
    if user not in people.PEOPLE:
        raise SlackError("user_not_found")
    joined = [channel for channel in _listed(call) if call.workspace.is_member(channel.id, user)]
    page, next_cursor = page_of(joined, call.args)
    listed = [described(call, channel, member=False) for channel in page]
    return {"channels": listed, "response_metadata": {"next_cursor": next_cursor}}


def info(call: Call) -> Json:
    """conversations.info."""
    channel = call.channel()
    data = described(call, channel)
    data.pop("user", None)  # Slack's recorded answer has no user here, unlike in the lists
    if call.args.flag("include_num_members"):
        data["num_members"] = len(call.workspace.members(channel.id))
    return {"channel": data}


def members(call: Call) -> Json:
    """conversations.members."""
    channel = call.channel()
    page, next_cursor = page_of(call.workspace.members(channel.id), call.args)
    return {"members": page, "response_metadata": {"next_cursor": next_cursor}}


def join(call: Call) -> Json:
    """conversations.join: a warning if the bot was in already."""
    channel = call.channel()
    if channel.is_im:
        raise SlackError("method_not_supported_for_channel_type")
    already = call.workspace.is_member(channel.id, people.BOT_USER_ID)
    call.workspace.join(channel.id, people.BOT_USER_ID)
    warning = "already_in_channel"
    extra = {"warning": warning, "response_metadata": {"warnings": [warning]}} if already else {}
    return {"channel": described(call, channel), **extra}


def open_dm(call: Call) -> Json:
    """conversations.open, of the bot's direct message with one person."""
    named = call.args.text("channel")
    users = (call.args.text("users") or "").split(",")
    channel = people.CHANNELS.get(named or "")
    if named and (channel is None or not channel.is_im):
        raise SlackError("channel_not_found")
    if channel is None:
        channel = _dm_of(users)
    data: Json = {"id": channel.id}
    if call.args.flag("return_im"):
        data |= {
            "created": _CREATED,
            "is_archived": False,
            "is_im": True,
            "is_open": True,
            "user": channel.user,
        }
    return {"channel": data, "no_op": True, "already_open": True}


def _dm_of(users: list[str]) -> people.Channel:
    if users == [""]:
        raise SlackError("users_list_not_supplied")
    if len(users) > 1:
        raise SlackError("method_not_supported_for_channel_type")
    found = next((c for c in people.CHANNELS.values() if c.user == users[0]), None)
    if found is None:
        raise SlackError("cannot_dm_bot" if users[0] == people.BOT_USER_ID else "user_not_found")
    return found


def history(call: Call) -> Json:
    """conversations.history: the newest first, without thread replies unless they were broadcast."""
    channel = call.joined_channel()
    in_range = _range(call)
    seen = [message for message in call.workspace.messages.roots(channel.id) if _is_public(message)]
    wanted = [message for message in reversed(seen) if in_range(message)]
    page, next_cursor = page_of(wanted, call.args)
    answer: Json = {"messages": [_root(call, message) for message in page], "has_more": bool(next_cursor)}
    answer["pin_count"] = 0
    return answer | ({"response_metadata": {"next_cursor": next_cursor}} if next_cursor else {})


def replies(call: Call) -> Json:
    """conversations.replies: the root and then its replies, the oldest first.

    The root heads the first page whatever `oldest` says; a reply's own ts gives that reply alone.
    """
    channel = call.joined_channel()
    ts = call.args.need("ts")
    found = call.workspace.messages.get(channel.id, ts)
    if found is not None and found.thread_ts is not None:
        thread = [found]
    else:
        thread = call.workspace.messages.thread(channel.id, ts)
    seen = [message for message in thread if _is_public(message)]
    if not seen:
        raise SlackError("thread_not_found")
    in_range = _range(call)
    wanted = [message for message in seen if message.ts == ts or in_range(message)]
    page, next_cursor = page_of(wanted, call.args, default=1000)
    hide = views.REPLIES_HIDES
    answer: Json = {"messages": [_root(call, m, hide) for m in page], "has_more": bool(next_cursor)}
    return answer | ({"response_metadata": {"next_cursor": next_cursor}} if next_cursor else {})


def _is_public(message: Message) -> bool:
    return not message.deleted and message.ephemeral_to is None


def _range(call: Call) -> Callable[[Message], bool]:
    """Whether a message lies between `oldest` and `latest`, with them if `inclusive`."""
    oldest, latest = _bound(call, "oldest", "0"), _bound(call, "latest", "9999999999.0")
    if call.args.flag("inclusive"):
        return lambda message: oldest <= float(message.ts) <= latest
    return lambda message: oldest < float(message.ts) < latest


def _bound(call: Call, name: str, default: str) -> float:
    value = call.args.text(name) or default
    digits = value.replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit()):
        raise SlackError(f"invalid_ts_{name}")
    return float(value)


def _root(call: Call, message: Message, hide: frozenset[str] = frozenset()) -> Json:
    if not call.args.flag("include_all_metadata"):
        hide |= {"metadata"}
    facts = call.workspace.messages.replies(message.channel, message.ts)
    parent = call.workspace.parent_of(message)
    return views.slack_message(message, hide=hide, parent=parent, replies=facts)


METHODS: dict[str, Handler] = {
    "conversations.list": channel_list,
    "conversations.info": info,
    "conversations.members": members,
    "conversations.join": join,
    "conversations.open": open_dm,
    "conversations.history": history,
    "conversations.replies": replies,
    "users.conversations": of_user,
}
