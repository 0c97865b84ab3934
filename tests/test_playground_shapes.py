"""The shape checker itself: it must be able to say no."""

import pytest
from shapes import ShapeChecker, deviations, load

from bot.playground.slack.api import METHODS

GOOD = {"ok": True, "channel": "C1", "ts": "1.000000"}


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({**GOOD, "extra": 1}, "extra: unknown key"),
        ({**GOOD, "ts": 1.5}, "ts: expected str, got float"),
        ({**GOOD, "ts": None}, "ts: expected str, got NoneType"),
        ({**GOOD, "ok": 1}, "ok: expected bool"),
    ],
)
def test_an_unknown_key_or_a_wrong_type_is_found(payload, words):
    """Each with its path, so that the reader need not compare by eye."""
    [found] = deviations(payload, load()["api/chat.startStream"])
    assert words in found


def test_lists_and_objects_are_followed_inside():
    shape = load()["api/users.list"]
    answer = {"ok": True, "members": [{"id": "U1"}, {"id": "U2", "profile": {"shoe_size": 9}}]}
    assert deviations(answer, shape) == ["members[1].profile.shoe_size: unknown key"]
    assert deviations({"members": {}}, shape) == ["members: expected a list, got dict {}"]
    assert deviations({"members": ["U1"]}, shape) == ["members[0]: expected an object, got str 'U1'"]


def test_a_boolean_is_no_number():
    assert deviations({"cache_ts": True}, load()["api/users.list"]) == [
        "cache_ts: expected int, got bool True"
    ]


def test_every_method_of_the_playground_has_a_shape_to_be_held_against():
    """A method added without one would fail in its first test anyway; here by name."""
    assert {f"api/{method}" for method in (*METHODS, "api.test", "apps.connections.open")} <= set(load())


def test_what_conforms_passes_and_is_counted():
    shapes = ShapeChecker()
    shapes("api", "chat.startStream", GOOD)
    shapes("api", "chat.startStream", {"ok": False, "error": "not_in_channel"})
    shapes.verify()
    assert shapes.seen == {"api/chat.startStream": 1, "error": 1}


@pytest.mark.parametrize(
    ("kind", "name", "payload"),
    [
        ("api", "chat.startStream", {**GOOD, "extra": 1}),
        ("api", "never.recorded", {"ok": True}),
        ("api", "chat.startStream", {"ok": False, "error": 7}),
        ("event", "message", {"event": {"type": "message", "app_id": "A1"}}),
        ("interactive", "block_actions", {"type": "block_actions", "team": "T1"}),
        ("slash_commands", "/x", {"command": ["/x"]}),
    ],
)
def test_a_deviation_anywhere_fails_at_the_end(kind, name, payload):
    shapes = ShapeChecker()
    shapes(kind, name, payload)
    with pytest.raises(AssertionError, match="not as Slack would say it"):
        shapes.verify()
