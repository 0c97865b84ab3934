"""What arrives from Slack: the right record or none, never an error, whatever it looks like."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import Attachment, ThreadKey
from bot.slack.intake import (
    PICK_REPOSITORY,
    Answered,
    Deleted,
    Edited,
    Intake,
    Picked,
    Said,
    StopPressed,
    bot_user,
    read,
)

ME, ADA, BEN = "U0THRDSMTH", "U0ADASAMPL", "U0BENSAMPL"
TEAM, WEB = "T0PLAYGRND", "C0WEBFRONT"
TS, ROOT = "1700000000.000200", "1700000000.000100"

Json = dict[str, Any]


def envelope(event: Json) -> Json:
    """An event as Slack's `event_callback` carries it."""
    return {
        "token": "sample",
        "team_id": TEAM,
        "context_team_id": TEAM,
        "api_app_id": "A0PLAYGRND",
        "type": "event_callback",
        "event_id": "Ev0SAMPLE",
        "event_time": 1700000000,
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": TEAM,
                "user_id": ME,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event": event,
    }


def message(text: str, **more: Any) -> Json:
    """A person's message in a channel."""
    event = {
        "type": "message",
        "user": ADA,
        "ts": TS,
        "text": text,
        "channel": WEB,
        "channel_type": "channel",
    }
    return {**event, "team": TEAM, **more}


MENTION = envelope(message(f"<@{ME}> do it", type="app_mention"))
REPLY = envelope(message("and more", thread_ts=ROOT))
DIRECT = envelope(message("do it", channel="D0ADASAMPL", channel_type="im"))
EDIT = envelope(
    {
        "type": "message",
        "subtype": "message_changed",
        "channel": WEB,
        "ts": "1700000001.000100",
        "message": {"type": "message", "user": ADA, "ts": TS, "thread_ts": ROOT, "text": f"<@{ME}> new"},
        "previous_message": {"type": "message", "user": ADA, "ts": TS, "thread_ts": ROOT, "text": "old"},
    }
)
FILE: Json = {
    "id": "F0SAMPLE",
    "name": "shot.png",
    "mimetype": "image/png",
    "size": 12,
    "mode": "hosted",
    "url_private": "https://files.slack.com/files-pri/T-F/shot.png",
}
SHOT = Attachment("F0SAMPLE", "shot.png", "image/png", 12, FILE["url_private"])
FILE_SHARE = envelope(message(f"<@{ME}> see", subtype="file_share", files=[FILE], upload=False))
FILE_EDIT = envelope(
    {
        **EDIT["event"],
        "message": {**EDIT["event"]["message"], "files": [FILE]},
        "previous_message": {**EDIT["event"]["message"], "files": [FILE, {**FILE, "id": "F0OTHER"}]},
    }
)
DELETION = envelope(
    {
        "type": "message",
        "subtype": "message_deleted",
        "channel": WEB,
        "ts": "1700000001.000100",
        "deleted_ts": TS,
        "previous_message": {"type": "message", "user": ADA, "ts": TS, "thread_ts": ROOT, "text": "old"},
    }
)
REACTION = envelope(
    {
        "type": "reaction_added",
        "user": ADA,
        "reaction": "x",
        "item": {"type": "message", "channel": WEB, "ts": TS},
        "item_user": BEN,
        "event_ts": "1700000001.000100",
    }
)
STOP = envelope({"type": "agent_session_stopped", "user": ADA, "channel": WEB, "thread_ts": ROOT})
CLICK: Json = {
    "type": "block_actions",
    "user": {"id": ADA, "username": "ada", "name": "ada", "team_id": TEAM},
    "team": {"id": TEAM, "domain": "playground"},
    "container": {"type": "message", "message_ts": TS, "channel_id": WEB, "thread_ts": ROOT},
    "channel": {"id": WEB, "name": "web"},
    "message": {"type": "message", "user": ME, "ts": TS, "thread_ts": ROOT, "text": "Which?"},
    "actions": [
        {
            "type": "static_select",
            "action_id": PICK_REPOSITORY,
            "block_id": "question-3",
            "selected_option": {
                "text": {"type": "plain_text", "text": "acme/ledger"},
                "value": "3|acme/ledger",
            },
            "action_ts": "1700000002.000100",
        }
    ],
}


def answer_click(block_id: Any = "ask:3:1:2", **action: Any) -> Json:
    """A click on what answers a question of a running turn."""
    return {**CLICK, "actions": [{"block_id": block_id, **action}]}


BUTTON = answer_click(action_id="answer_1", type="button", value="1")
OPTION = answer_click(action_id="answer", type="static_select", selected_option={"value": "11"})
WORDS = answer_click("ask:3:1:2:words", action_id="answer_words", type="plain_text_input", value="Ada\u200b!")
_HERE = (ThreadKey(TEAM, WEB, ROOT), ADA, TEAM, "ask:3:1:2")
RECORDED: dict[str, tuple[Json, Intake]] = {
    "a button": (BUTTON, Answered(*_HERE, 1, "")),
    "an option": (OPTION, Answered(*_HERE, 11, "")),
    "words": (WORDS, Answered(*_HERE, None, "Ada!")),
    "a mention": (MENTION, Said(ThreadKey(TEAM, WEB, TS), TS, ADA, TEAM, "do it", True, False)),
    "a reply": (REPLY, Said(ThreadKey(TEAM, WEB, ROOT), TS, ADA, TEAM, "and more", False, False)),
    "a direct message": (
        DIRECT,
        Said(ThreadKey(TEAM, "D0ADASAMPL", TS), TS, ADA, TEAM, "do it", True, False),
    ),
    "a message with a file": (
        FILE_SHARE,
        Said(ThreadKey(TEAM, WEB, TS), TS, ADA, TEAM, "see", True, False, (SHOT,)),
    ),
    "an edit that takes a file away": (
        FILE_EDIT,
        Edited(WEB, TS, ThreadKey(TEAM, WEB, ROOT), ADA, "new", (SHOT,)),
    ),
    "an edit": (EDIT, Edited(WEB, TS, ThreadKey(TEAM, WEB, ROOT), ADA, "new")),
    "a deletion": (DELETION, Deleted(WEB, TS, ThreadKey(TEAM, WEB, ROOT))),
    "a cross": (REACTION, StopPressed(TEAM, WEB, ADA, None, TS, f"{WEB}:1700000001.000100")),
    "the stop button": (STOP, StopPressed(TEAM, WEB, ADA, ROOT, None)),
    "a pick": (CLICK, Picked(ThreadKey(TEAM, WEB, ROOT), ADA, TEAM, "3|acme/ledger")),
}


@pytest.mark.parametrize("what", RECORDED)
def test_each_kind_of_delivery_is_read(what: str) -> None:
    body, expected = RECORDED[what]
    assert read(body, ME) == expected


@pytest.mark.parametrize(
    "event",
    [
        message("just talking"),
        message(f"<@{ME}> hello", bot_id="B0OTHER"),
        message(f"<@{ME}> hello", user=ME),
        message("joined", subtype="channel_join"),
        message(f"<@{BEN}> what do you think?", thread_ts=ROOT),
        {"type": "reaction_added", "user": ADA, "reaction": "eyes", "item": {"type": "message"}},
        {"type": "reaction_added", "user": ADA, "reaction": "x", "item": {"type": "file", "file": "F1"}},
        {"type": "team_join"},
        {**EDIT["event"], "message": {**EDIT["event"]["message"], "text": "old"}},
        {**EDIT["event"], "message": {**EDIT["event"]["message"], "bot_id": "B0THRDSMTH"}},
    ],
)
def test_what_is_not_meant_for_us_is_ignored(event: Json) -> None:
    """Talk, bots, ourselves, people who address someone else, unfurls that change no text."""
    assert read(envelope(event), ME) is None


def test_app_mention_and_message_of_one_saying_are_the_same_prompt() -> None:
    """They come with different event ids, and must not become two."""
    twin = envelope(message(f"<@{ME}> do it"))
    assert read(twin, ME) == read(MENTION, ME)


def test_a_stop_is_recognised_with_and_without_a_mention() -> None:
    for text in ("stop", f"<@{ME}> Stop."):
        said = read(envelope(message(text, thread_ts=ROOT)), ME)
        assert isinstance(said, Said)
        assert said.stop


def test_our_own_name_is_read_from_the_envelope() -> None:
    """So that accepting needs no call to Slack; whoever else is authorised is not us."""
    assert bot_user(MENTION) == ME
    person = {**MENTION, "authorizations": [{"user_id": ADA, "is_bot": False}]}
    assert bot_user(person) is None
    assert bot_user({"authorizations": "all"}) is None
    assert bot_user({}) is None


strange = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every field in a body."""
    found = [at] if at else []
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in children:
        found += places(inner, (*at, key))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> Json:
    """A recorded body with a few of its fields gone or of another kind."""
    body = copy.deepcopy(draw(st.sampled_from([body for body, _ in RECORDED.values()])))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(body)))
        parent: Any = body
        for step in path[:-1]:
            parent = parent[step]
        if isinstance(parent, dict) and draw(st.booleans()):
            del parent[path[-1]]
        else:
            parent[path[-1]] = draw(strange)
        if not places(body):
            break
    return body


TEXTS = {
    Said: ("ts", "user", "user_team", "text"),
    Edited: ("channel", "ts", "user", "text"),
    Deleted: ("channel", "ts"),
    StopPressed: ("team", "channel", "user"),
    Picked: ("user", "user_team", "value"),
    Answered: ("user", "user_team", "question", "words"),
}


def said_with(*files: Any) -> tuple[Attachment, ...] | None:
    found = read(envelope(message("", subtype="file_share", channel_type="im", files=list(files))), ME)
    return found.files if isinstance(found, Said) else None


@pytest.mark.proof("input")
def test_of_a_thousand_files_the_first_are_kept_and_the_others_counted() -> None:
    kept = said_with(*({**FILE, "id": f"F{number}"} for number in range(1000)))
    assert kept is not None
    assert [file.id for file in kept[:2]] == ["F0", "F1"]
    assert (len(kept), kept[-1]) == (21, Attachment("", "980 more"))


@pytest.mark.proof("input")
def test_what_is_said_of_a_file_is_bounded() -> None:
    long = {**FILE, "name": "n" * 5000, "mimetype": "m" * 5000, "url_private": "https://" + "u" * 5000}
    [file] = said_with({**long, "size": -1}) or ()
    assert (len(file.name), len(file.mimetype), file.url, file.size) == (255, 100, "", 0)


@pytest.mark.proof("input")
@pytest.mark.parametrize(
    "click",
    [
        answer_click(7, action_id="answer_1", value="1"),
        answer_click("final:3", action_id="answer_1", value="1"),
        answer_click("ask:3:1:2; DROP TABLE prompts", action_id="answer_1", value="1"),
        answer_click("ask:3:1", action_id="answer_1", value="1"),
        answer_click(action_id="answer_1", value="-1"),
        answer_click(action_id="answer_1", value="²"),
        answer_click(action_id="answer_1", value=1),
        answer_click(action_id="answer_1"),
        answer_click(action_id="answer", selected_option=None),
        answer_click(action_id="answer_words", value=["Ada"]),
    ],
)
def test_an_answer_to_no_question_of_ours_is_ignored(click: Json) -> None:
    assert read(click, ME) is None


def test_of_a_deleted_file_nothing_is_left_and_of_a_foreign_one_its_id() -> None:
    """Of one shared from another organisation Slack tells no more."""
    foreign = {"id": "F0FOREIGN", "file_access": "check_file_info"}
    assert said_with({"id": "F0GONE", "mode": "tombstone"}, foreign) == (Attachment("F0FOREIGN", ""),)


@pytest.mark.proof("input")
@pytest.mark.parametrize("files", [5, {}, [5], [None], [{}], [{**FILE, "id": "../x"}], [{**FILE, "name": 5}]])
def test_files_of_the_wrong_form_make_the_whole_body_unread(files: Any) -> None:
    assert read(envelope({**FILE_SHARE["event"], "files": files}), ME) is None


def test_an_edit_of_nothing_is_none_with_files_as_well() -> None:
    """Slack tells of such ones when it has made a preview."""
    same = {**FILE_SHARE["event"], "files": [{**FILE, "thumb_64": "x"}]}
    event = {**EDIT["event"], "message": same, "previous_message": FILE_SHARE["event"]}
    assert read(envelope(event), ME) is None


@pytest.mark.proof("input")
@given(mutated())
def test_a_body_of_any_shape_is_read_or_ignored_but_never_raises(body: Json) -> None:
    """And what is read has texts where texts belong: a wrong type is never half read."""
    bot_user(body)
    found = read(body, ME)
    if found is None:
        return
    for name in TEXTS[type(found)]:
        assert isinstance(getattr(found, name), str)
    if isinstance(found, Answered):
        assert found.option is None or type(found.option) is int
    if isinstance(found, Said | Edited | Deleted | Picked | Answered):
        thread = found.thread
        assert thread.thread_ts.replace(".", "").isdigit() or thread.thread_ts in str(body)
        assert not thread.thread_ts.startswith(("[", "{", "True", "False"))


@pytest.mark.proof("input")
@given(st.dictionaries(st.text(max_size=10), strange, max_size=5))
def test_anything_at_all_is_read_or_ignored(body: Json) -> None:
    assert read(body, ME) is None
    bot_user(body)


@pytest.mark.proof("input")
@pytest.mark.parametrize("field", ["thread_ts", "text"])
@pytest.mark.parametrize("wrong", [5, ["1"], {"a": 1}, True])
def test_a_field_of_the_wrong_type_makes_the_whole_body_unread(field: str, wrong: Any) -> None:
    assert read(envelope({**MENTION["event"], field: wrong}), ME) is None
