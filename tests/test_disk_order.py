"""A real bot's disk and wires, recorded: when an answer leaves, what it answers is on the disk; and before a
write to the outside leaves, its intent is. Held against what a power cut at that very step would have left.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cut_kit import NOTHING, Opener, Seen, database_of, memory
from disk_kit import Disk, Model, Op, read_journal, recording
from session_kit import shows
from wire_kit import Request, acknowledged, requests

from bot.domain import ThreadKey
from bot.playground import people
from bot.playground.household import household
from bot.testing import Botty

Same = Callable[[Mapping[str, Any]], bool]
pytestmark = pytest.mark.proof("order")

# A bot that breaks both promises, as a plugin: it answers first, and acts before it has planned to.
HASTY = """
import asyncio
from bot.slack.edge import SlackEdge
from slack_bolt.response import BoltResponse
from storage import SessionFile

listen, sending, done = SlackEdge._before_authorize, SessionFile.effect_sending, SessionFile.effect_done

async def answer_first(self, body, next):
    async def later():
        await asyncio.sleep(0.5)
        await listen(self, body, next)
    self._spawn(later())
    return BoltResponse(status=200, body="")

async def not_yet(self, *given):
    return True

async def afterwards(self, effect_id, result=None):
    await sending(self, effect_id)
    return await done(self, effect_id, result)

SlackEdge._before_authorize = answer_first
SessionFile.effect_sending = SessionFile.send_of_turn = not_yet
SessionFile.effect_done = afterwards
"""


class Recorded(Botty):
    """The playground here, the bot a process of its own that is recorded."""

    more = ""

    async def start(self) -> None:
        await super().start()
        await self.bot.close()
        disk = self.home.folder / "disk"  # the bot's data, in a folder that nothing was in before
        disk.mkdir()
        self.journal = self.home.folder / "journal"
        config = self.home.folder / "recorded.toml"
        text = self.home.config.read_text().replace(str(self.home.bot_data), str(disk / "bot"))
        config.write_text(text + self.more)
        command = (sys.executable, "-m", "bot", "run", "--config", str(config))
        self._log = (self.home.folder / "bot.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            *command, stdout=self._log, stderr=self._log, env=recording(disk, self.journal)
        )

    async def end(self) -> list[Op]:
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()
        self._log.close()
        return read_journal(self.journal)

    async def close(self) -> None:
        await self.end()
        await super().close()


@pytest.fixture
def opener() -> Iterator[Opener]:
    with memory() as folder:
        yield Opener(folder)


async def conversation(place: Botty) -> None:
    """Everything a thread can hear: a mention, replies, an edit, a deletion, a stop, a click."""
    thread = await place.say('create a.txt with "a" then wait 60 seconds')
    await shows(place, thread, "Starting in")
    edited = await thread.say('create b.txt with "b"')
    deleted = await thread.say('create c.txt with "c"', "ben")
    await shows(place, thread, "Queued: 2")
    who = {"channel": thread.channel, "user": place.person("ada")}
    await place.control("POST", "edit", **who, ts=edited, text='create d.txt with "d"')
    who["user"] = place.person("ben")
    await place.control("POST", "delete", **who, ts=deleted)
    await thread.say("stop")
    asked = await place.say("list files", "ben", "general")
    await asked.pick("acme/ledger", "ben")
    await place.idle()


class Order:
    """Goes through a recording; `broken` is what left too early, `seen` what was looked at."""

    def __init__(self, root: Path, opener: Opener) -> None:
        self._disk = Disk(root)
        self._opener = opener
        self._least: dict[str, Seen] = {}
        self._changed: set[str] = set()
        self.seen: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()

    async def go(self, ops: list[Op]) -> None:
        looks: dict[int, list[Callable[[], None]]] = {}
        for each in acknowledged(ops):
            looks.setdefault(each.at, []).append(lambda each=each: self._acknowledged(each.payload))
        for request in requests(ops):
            for look in self._outside(request):
                looks.setdefault(request.at, []).append(look)
        for step, op in enumerate(ops):
            for look in looks.get(step, ()):
                await self._refresh()
                look()
            if op.kind == "E" and "\npush\n" in op.data.decode():
                await self._refresh()
                self._push(op.data.decode())
            if (
                not self._is_gits(op)
                and (path := database_of(self._disk.do(op), self._disk.root)) is not None
            ):
                self._changed.add(path)

    def _is_gits(self, op: Op) -> bool:
        """Its own steps there were not recorded; see test_power_cut.py for those."""
        return op.path.startswith(str(self._disk.root / "bot/mirrors/"))

    async def _refresh(self) -> None:
        """What a cut right now would leave at the least."""
        for path in self._changed:
            left = self._disk.left(Model.LEAST, random.Random(0), path.removesuffix(".db"))
            self._least[path] = await self._opener.open(path, left)
        self._changed.clear()

    def _check(self, what: str, true: bool) -> None:
        self.seen[what] += 1
        if not true:
            self.broken[what] += 1

    # -- what was acknowledged -------------------------------------------------------------------------

    def _session(self, channel: str, ts: str) -> tuple[Seen, bool]:
        """A thread's session on the disk, and whether the next start would look into it."""
        session = ThreadKey(people.TEAM_ID, channel, ts).session_id
        state = self._least.get("bot/state.db", NOTHING)
        return self._least.get(f"bot/sessions/{session[:2]}/{session}.db", NOTHING), session in state.marked

    def _acknowledged(self, payload: Mapping[str, Any]) -> None:
        if payload["type"] == "block_actions":
            self._click(payload)
            return
        event = payload["event"]
        if event["type"] not in ("message", "app_mention"):
            return
        if event.get("subtype") == "message_changed":
            now = event["message"]
            if now["user"] != people.BOT_USER_ID:
                seen, _ = self._session(event["channel"], now["thread_ts"])
                row = seen.prompts.get(f"{event['channel']}:{now['ts']}", {})
                self._check("edit", now["text"] == row.get("text"))
        elif event.get("subtype") == "message_deleted":
            gone = event["previous_message"]
            seen, _ = self._session(event["channel"], gone["thread_ts"])
            row = seen.prompts.get(f"{event['channel']}:{gone['ts']}", {})
            self._check("deletion", row.get("state") == "removed")
        elif event.get("user") != people.BOT_USER_ID and not event.get("subtype"):
            self._said(event)

    def _said(self, event: Mapping[str, Any]) -> None:
        seen, marked = self._session(event["channel"], event.get("thread_ts") or event["ts"])
        if event["text"] == "stop":
            self._check("stop", any(kind == "turn.stop" for kind, _ in seen.effects))
        else:
            known = f"{event['channel']}:{event['ts']}" in seen.prompts
            self._check("reply" if event.get("thread_ts") else "mention", known and marked)

    def _click(self, payload: Mapping[str, Any]) -> None:
        container = payload["container"]
        seen, marked = self._session(container["channel_id"], container["thread_ts"])
        chosen = {row["repository"] for row in seen.prompts.values()}
        self._check("click", chosen == {"acme/ledger"} and marked)

    # -- what was done outside -------------------------------------------------------------------------

    def _outside(self, request: Request) -> Iterator[Callable[[], None]]:
        if request.path.endswith("/chat.postMessage"):
            session, _, key = request.json["metadata"]["event_payload"]["key"].partition(":")
            yield lambda: self._planned("Slack post", "thread.post", session, lambda row: row["key"] == key)
        elif request.path.endswith("/chat.update"):
            yield lambda: self._planned("Slack update", "thread.update")
        elif request.method == "POST" and request.path.endswith("/pulls"):
            title = request.json["title"]
            yield lambda: self._planned(
                "pull request", "pull_request", same=lambda row: row["intent"]["title"] == title
            )

    def _push(self, command: str) -> None:
        self._planned("push", "git.push", same=lambda row: row["intent"]["commit"] in command)

    def _planned(self, what: str, kind: str, session: str = "", same: Same = lambda row: True) -> None:
        """A session was about to do this, as far as its disk knows."""
        found = [
            row
            for path, seen in self._least.items()
            if session in path
            for row in seen.effects.values()
            if row["kind"] == kind and row["state"] == "sending" and same(row)
        ]
        self._check(what, bool(found))


ANSWERS = {"mention", "reply", "edit", "deletion", "stop", "click"}
WRITES = {"Slack post", "Slack update", "push", "pull request"}


async def test_the_disk_has_it_before_an_answer_or_a_write_to_the_outside_leaves(
    tmp_path: Path, opener: Opener, record_property: Callable[[str, object], None]
) -> None:
    place = Recorded(household(tmp_path / "household", port=0), {})
    try:
        await place.start()
        await conversation(place)
        ops = await place.end()
    finally:
        await place.close()
    order = Order(place.home.folder / "disk", opener)
    await order.go(ops)
    assert set(order.seen) == ANSWERS | WRITES
    assert not order.broken
    record_property("cases", order.seen.total())


async def test_a_bot_in_a_hurry_is_noticed(tmp_path: Path, opener: Opener) -> None:
    """It answers before it has heard, and acts before it has planned to; each is seen in the recording."""
    hasty = tmp_path / "plugins" / "hasty.py"
    hasty.parent.mkdir()
    hasty.write_text(HASTY)
    place = Recorded(household(tmp_path / "household", port=0), {})
    place.more = f'\n[plugins]\nfolder = "{hasty.parent}"\n'
    try:
        await place.start()
        await shows(place, await place.say('create a.txt with "a"'), "Done.")
        ops = await place.end()
    finally:
        await place.close()
    order = Order(place.home.folder / "disk", opener)
    await order.go(ops)
    assert set(order.broken) == {"mention", "Slack post", "push", "pull request"}
