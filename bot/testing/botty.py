"""The whole bot in a playground of its own, spoken to as people do."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from bot.app import Bot
from bot.config import parse
from bot.playground import people
from bot.playground.app import Playground
from bot.playground.household import Household
from bot.plugins import Plugins

_IDLE_SECONDS = 60
Files = Sequence[Mapping[str, Any]]


class Post:
    """One message as people see it."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.ts = str(raw["ts"])
        self.user = str(raw["user"])
        self.text = str(raw["text"])

    @property
    def reactions(self) -> set[str]:
        return {str(reaction["name"]) for reaction in self.raw["reactions"]}

    @property
    def actions(self) -> list[Mapping[str, Any]]:
        return list(self.raw["actions"])

    @property
    def asks(self) -> bool:
        """Whether it is an open question of which repository is meant."""
        return any(action["action_id"] == "choose_repository" for action in self.actions)

    @property
    def everything(self) -> str:
        """All its words: the text and those in its blocks."""
        return "\n".join([self.text, *_words(self.raw.get("blocks") or [])])

    def __repr__(self) -> str:
        return f"Post({self.user}: {self.everything!r})"


class Thread:
    """A thread one can go on in."""

    def __init__(self, botty: Botty, channel: str, ts: str) -> None:
        self._botty = botty
        self.channel = channel
        self.ts = ts

    async def say(self, text: str, user: str = "ada", files: Files = ()) -> str:
        """Reply; returns the message's ts."""
        return await self._botty.post(self.channel, text, user, self.ts, files)

    async def posts(self) -> list[Post]:
        """All messages, the first one included."""
        answer = await self._botty.control("GET", "thread", channel=self.channel, ts=self.ts)
        return [Post(raw) for raw in answer["messages"]]

    async def by_bot(self) -> list[Post]:
        return [post for post in await self.posts() if post.user == people.BOT_USER_ID]

    async def status(self) -> str | None:
        """The agent session's: "processing" while a turn runs."""
        answer = await self._botty.control("GET", "thread", channel=self.channel, ts=self.ts)
        status: str | None = answer["status"]
        return status

    async def final(self) -> Post:
        """The bot's last message, once nothing is queued or running."""
        await self._botty.idle()
        return (await self.by_bot())[-1]

    async def picker(self) -> Post:
        """The open question, once it is there."""
        async with asyncio.timeout(_IDLE_SECONDS):
            while True:
                asked = [post for post in await self.by_bot() if post.asks]
                if asked:
                    return asked[-1]
                await self._botty.changed()

    async def pick(self, name: str, user: str = "ada") -> None:
        """Answer the open question with the option of this name."""
        post = await self.picker()
        action = post.actions[0]
        value = next(option["value"] for option in action["options"] if option["text"] == name)
        await self._botty.control(
            "POST",
            "click",
            channel=self.channel,
            ts=post.ts,
            action_id=action["action_id"],
            user=self._botty.person(user),
            value=value,
        )

    async def stop(self, user: str = "ada") -> None:
        """Press the native Stop button."""
        await self._botty.control(
            "POST", "stop", channel=self.channel, thread_ts=self.ts, user=self._botty.person(user)
        )

    async def react(self, name: str, user: str = "ada", ts: str | None = None) -> None:
        await self._botty.control(
            "POST", "react", channel=self.channel, ts=ts or self.ts, user=self._botty.person(user), name=name
        )


class Botty:
    """A playground with people in it and the bot among them."""

    def __init__(self, home: Household, changes: Mapping[str, Any]) -> None:
        self.home = home
        self.playground = Playground(home.playground)
        self._changes = changes
        self.bot = self._new_bot()
        self._http: aiohttp.ClientSession | None = None

    def _new_bot(self) -> Bot:
        plugins = Plugins()
        table = _merged(self.home.bot_table(), self._changes)
        return Bot(parse(table, "the test's settings", plugins, folder=self.home.folder), plugins)

    async def start(self) -> None:
        self._http = aiohttp.ClientSession()
        await self.playground.start()
        await self.bot.start()

    async def close(self) -> None:
        await self.bot.close()
        await self.playground.close()
        if self._http is not None:
            await self._http.close()

    async def restart(self) -> None:
        """Close the bot where it is and start a new one on the same data."""
        await self.bot.close()
        self.bot = self._new_bot()
        await self.bot.start()

    # -- as people -------------------------------------------------------------------------------

    async def say(self, text: str, user: str = "ada", channel: str = "web", files: Files = ()) -> Thread:
        """Mention the bot in a channel and so open a thread."""
        place = self.channel(channel, user)
        mention = "" if channel == "dm" else "@threadsmith "
        return Thread(self, place, await self.post(place, f"{mention}{text}", user, files=files))

    async def post(
        self, channel: str, text: str, user: str = "ada", thread_ts: str | None = None, files: Files = ()
    ) -> str:
        """Say something, as it is; returns its ts. A file is an object of name, content_base64, mimetype."""
        body = {"channel": channel, "user": self.person(user), "text": text, "files": list(files)}
        if thread_ts is not None:
            body["thread_ts"] = thread_ts
        return str((await self.control("POST", "message", **body))["ts"])

    async def command(self, text: str, user: str = "ada", channel: str = "general") -> str:
        """Type `/threadsmith TEXT`; returns what that person alone is shown."""
        place, before = self.channel(channel, user), await self._whispers(user, channel)
        await self.control(
            "POST", "command", channel=place, user=self.person(user), command="/threadsmith", text=text
        )
        async with asyncio.timeout(_IDLE_SECONDS):
            while len(after := await self._whispers(user, channel)) == len(before):
                await self.changed()
        return after[-1]

    async def pulls(self) -> list[dict[str, Any]]:
        return list(await self.control("GET", "pulls"))

    async def idle(self) -> None:
        """Returns when nothing is queued or running; AssertionError with the reasons when that takes long."""
        answer = await self.control("GET", "idle", timeout=str(_IDLE_SECONDS))
        assert answer["idle"], answer

    async def changed(self) -> None:
        """Give the loop to everyone else for a moment."""
        await asyncio.sleep(0.02)

    # -- by hand ---------------------------------------------------------------------------------

    async def control(self, method: str, action: str, /, **arguments: Any) -> Any:
        """The playground's control API. AssertionError with its own words when it refuses."""
        assert self._http is not None
        url = f"{self.playground.slack_url}/control/{action}"
        headers = {"X-Playground-Token": self.home.secrets["control_token"]}
        options: dict[str, Any] = {"params": arguments}
        if method != "GET":
            headers["Content-Type"] = "application/json"
            options = {"data": io.BytesIO(json.dumps(arguments).encode())}
        async with self._http.request(method, url, headers=headers, **options) as response:
            answer = await response.json()
            assert response.status < 400, f"{action}: {answer}"
            return answer

    def person(self, name: str) -> str:
        """A sample person's id: ada, ben, chloe or gus."""
        found = people.person_named(name)
        assert found is not None, f"nobody is named {name}"
        return found.id

    def channel(self, name: str, user: str = "ada") -> str:
        """A channel's id by name; "dm" is the user's with the bot."""
        for channel in people.CHANNELS.values():
            if channel.name == name or (name == "dm" and channel.user == self.person(user)):
                return channel.id
        raise AssertionError(f"no channel is named {name}")

    async def _whispers(self, user: str, channel: str) -> list[str]:
        """What this person alone was shown in a channel, by the page's eyes."""
        assert self._http is not None
        url = f"{self.playground.slack_url}/page/messages"
        params = {"channel": self.channel(channel, user), "user": self.person(user)}
        headers = {"X-Playground-Token": self.home.secrets["control_token"]}
        async with self._http.get(url, params=params, headers=headers) as response:
            messages = (await response.json())["messages"]
        return [message["text"] for message in messages if message["ephemeral"]]


def _merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` over `table`; tables are merged, all else replaced."""
    merged = dict(table)
    for key, value in changes.items():
        known = merged.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(known, value) if both else value  # type: ignore[arg-type]  # both are mappings
    return merged


def _words(blocks: Any) -> list[str]:
    """All texts of a message's blocks, in order."""
    if isinstance(blocks, list):
        return [word for block in blocks for word in _words(block)]
    if not isinstance(blocks, Mapping):
        return []
    own = [blocks["text"]] if isinstance(blocks.get("text"), str) else []
    return own + [word for key, value in blocks.items() if key != "text" or not own for word in _words(value)]
