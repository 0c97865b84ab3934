"""People in threads: what they say, seeded, and a record of it that is held against what came of it."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from place import Json, Place, Refused, Unsure

BOT = "threadsmith"
MOST_OPEN = 4  # prompts of one thread that have no final message yet


@dataclass
class Said:
    """A message that is a prompt. `versions`: the file each version of its text asks for."""

    ts: str
    user: str
    versions: list[str]
    deleting: bool = False  # somebody asked to delete it; whether in time is the bot's to say
    plain: bool = False  # it asks for nothing that changes a file


@dataclass
class Talk:
    """One thread. `ts` is its root's."""

    number: int
    channel: str
    people: list[str]
    root: str = ""
    said: list[Said] = field(default_factory=list)
    stops: int = 0
    merged: int = 0
    finals: dict[str, str] = field(default_factory=dict)  # key of a final message -> its ts
    words: dict[str, str] = field(default_factory=dict)  # key of a final message -> its text

    @property
    def mark(self) -> str:
        return f"t{self.number:03}"

    @property
    def open(self) -> int:
        return len([each for each in self.said if not each.deleting]) - len(self.finals)


class People:
    """Goes on in threads until told to stop; opens new ones as old ones have been talked through."""

    def __init__(self, place: Place, state: Json, threads: int, chance: random.Random) -> None:
        self._place = place
        self._chance = chance
        self._slots = threads
        self._users = [user["id"] for user in state["users"] if user["github"]]
        named = {channel["name"]: channel["id"] for channel in state["channels"]}
        self._channels = [named["web"], named["backend"], named["general"]]
        self.talks: list[Talk] = []
        self.over = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._slots):
                group.create_task(self._slot())

    async def _slot(self) -> None:
        """One thread after another, each of a few rounds."""
        while not self.over:
            talk = Talk(len(self.talks), self._chance.choice(self._channels), self._some_people())
            self.talks.append(talk)
            await self._prompt(talk)
            for _ in range(self._chance.randrange(4, 12)):
                await self._pause(0.3, 4.0)
                if self.over:
                    return
                await self._something(talk)
            with suppress(Refused):
                await self.pick(talk)  # a question that stays open counts against whoever asked

    def _some_people(self) -> list[str]:
        return self._chance.sample(self._users, self._chance.randrange(1, len(self._users) + 1))

    async def _pause(self, least: float, most: float) -> None:
        end = asyncio.get_running_loop().time() + self._chance.uniform(least, most)
        while not self.over and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.1)

    async def _something(self, talk: Talk) -> None:
        kinds = {
            self._prompt: 6,
            self._burst: 2,
            self._edit: 2,
            self._delete: 1,
            self._stop: 2,
            self._merge: 2,
            self.pick: 6,
        }
        what = self._chance.choices(list(kinds), list(kinds.values()))[0]
        with suppress(Refused):  # said too late, clicked twice: the playground's people are told, too
            await what(talk)

    # -- what they do ------------------------------------------------------------------------------

    async def _prompt(self, talk: Talk) -> None:
        if talk.open >= MOST_OPEN:
            return
        said = Said("", self._chance.choice(talk.people), [f"{talk.mark}-{len(talk.said):03}.txt"])
        said.plain = self._chance.random() < 0.1
        said.ts = await self._say(talk, said.user, f"@{BOT} {self._words(said)}")
        if not said.ts:
            return
        talk.root = talk.root or said.ts
        talk.said.append(said)

    async def _burst(self, talk: Talk) -> None:
        for _ in range(self._chance.randrange(2, 4)):
            await self._prompt(talk)

    def _words(self, said: Said) -> str:
        wait = self._chance.choice(["", "", "", " then wait 1 seconds", " then wait 3 seconds"])
        if said.plain:
            return f"run echo {said.versions[-1]}{wait}"
        return f'create {said.versions[-1]} with "{said.versions[-1]}"{wait}'

    async def _edit(self, talk: Talk) -> None:
        """The last one, which may still be queued."""
        if not talk.said or talk.said[-1].deleting or talk.said[-1].plain:
            return
        said = talk.said[-1]
        said.versions.append(f"{talk.mark}-{len(talk.said) - 1:03}-{len(said.versions)}.txt")
        with suppress(Unsure):
            text = f"@{BOT} {self._words(said)}"
            await self._place.act("edit", channel=talk.channel, ts=said.ts, user=said.user, text=text)

    async def _delete(self, talk: Talk) -> None:
        if len(talk.said) < 2 or talk.said[-1].deleting:
            return
        said = talk.said[-1]
        said.deleting = True
        with suppress(Unsure):
            await self._place.act("delete", channel=talk.channel, ts=said.ts, user=said.user)

    async def _stop(self, talk: Talk) -> None:
        if not talk.root:
            return
        talk.stops += 1
        user, kind = self._chance.choice(talk.people), self._chance.randrange(3)
        place = {"channel": talk.channel, "user": user}
        with suppress(Unsure):
            if kind == 0:
                await self._say(talk, user, f"@{BOT} stop")
            elif kind == 1:
                await self._place.act("stop", **place, thread_ts=talk.root)
            else:
                await self._place.act("react", **place, ts=talk.root, name="x")
                await self._place.act("react", **place, ts=talk.root, name="x", remove=True)

    async def _merge(self, talk: Talk) -> None:
        for pull in await self._place.look("pulls"):
            if pull["state"] == "open" and any(path.startswith(talk.mark) for path in pull["files"]):
                talk.merged += 1
                where = {"repository": pull["repository"], "number": pull["number"]}
                with suppress(Unsure):
                    await self._place.act("merge", **where, user=self._chance.choice(talk.people))

    async def pick(self, talk: Talk) -> bool:
        """Answer an open question of this thread, as whoever asked first. False: there was none."""
        if not talk.root:
            return False
        asked = False
        seen = await self._place.look("thread", channel=talk.channel, ts=talk.root)
        for message in seen["messages"]:
            for action in message["actions"]:
                if action["options"] and not message["deleted"]:
                    asked = True
                    await self._click(talk, message["ts"], action)
        return asked

    async def _click(self, talk: Talk, ts: str, action: Json) -> None:
        values = {"user": talk.said[0].user, "value": self._chance.choice(action["options"])["value"]}
        with suppress(Unsure, Refused):
            await self._place.act(
                "click", channel=talk.channel, ts=ts, action_id=action["action_id"], **values
            )

    # -- saying it once ----------------------------------------------------------------------------

    async def _say(self, talk: Talk, user: str, text: str) -> str:
        """The message's ts; "" when the playground was killed before it had it."""
        arguments: dict[str, Any] = {"channel": talk.channel, "user": user, "text": text}
        if talk.root:
            arguments["thread_ts"] = talk.root
        try:
            return str((await self._place.act("message", **arguments))["ts"])
        except Unsure:
            return await self._find(talk, user, text)

    async def _find(self, talk: Talk, user: str, text: str) -> str:
        """Every prompt names a file of its own, so it is found by its words."""
        where = {"channel": talk.channel} | ({"ts": talk.root} if talk.root else {})
        known = {said.ts for said in talk.said}
        words = text.partition(" ")[2]
        for message in (await self._place.look("thread", **where))["messages"]:
            if message["user"] == user and words in message["text"] and message["ts"] not in known:
                return str(message["ts"])
        return ""
