"""What people do in the runs by the thousand, each as steps that wait for their moment."""

from __future__ import annotations

from crash_walk import Scenario
from crash_world import BOT, OTHER, REPOSITORY, Outside, Post

HELLO = f"<@{BOT}> "


def _root(world: Outside) -> str:
    return world.posts[0].ts


def _said(world: Outside, text: str) -> str:
    return next(post.ts for post in world.posts if post.text == text)


def _finals(world: Outside) -> int:
    return sum(":final:" in post.key for post in world.posts)


def _picker(world: Outside) -> Post | None:
    return next((post for post in world.posts if ":question:" in post.key), None)


def _opening(world: Outside) -> Post | None:
    return next((post for post in world.posts if ":opening:" in post.key), None)


def _always(world: Outside) -> bool:
    return True


MENTION = Scenario("a mention", [(_always, lambda w: w.say(f"{HELLO}write a.txt"))])

REPLY = Scenario(
    "a reply while it works",
    [
        (_always, lambda w: w.say(f"{HELLO}write a.txt")),
        (lambda w: "write a.txt" in w.runs, lambda w: w.say("write b.txt", _root(w))),
    ],
)

PICKER = Scenario(
    "a question and its answer",
    [
        (_always, lambda w: w.say(f"{HELLO}write a.txt")),
        (lambda w: _picker(w) is not None, lambda w: w.pick(_picker(w), REPOSITORY)),
    ],
    asks=True,
)

QUESTION = Scenario(
    "an agent asks, and is answered",
    [
        (_always, lambda w: w.say(f"{HELLO}write a.txt and ask")),
        (lambda w: bool(w.pressed), lambda w: w.say("write b.txt", _root(w))),
    ],
)

STOP = Scenario(
    "a stop",
    [
        (_always, lambda w: w.say(f"{HELLO}write a.txt and wait")),
        (lambda w: bool(w.runs), lambda w: w.press_stop(_root(w))),
        (lambda w: _finals(w) == 1, lambda w: w.say("write b.txt", _root(w))),
    ],
    promise=lambda states: [] if states[0] == "stopped" else [f"what was stopped is {states[0]}"],
)

STOP_AND_GO_ON = Scenario(
    "a stop with a request behind it",
    [
        (_always, lambda w: w.say(f"{HELLO}write a.txt and wait")),
        (lambda w: bool(w.runs), lambda w: w.say("write b.txt and wait", _root(w))),
        (lambda w: all(each.acknowledged for each in w.deliveries), lambda w: w.press_stop(_root(w))),
    ],
    redelivery_seconds=30.0,
    promise=lambda states: [] if states == ["stopped", "done"] else [f"it ended as {states}"],
)

STOP_THEN_TWO = Scenario(
    "a stop, and then two more",
    [
        *STOP.steps,
        (lambda w: _finals(w) == 2, lambda w: w.say("write c.txt", _root(w))),
    ],
)

MERGED = Scenario(
    "a merge between two turns",
    [
        (_always, lambda w: w.say(f"{HELLO}write a.txt")),
        (lambda w: _finals(w) == 1, lambda w: w.merge(w.pulls[0])),
        (_always, lambda w: w.say("write b.txt", _root(w))),
    ],
)

SECOND_THOUGHTS = Scenario(
    "one is edited and one taken back while they wait",
    [
        (_always, lambda w: w.say(f"{HELLO}write a.txt")),
        (lambda w: bool(w.runs), lambda w: w.say("write b.txt", _root(w))),
        (_always, lambda w: w.say("write c.txt", _root(w))),
        (lambda w: len(w.posts) > 3, lambda w: w.edit(_said(w, "write b.txt"), "write d.txt")),
        (_always, lambda w: w.delete(_said(w, "write c.txt"))),
    ],
)

TWO_THREADS = Scenario(
    "two threads at once",
    [
        (_always, lambda w: w.say(f"{HELLO}write a.txt")),
        (_always, lambda w: w.say(f"{HELLO}write b.txt")),
    ],
)

GAP = Scenario(
    "Slack has given up what it could not deliver",
    [
        (lambda w: w.connected, lambda w: w.say(f"{HELLO}write a.txt")),
        (lambda w: "write a.txt" in w.runs, lambda w: w.say("write b.txt", _root(w))),
    ],
    redelivers=False,
)

CLOSED = Scenario(
    "the pull request is closed the moment it is there",
    [
        (_always, lambda w: w.say(f"{HELLO}write a.txt")),
        (lambda w: bool(w.pulls), lambda w: setattr(w.pulls[0], "state", "closed")),
    ],
)

ONE_TRY = Scenario(
    "one try and no more",
    [(_always, lambda w: w.say(f"{HELLO}write a.txt"))],
    limits={"attempts": 1},
)

LATE_POST = Scenario(
    "a post that takes longer than it may",
    [
        (_always, lambda w: setattr(w, "holds_back", True)),
        (_always, lambda w: w.say(f"{HELLO}write a.txt")),
    ],
)

MOVED = Scenario(
    "a move to another repository",
    [
        (_always, lambda w: w.say(f"{HELLO}write a.txt")),
        (lambda w: _opening(w) is not None, lambda w: w.move(_opening(w), 1, OTHER)),
    ],
    promise=lambda states: [] if states == ["done"] else [f"it ended as {states}"],
)

MOVED_AT_WORK = Scenario(
    "a move while the agent works, and a stop there",
    [
        (_always, lambda w: w.say(f"{HELLO}write a.txt and wait")),
        (lambda w: bool(w.runs and _opening(w)), lambda w: w.move(_opening(w), 1, OTHER)),
        (lambda w: "no longer in" in _opening(w).text, lambda w: w.press_stop(_root(w))),
        (lambda w: _finals(w) == 1, lambda w: w.say("write b.txt", _root(w))),
    ],
    promise=lambda states: [] if states == ["stopped", "done"] else [f"it ended as {states}"],
)

ALL = (
    MENTION,
    REPLY,
    PICKER,
    QUESTION,
    STOP,
    STOP_AND_GO_ON,
    MERGED,
    SECOND_THOUGHTS,
    TWO_THREADS,
    GAP,
    CLOSED,
    ONE_TRY,
    MOVED,
    MOVED_AT_WORK,
)
