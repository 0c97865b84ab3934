"""Deliveries as Slack was recorded to make them, and what can be done to them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from shapes import load

from bot.playground import people
from bot.slack.intake import PICK_REPOSITORY

Json = dict[str, Any]
TS = "2000000000.000200"  # later than all that is really said
_BY_KEY = {
    "team_id": people.TEAM_ID,
    "team": people.TEAM_ID,
    "user_team": people.TEAM_ID,
    "user": people.ADA.id,
    "user_id": people.ADA.id,
    "item_user": people.BEN.id,
    "ts": TS,
    "event_ts": TS,
    "message_ts": TS,
    "deleted_ts": TS,
    "reaction": "x",
    "text": f"<@{people.BOT_USER_ID}> do it",
    "command": "/threadsmith",
    "response_url": "http://127.0.0.1:1/response",
    "channel_type": "channel",
    "enterprise_id": None,
}
_OF_BOTS = ("bot_id", "bot_profile", "subtype", "hidden", "display_as_bot", "upload")


_READ = frozenset({"id", "name", "mimetype", "size", "mode", "url_private"})  # of a file; the rest is not


class Recorded:
    """Every kind of delivery there is, about one thread and the question that is open in it."""

    def __init__(self, channel: str, thread_ts: str, prompt: int, repository: str) -> None:
        self._facts = {**_BY_KEY, "channel": channel, "channel_id": channel, "thread_ts": thread_ts}
        self._value = f"{prompt}|{repository}"

    def bodies(self) -> dict[str, Json]:
        """By the name of their shape."""
        made = {}
        for name, shape in load().items():
            where, _, kind = name.partition("/")
            if where == "event":
                made[name] = self._event(kind, self._filled(shape))
            elif where in {"interactive", "slash_commands"}:
                made[name] = self._filled(shape)
        made["event/direct"] = copy.deepcopy(made["event/message"])
        made["event/direct"]["event"] |= {"channel_type": "im", "channel": people.ADA.dm}
        self._click(made["interactive/block_actions"])
        return made

    def _filled(self, shape: Any, key: str = "") -> Any:
        if isinstance(shape, dict):
            return {name: self._filled(inner, name) for name, inner in shape.items()}
        if isinstance(shape, list):
            return [self._filled(each, key) for each in shape]
        if shape == "@file":
            return {
                name: self._filled(inner, name) for name, inner in load()["file"].items() if name in _READ
            }
        return {"int": 1, "bool": False}.get(shape, self._facts.get(key, "sample"))

    def _event(self, kind: str, body: Json) -> Json:
        body["type"] = "event_callback"
        body["authorizations"][0] |= {"is_bot": True, "user_id": people.BOT_USER_ID}
        event = body["event"]
        is_message = kind in {"message_changed", "message_deleted", "thread_broadcast", "file_share"}
        event["type"] = "message" if is_message else kind
        for said in (event, event.get("message"), event.get("previous_message")):
            for name in _OF_BOTS if isinstance(said, dict) else ():
                said.pop(name, None)
        if is_message:
            event["subtype"] = kind
        if kind == "message_changed":
            event["previous_message"]["text"] = "before"
        if "item" in event:
            event["item"]["type"] = "message"
        return body

    def _click(self, body: Json) -> None:
        body["type"] = "block_actions"
        body["user"]["id"], body["team"]["id"] = people.ADA.id, people.TEAM_ID
        action = body["actions"][0]
        action |= {"action_id": PICK_REPOSITORY, "type": "static_select"}
        action["selected_option"]["value"] = self._value


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every field in a body."""
    if at:
        yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*at, key))


def leaves(value: Any) -> Iterator[Any]:
    """Everything in a body that is no table and no list."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        yield value
    else:
        for each in inner:
            yield from leaves(each)


STRANGE_TEXTS = st.sampled_from(
    [
        *("", " ", "\0", "\ud800", "\u202e\u2066", "\u200b" * 50, "0", "-1", "1e9", "²", "9" * 5000, "{}"),
        *(
            "1 OR 1=1",
            "'; DROP TABLE prompts; --",
            "../../etc/passwd",
            "<!channel>",
            f"<@{people.BOT_USER_ID}",
        ),
        *("stop", "x" * 45_000, "<!" * 5000, "U0NOBODY00", "C0NOWHERE0", "T0OTHERORG", people.BOT_USER_ID),
        *(people.GUS.id, TS, "message", "message_changed", "app_mention", "block_actions", "event_callback"),
    ]
)
STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | STRANGE_TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def mutated(draw: st.DrawFn, bodies: list[Json]) -> Json:
    """A recorded body with a few fields dropped, retyped, nested, swapped or doubled."""
    body = copy.deepcopy(draw(st.sampled_from(bodies)))
    for _ in range(draw(st.integers(1, 4))):
        found = list(places(body))
        if not found:
            break
        _change(draw, body, draw(st.sampled_from(found)), draw(st.sampled_from(found)))
    return body


def _change(draw: st.DrawFn, body: Json, path: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    parent, key = _at(body, path[:-1]), path[-1]
    match draw(st.sampled_from(["drop", "retype", "deepen", "swap", "double", "text"])):
        case "drop":
            del parent[key]
        case "retype":
            parent[key] = draw(STRANGE)
        case "deepen":
            for _ in range(draw(st.sampled_from([1, 200]))):
                parent[key] = draw(st.sampled_from([{key: parent[key]}, [parent[key]]]))
        case "swap":
            there, mine = copy.deepcopy(_at(body, other)), copy.deepcopy(parent[key])
            _at(body, other[:-1])[other[-1]] = mine
            if key in (parent if isinstance(parent, dict) else range(len(parent))):
                parent[key] = there
        case "double":
            value = copy.deepcopy(parent[key])
            _at(body, other[:-1])[other[-1]] = value
        case "text":
            parent[key] = draw(STRANGE_TEXTS)


def _at(body: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        body = body[step]
    return body
