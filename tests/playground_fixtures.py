"""What the playground's own tests stand on: a running Slack side, its people's hands, and a real Bolt bot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from shapes import ShapeChecker
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground import people
from bot.playground.settings import PlaygroundSettings
from bot.playground.slack.server import SlackSide

ADA, BEN, CHLOE, GUS = (person.id for person in people.HUMANS)
BOT = people.BOT_USER_ID
GENERAL, WEB, BACKEND, RANDOM = "C0GENERAL1", "C0WEBFRONT", "C0BACKEND1", "C0RANDOM01"
DM = people.ADA.dm
TOKEN = "control-token"
PAGES = "pages-token"
BOT_TOKEN = "xoxb-sample"
APP_TOKEN = "xapp-sample"
HEADERS = {"X-Playground-Token": TOKEN}

Json = dict[str, Any]


def settings(folder: Path, port: int = 0) -> PlaygroundSettings:
    """Settings with the secrets above."""
    return PlaygroundSettings(
        data=folder,
        slack_port=port,
        control_token=TOKEN,
        pages_token=PAGES,
        bot_token=BOT_TOKEN,
        app_token=APP_TOKEN,
        signing_secret="signing",
    )


class Slack:
    """A running Slack side as people, scripts and a bot's client reach it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session
        self.client = AsyncWebClient(token=BOT_TOKEN, base_url=f"{url}/api/", session=session)
        self.client.retry_handlers = []

    async def act(self, action: str, expect: int = 200, **body: Any) -> Json:
        """POST to the control API."""
        async with self.session.post(f"{self.url}/control/{action}", json=body, headers=HEADERS) as response:
            answer = await response.json()
            assert response.status == expect, answer
            return answer

    async def look(self, path: str, expect: int = 200, **query: str) -> Any:
        """GET from the control or page API."""
        async with self.session.get(f"{self.url}/{path}", params=query, headers=HEADERS) as response:
            answer = await response.json()
            assert response.status == expect, answer
            return answer

    async def say(self, text: str, channel: str = WEB, user: str = ADA, thread_ts: str | None = None) -> str:
        """A person says something; returns its ts."""
        return (await self.act("message", channel=channel, user=user, text=text, thread_ts=thread_ts))["ts"]

    async def thread(self, ts: str, channel: str = WEB) -> list[Json]:
        """The messages of a thread as people see it."""
        return (await self.look("control/thread", channel=channel, ts=ts))["messages"]

    async def status(self, ts: str, channel: str = WEB) -> Json | None:
        """What the bot shows on a thread."""
        return (await self.look("control/thread", channel=channel, ts=ts))["session"]

    async def requests(self) -> list[Json]:
        """Every Web API call so far."""
        return [entry for entry in await self.look("control/requests") if entry["side"] == "slack"]

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        answer = await self.look("control/idle", timeout="10")
        assert answer["idle"], answer


@asynccontextmanager
async def running(
    folder: Path, *, port: int = 0, retry_delays: tuple[float, ...] = (3.0, 5.0, 20.0), check: bool = True
) -> AsyncIterator[tuple[SlackSide, Slack]]:
    """A Slack side of its own, everything it says held against Slack's recorded shapes."""
    side = SlackSide(settings(folder, port), retry_delays=retry_delays)
    shapes = ShapeChecker()
    side.workspace.observers.append(shapes)
    await side.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield side, Slack(side.url, session)
    finally:
        await side.close()
    if check:
        shapes.verify()


class Bolt:
    """A real Bolt bot over Socket Mode that keeps what it hears in queues."""

    def __init__(self, slack: Slack) -> None:
        self.app = AsyncApp(client=slack.client)
        self.handler = AsyncSocketModeHandler(self.app, APP_TOKEN)
        self.heard: asyncio.Queue[Json] = asyncio.Queue()
        self.bodies: asyncio.Queue[Json] = asyncio.Queue()
        for event in (
            "app_mention",
            "message",
            "reaction_added",
            "reaction_removed",
            "agent_session_stopped",
        ):
            self.app.event(event)(self._hear)

    async def _hear(self, event: Json, body: Json) -> None:
        self.bodies.put_nowait(body)
        self.heard.put_nowait(event)

    async def next(self) -> Json:
        """The next event, whichever it is."""
        return await asyncio.wait_for(self.heard.get(), 10)

    async def kinds(self, number: int) -> list[str]:
        """Type or subtype of the next events, sorted: their order is not promised."""
        events = [await self.next() for _ in range(number)]
        return sorted(event.get("subtype") or event["type"] for event in events)


@asynccontextmanager
async def bolt(slack: Slack) -> AsyncIterator[Bolt]:
    """The bot, connected."""
    bot = Bolt(slack)
    await bot.handler.connect_async()
    try:
        yield bot
    finally:
        await bot.handler.close_async()


@asynccontextmanager
async def link(slack: Slack) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A bare Socket Mode connection that acknowledges nothing by itself, past its hello."""
    opened = await slack.client.apps_connections_open(app_token=APP_TOKEN)
    async with slack.session.ws_connect(opened["url"]) as socket:
        hello = await receive(socket)
        assert hello["type"] == "hello"
        yield socket


async def receive(socket: aiohttp.ClientWebSocketResponse) -> Json:
    """The next JSON text of a socket."""
    return await asyncio.wait_for(socket.receive_json(), 10)
