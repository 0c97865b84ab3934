"""What is outside of the bot in the runs by the thousand: a Slack, a code host, and the people.

It outlives the bot, is copied wherever a crash is tried, and remembers all that reached it. Each write that
reaches it is two points at which the bot may die: before it, and after it with the answer lost.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from crash_git import Store

from bot.playground import people

TEAM, BOT, CHANNEL = people.TEAM_ID, people.BOT_USER_ID, next(iter(people.CHANNELS))
REPOSITORY = "acme/storefront"
OTHER = "acme/other"
API = "/api/v3"


@dataclass
class Post:
    """A message in Slack. `key` is what the outbox wrote into its metadata, "" for a stream or a person's."""

    ts: str
    thread_ts: str
    user: str
    text: str
    key: str = ""
    streaming: bool = False
    updates: int = 0
    blocks: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Delivery:
    """Something Slack tells the bot until it is acknowledged. `twins` arrive under ids of their own."""

    id: str
    body: dict[str, Any]
    acknowledged: bool = False


@dataclass
class Pull:
    number: int
    title: str
    body: str
    head: str
    base: str
    state: str = "open"
    merged: bool = False
    repository: str = REPOSITORY


class Outside:
    """All of it. Nothing in here knows of time or chance, so the same calls make the same world."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.reactions: set[tuple[str, str]] = set()
        self.status: dict[str, str] = {}
        self.deliveries: list[Delivery] = []
        self.remote = Store()
        self.pulls: list[Pull] = []
        self.runs: list[str] = []  # each prompt that reached an agent, in order
        self.whispers: list[tuple[str, str]] = []
        self.said: list[str] = []  # keys of the prompts that are owed an end
        self.taken_back: set[str] = set()
        self.step = 0  # of the people's script
        self.connected = False  # whether a bot was ever here and looked around
        self.pressed: set[str] = set()  # the questions of agents that somebody answered
        self.wrong: list[str] = []  # promises seen broken at the very moment
        self.holds_back = False  # the next post stays on its way inside Slack until another one is made
        self.on_their_way: list[Post] = []
        self._clock = 1_790_000_000
        tree = self.remote.put_tree({"README.md": "# Storefront\n"})
        self.remote.refs["refs/heads/main"] = self.remote.put_commit(tree, None, "Begin", {})

    # -- people ----------------------------------------------------------------------------------

    def stamp(self) -> str:
        self._clock += 1
        return f"{self._clock}.000100"

    def say(self, text: str, thread_ts: str = "", user: str = people.ADA.id, owed: bool = True) -> str:
        """Somebody writes; Slack tells of it twice, as an `app_mention` and as a `message`."""
        ts = self.stamp()
        self.posts.append(Post(ts, thread_ts or ts, user, text))
        event: dict[str, Any] = {"channel": CHANNEL, "user": user, "text": text, "ts": ts, "team": TEAM}
        if thread_ts:
            event["thread_ts"] = thread_ts
        if f"<@{BOT}>" in text:
            self._deliver(event | {"type": "app_mention"})
        self._deliver(event | {"type": "message", "channel_type": "channel"})
        if owed:
            self.said.append(f"{CHANNEL}:{ts}")
        return ts

    def edit(self, ts: str, text: str) -> None:
        post = self.post(ts)
        before = self._as_message(post)
        post.text = text
        self._deliver(
            {"type": "message", "subtype": "message_changed", "channel": CHANNEL, "ts": self.stamp()}
            | {"message": self._as_message(post), "previous_message": before}
        )

    def delete(self, ts: str) -> None:
        post = self.post(ts)
        self.posts.remove(post)
        self.taken_back.add(f"{CHANNEL}:{ts}")
        self._deliver(
            {"type": "message", "subtype": "message_deleted", "channel": CHANNEL, "deleted_ts": ts}
            | {"previous_message": self._as_message(post), "ts": self.stamp()}
        )

    def give_up(self) -> None:
        """Slack tells nobody any more of what it could not deliver so far."""
        for each in self.deliveries:
            each.acknowledged = True

    def press_stop(self, thread_ts: str, user: str = people.ADA.id) -> None:
        event = {"type": "agent_session_stopped", "channel": CHANNEL, "user": user, "thread_ts": thread_ts}
        self._deliver(event | {"event_ts": self.stamp()})

    def pick(self, post: Post, repository: str, user: str = people.ADA.id) -> None:
        """Answer the picker in a post, with the value of that option."""
        option = next(o for o in _options(post.blocks) if o["value"].endswith(f"|{repository}"))
        chosen = {"action_id": "choose_repository", "selected_option": {"value": option["value"]}}
        self._click(post, chosen, user)

    def _click(self, post: Post, action: dict[str, Any], user: str) -> None:
        body = {
            "type": "block_actions",
            "team": {"id": TEAM},
            "user": {"id": user, "team_id": TEAM},
            "container": {"type": "message", "channel_id": CHANNEL, "message_ts": post.ts}
            | {"thread_ts": post.thread_ts},
            "message": {"ts": post.ts, "thread_ts": post.thread_ts},
            "actions": [action],
        }
        self.deliveries.append(Delivery(self._next_id(), body))

    def move(self, post: Post, prompt: int, repository: str, user: str = people.ADA.id) -> None:
        """Answer the picker behind “Wrong repository?” of an opening post."""
        body = {
            "type": "block_actions",
            "team": {"id": TEAM},
            "user": {"id": user, "team_id": TEAM},
            "container": {"type": "message", "channel_id": CHANNEL, "message_ts": self.stamp()}
            | {"thread_ts": post.thread_ts, "is_ephemeral": True},
            "actions": [
                {"action_id": "move_repository", "selected_option": {"value": f"{prompt}|{repository}"}}
            ],
        }
        self.deliveries.append(Delivery(self._next_id(), body))

    def open_questions(self) -> list[Post]:
        """What an agent asks, as long as it can be answered."""
        return [post for post in self.posts if ":ask:" in post.key and "answer_0" in repr(post.blocks)]

    def answer_all(self, user: str = people.ADA.id) -> bool:
        """Press the first button of each question, once. Whether there was one to press."""
        found = [post for post in self.open_questions() if post.ts not in self.pressed]
        for post in found:
            self.pressed.add(post.ts)
            action = {"action_id": "answer_0", "block_id": post.key.partition(":")[2], "value": "0"}
            self._click(post, action, user)
        return bool(found)

    def asked(self) -> dict[str, list[str]]:
        """Per thread what people asked, as an agent hears it, oldest first."""
        found: dict[str, list[str]] = {}
        for post in self.posts:
            if post.user != BOT:
                found.setdefault(post.thread_ts, []).append(post.text.replace(f"<@{BOT}>", "").strip())
        return found

    def post(self, ts: str) -> Post:
        return next(post for post in self.posts if post.ts == ts)

    def _as_message(self, post: Post) -> dict[str, Any]:
        return {"ts": post.ts, "thread_ts": post.thread_ts, "user": post.user, "text": post.text}

    def _deliver(self, event: dict[str, Any]) -> None:
        number = self._next_id()
        grant = {"team_id": TEAM, "user_id": BOT, "is_bot": True, "enterprise_id": None}
        body = {"type": "event_callback", "team_id": TEAM, "event_id": number, "event": event}
        self.deliveries.append(Delivery(number, body | {"authorizations": [grant]}))

    def _next_id(self) -> str:
        return f"Ev{len(self.deliveries) + 1:04d}"

    # -- Slack's answers -------------------------------------------------------------------------

    def slack(self, method: str, given: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], None] | None]:
        """The answer of a call, and what it changes; None for one that only reads."""
        act = getattr(self, "_" + method.replace(".", "_"))
        return act(given)  # type: ignore[no-any-return]  # each of the methods below

    def _auth_test(self, given: dict[str, Any]) -> Any:
        return {"user_id": BOT, "team_id": TEAM, "bot_id": "B1", "url": "https://example.com/"}, None

    def _users_info(self, given: dict[str, Any]) -> Any:
        user = given["user"]
        return {"user": {"id": user, "team_id": TEAM, "name": user.lower(), "profile": {}}}, None

    def _conversations_info(self, given: dict[str, Any]) -> Any:
        return {"channel": {"id": given["channel"], "name": "general"}}, None

    def _users_conversations(self, given: dict[str, Any]) -> Any:
        return {"channels": [{"id": CHANNEL, "name": "general"}]}, None

    def _conversations_history(self, given: dict[str, Any]) -> Any:
        roots = [post for post in self.posts if post.ts == post.thread_ts]
        return {"messages": [self._shown(post) for post in reversed(roots)]}, None

    def _conversations_replies(self, given: dict[str, Any]) -> Any:
        found = [post for post in self.posts if post.thread_ts == given["ts"] or post.ts == given["ts"]]
        return {"messages": [self._shown(post) for post in found]}, None

    def _shown(self, post: Post) -> dict[str, Any]:
        replies = [p.ts for p in self.posts if p.thread_ts == post.ts and p is not post]
        own = {"bot_id": "B1"} if post.user == BOT else {}
        metadata = {"metadata": {"event_payload": {"key": post.key}}} if post.key else {}
        latest = {"latest_reply": replies[-1]} if replies else {}
        threaded = {"thread_ts": post.thread_ts} if post.thread_ts != post.ts or replies else {}
        return {"type": "message", "ts": post.ts, "user": post.user, "text": post.text} | {
            **own,
            **metadata,
            **latest,
            **threaded,
        }

    def _chat_postMessage(self, given: dict[str, Any]) -> Any:
        key = given["metadata"]["event_payload"]["key"]
        post = Post(self.stamp(), given["thread_ts"], BOT, given["text"], key, blocks=given.get("blocks", []))
        return {"ts": post.ts}, lambda: self._arrive(post)

    def _arrive(self, post: Post) -> None:
        """Into the thread; a post that was held back gets there only right before the next one."""
        if self.holds_back:
            self.holds_back = False
            self.on_their_way.append(post)
        else:
            self.posts += [*self.on_their_way, post]
            self.on_their_way = []

    def _chat_update(self, given: dict[str, Any]) -> Any:
        post = self.post(given["ts"])

        def act() -> None:
            post.text, post.updates = given["text"], post.updates + 1
            post.blocks = given.get("blocks", [])

        return {"ts": post.ts}, act

    def _chat_startStream(self, given: dict[str, Any]) -> Any:
        post = Post(self.stamp(), given["thread_ts"], BOT, "", streaming=True)
        return {"ts": post.ts}, lambda: self.posts.append(post)

    def _chat_appendStream(self, given: dict[str, Any]) -> Any:
        if not self.post(given["ts"]).streaming:
            return {"ok": False, "error": "message_not_in_streaming_state"}, None
        return {}, None  # what a stream shows is decoration

    def _chat_stopStream(self, given: dict[str, Any]) -> Any:
        post = self.post(given["ts"])
        if not post.streaming:
            return {"ok": False, "error": "message_not_in_streaming_state"}, None

        def act() -> None:
            post.streaming = False

        return {}, act

    def _chat_postEphemeral(self, given: dict[str, Any]) -> Any:
        return {}, lambda: self.whispers.append((given["user"], given["text"]))

    def _reactions_add(self, given: dict[str, Any]) -> Any:
        mark = (given["timestamp"], given["name"])
        if mark in self.reactions:
            return {"ok": False, "error": "already_reacted"}, None
        return {}, lambda: self.reactions.add(mark)

    def _agents_sessions_setStatus(self, given: dict[str, Any]) -> Any:
        return {}, lambda: self.status.update({given["thread_ts"]: given["status"]})

    # -- the code host's answers -----------------------------------------------------------------

    def github(self, verb: str, url: str, body: str) -> tuple[int, Any, Callable[[], None] | None]:
        """Status, answer, and what it changes."""
        parts = urlsplit(url)
        repository = "/".join(parts.path.removeprefix(f"{API}/repos/").split("/")[:2])
        place = parts.path.removeprefix(f"{API}/repos/{repository}")
        given = json.loads(body) if body else {}
        if place == "/pulls" and verb == "GET":
            branch = parse_qs(parts.query)["head"][0].partition(":")[2]
            found = [pull for pull in self.pulls if pull.head == branch]
            return 200, [self._as_pull(pull) for pull in reversed(found)], None
        if place == "/pulls" and verb == "POST":
            return self._open(repository, given)
        pull = self.pulls[int(place.removeprefix("/pulls/")) - 1]
        if verb == "PATCH":
            pull_now = self._as_pull(pull) | {"body": given["body"]}
            return 200, pull_now, lambda: setattr(pull, "body", given["body"])
        return 200, self._as_pull(pull), None

    def _open(self, repository: str, given: dict[str, Any]) -> tuple[int, Any, Callable[[], None] | None]:
        if any(pull.head == given["head"] and pull.state == "open" for pull in self.pulls):
            said = {"message": "A pull request already exists for acme:" + given["head"]}
            return 422, {"message": "Validation Failed", "errors": [said]}, None
        pull = Pull(len(self.pulls) + 1, given["title"], given["body"], given["head"], given["base"])
        pull.repository = repository
        return 201, self._as_pull(pull), lambda: self.pulls.append(pull)

    def _as_pull(self, pull: Pull) -> dict[str, Any]:
        url = f"https://example.com{API}/repos/{pull.repository}/pulls/{pull.number}"
        head = {"ref": pull.head, "sha": self.head(pull.head), "repo": {"full_name": pull.repository}}
        return {
            "url": url,
            "html_url": url,
            "number": pull.number,
            "title": pull.title,
            "body": pull.body,
            "state": pull.state,
            "merged_at": "2026-11-25T00:00:00Z" if pull.merged else None,
            "head": head,
            "base": {"ref": pull.base},
            "user": {"login": people.ADA.github, "url": "https://example.com/user"},
        }

    def merge(self, pull: Pull) -> None:
        pull.state, pull.merged = "closed", True
        self.remote.refs["refs/heads/main"] = self.head(pull.head)

    def head(self, branch: str) -> str:
        return self.remote.refs[f"refs/heads/{branch}"]

    # -- to be told apart ------------------------------------------------------------------------

    def signature(self) -> Any:
        """All that matters of it for what may still happen; two worlds alike in this go on alike."""
        names = {post.ts: index for index, post in enumerate(self.posts)}
        return (
            [(names.get(p.thread_ts), p.user, p.key, p.streaming, p.updates) for p in self.posts],
            sorted((names.get(ts, -1), name) for ts, name in self.reactions),
            sorted(self.status.items()),
            [(each.id, each.acknowledged) for each in self.deliveries],
            sorted(self.remote.refs.items()),
            [(pull.number, pull.state, pull.body) for pull in self.pulls],
            self.runs,
            self.step,
            sorted(self.whispers),
        )


def _options(blocks: Any) -> list[dict[str, Any]]:
    if isinstance(blocks, list):
        return list(itertools.chain.from_iterable(_options(each) for each in blocks))
    if isinstance(blocks, dict):
        own = blocks.get("options", []) if isinstance(blocks.get("options"), list) else []
        return own + [o for each in blocks.values() if isinstance(each, dict | list) for o in _options(each)]
    return []
