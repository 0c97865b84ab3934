"""What a mention costs until Slack has its answer: our bot, with its commit, beside a bare Bolt app.

Both are asked in turns in one run, on one event loop, since a shared machine changes from second to second.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rows import Row, p50, row
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground import people
from bot.playground.household import Household, household
from bot.playground.slack.deliveries import EVENTS, Deliveries
from bot.playground.slack.server import SlackSide
from bot.testing import Botty

ROUNDS, QUICK = 150, 30
WARM_UP = 10
SETTLE_SECONDS = 0.03
# One turn holds the only slot, so that what is measured is the way in and not the work it leads to.
LIMITS = {"running_turns": 1, "running_turns_per_person": 1, "queue_length": 100_000}
BARE = "on disk before the answer; baseline: bare slack-bolt, nothing stored"
WAIT = 'create a.txt with "a" then wait 600 seconds'

Body = dict[str, Any]
Send = Callable[[Body], Awaitable[None]]
_numbers = itertools.count(1)


def mention(channel: str, thread_ts: str | None = None) -> Body:
    """An `app_mention` as Slack sends it; each one is another message."""
    number = next(_numbers)
    ts = f"{int(time.time())}.{number:06d}"
    event = {
        "type": "app_mention",
        "user": people.ADA.id,
        "text": f'<@{people.BOT_USER_ID}> append "more" to README.md',
        "ts": ts,
        "event_ts": ts,
        "channel": channel,
        "team": people.TEAM_ID,
        **({"thread_ts": thread_ts} if thread_ts else {}),
    }
    grant = {"team_id": people.TEAM_ID, "user_id": people.BOT_USER_ID, "is_bot": True}
    return {
        "type": "event_callback",
        "team_id": people.TEAM_ID,
        "api_app_id": people.APP_ID,
        "event_id": f"Ev{number:08d}",
        "event_time": int(time.time()),
        "authorizations": [grant | {"enterprise_id": None, "is_enterprise_install": False}],
        "event": event,
    }


def bare_app(home: Household, url: str) -> AsyncApp:
    """One listener that does nothing."""
    app = AsyncApp(client=AsyncWebClient(home.secrets["bot_token"], url))

    @app.event("app_mention")
    async def heard(event: Body) -> None:
        pass

    return app


def dispatcher(app: AsyncApp) -> Send:
    """Straight into Bolt."""

    async def send(body: Body) -> None:
        response = await app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=body))
        assert response.status == 200, response.status

    return send


def deliverer(deliveries: Deliveries) -> Send:
    """Over a Socket Mode connection, until the acknowledgement is back. One at a time."""
    acknowledged = asyncio.Event()
    acknowledge = deliveries.acknowledge

    def noticed(envelope_id: str, reply: Body | None) -> None:
        acknowledge(envelope_id, reply)
        acknowledged.set()

    deliveries.acknowledge = noticed  # type: ignore[method-assign]  # to see it come, not to change it

    async def send(body: Body) -> None:
        acknowledged.clear()
        deliveries.add(EVENTS, body)
        await acknowledged.wait()

    return send


async def timed(send: Send, body: Body) -> float:
    begin = time.perf_counter()
    await send(body)
    return time.perf_counter() - begin


@asynccontextmanager
async def our_bot(folder: Path) -> AsyncIterator[tuple[Botty, str]]:
    """The whole bot, busy with one long turn; and that turn's thread."""
    botty = Botty(household(folder, port=0), {"limits": LIMITS})
    await botty.start()
    try:
        thread = await botty.say(WAIT)
        while not any("Wait 600" in post.everything for post in await thread.by_bot()):
            await botty.changed()
        yield botty, thread.ts
    finally:
        await botty.close()


@asynccontextmanager
async def bare_bolt(folder: Path) -> AsyncIterator[tuple[AsyncApp, SlackSide]]:
    """A Slack of its own with the bare app connected to it."""
    home = household(folder, port=0)
    side = SlackSide(home.playground)
    await side.start()
    app = bare_app(home, side.api_url)
    handler = AsyncSocketModeHandler(app, home.secrets["app_token"])
    await handler.connect_async()  # type: ignore[no-untyped-call]  # Bolt has no types there
    try:
        yield app, side
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]  # Bolt has no types there
        await side.close()


async def in_turns(ours: Send, bare: Send, body: Callable[[], Body], rounds: int) -> tuple[float, float]:
    """The medians of both in milliseconds."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + WARM_UP):
        for send, times in zip((ours, bare), taken, strict=True):
            seconds = await timed(send, body())
            await asyncio.sleep(SETTLE_SECONDS)  # what follows an acknowledgement is not part of the next
            if number >= WARM_UP:
                times.append(seconds)
    return p50(taken[0]), p50(taken[1])


async def measure(folder: Path, rounds: int) -> list[Row]:
    async with our_bot(folder / "ours") as (botty, thread), bare_bolt(folder / "bare") as (app, side):
        web = botty.channel("web")

        def follow_up() -> Body:
            return mention(web, thread)

        def opening() -> Body:
            return mention(web)

        inside = dispatcher(botty.bot.slack.app), dispatcher(app)
        wires = deliverer(botty.playground.slack.workspace.deliveries), deliverer(side.workspace.deliveries)
        return [
            row("mention in a thread, dispatch", *await in_turns(*inside, follow_up, rounds), BARE),
            row("mention that opens a session, dispatch", *await in_turns(*inside, opening, rounds), BARE),
            row("mention in a thread, Socket Mode ack", *await in_turns(*wires, follow_up, rounds), BARE),
        ]


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Until the answer is there: in process, and over a WebSocket on loopback."""
    logging.getLogger("bot").setLevel(logging.ERROR)  # these mentions are on no page, so 👀 finds no message
    with tempfile.TemporaryDirectory() as folder:
        return {"rounds": rounds, "rows": asyncio.run(measure(Path(folder), rounds))}
