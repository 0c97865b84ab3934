"""What the tests of the core share: looking at threads, ordering faults, waiting for signs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain import ThreadKey
from bot.playground import people
from bot.sessions import patience
from bot.testing import Botty, Post, Thread

GATES = Path(__file__).parent / "data" / "gates"
ENDS = ("Done.", "did not work", "Stopped")
BUSY = 'create a.txt with "a" then wait 60 seconds'


def finals(posts: list[Post]) -> list[Post]:
    """The final messages among the bot's posts."""
    return [post for post in posts if any(end in post.text for end in ENDS)]


async def until(botty: Botty, true: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
    """Poll until something is true; returns it. TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not (found := await true()):
            await botty.changed()
        return found


async def shows(botty: Botty, thread: Thread, words: str) -> Post:
    """The bot's first post of the thread with these words, once it is there."""

    async def look() -> Post | None:
        return next((post for post in await thread.by_bot() if words in post.everything), None)

    found = await until(botty, look)
    assert isinstance(found, Post)
    return found


async def fault(botty: Botty, method: str, kind: str, times: int = 1) -> None:
    await botty.control("POST", "fault", method=method, kind=kind, times=times)


async def calls(botty: Botty, method: str) -> list[dict[str, Any]]:
    """What the playground was asked with this method, oldest first; GitHub's as "POST /path"."""
    found = await botty.control("GET", "requests")
    return [entry for entry in found if method in (entry["method"], f"{entry['method']} {entry.get('path')}")]


def impatient(monkeypatch: pytest.MonkeyPatch, *pauses: float) -> None:
    """Let turns wait so long for a code host that is away: as many tries, and one more."""
    monkeypatch.setattr(patience, "PAUSES_SECONDS", pauses)


async def assert_clean(botty: Botty, thread: Thread, ends: int = 1) -> list[Post]:
    """So many final messages, nothing streaming, the Stop button gone; returns the finals."""
    posts = await thread.by_bot()
    found = finals(posts)
    assert len(found) == ends, posts
    assert len([post for post in posts if post.text.startswith("Starting in")]) <= 1, posts
    assert not [post for post in posts if post.raw["streaming"]]
    assert await thread.status() != "processing"
    return found


async def swallow(botty: Botty) -> None:
    """As if Slack had given up: another client acknowledges all that waits, and drops it."""
    app_token = botty.home.secrets["app_token"]
    async with aiohttp.ClientSession() as http:
        client = AsyncWebClient(base_url=f"{botty.playground.slack_url}/api/", session=http)
        link = await client.apps_connections_open(app_token=app_token)
        async with http.ws_connect(link["url"]) as socket:
            await asyncio.wait_for(socket.receive_json(), 30)
            while botty.playground.slack.workspace.deliveries.pending():
                envelope = await asyncio.wait_for(socket.receive_json(), 30)
                await socket.send_json({"envelope_id": envelope["envelope_id"]})
                await botty.changed()


async def prompts(botty: Botty, thread: Thread) -> list[dict[str, Any]]:
    """The prompts of a thread's session, as its file has them; none before there is one."""
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    if not botty.bot.house.store.exists(key.session_id):
        return []
    async with botty.bot.house.store.use(key.session_id) as file:
        return await file.prompts()


class Gates:
    """Doors on a turn's way, by the plugin in `data/gates`. `settings` goes into `botty_settings`."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(GATES, folder, ignore=shutil.ignore_patterns("__pycache__"))
        self.folder = folder
        for name in ("shut", "reached"):
            (folder / name).mkdir()

    @property
    def settings(self) -> dict[str, Any]:
        return {"plugins": {"folder": str(self.folder)}}

    def shut(self, door: str, order: str = "") -> None:
        """Let nobody through; by "kill" the bot that comes there dies, once, by "kill always" each time."""
        (self.folder / "reached" / door).unlink(missing_ok=True)
        (self.folder / "shut" / door).write_text(order)

    def open(self, door: str) -> None:
        (self.folder / "shut" / door).unlink()

    async def reached(self, door: str) -> bool:
        return (self.folder / "reached" / door).exists()
