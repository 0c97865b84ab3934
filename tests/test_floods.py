"""Ten thousand requests in one thread: bounded on disk and on screen, and refused visibly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from session_kit import BUSY, calls, fault, prompts, shows, until
from slack_kit import Recorded

from bot.domain import Person, ThreadKey
from bot.playground import people
from bot.sessions import Incoming
from bot.testing import Botty, Thread
from storage import NewPrompt, SessionFile

pytestmark = pytest.mark.proof("input")

MANY, QUEUE = 10_000, 2_000
ROOM = 2
LONG = "x" * 2_000


@pytest.fixture
def botty_settings() -> dict[str, Any]:
    return {"limits": {"queue_length": ROOM, "message_chars": 5_000}}


def key_of(thread: Thread) -> ThreadKey:
    return ThreadKey(people.TEAM_ID, thread.channel, thread.ts)


def request(thread: ThreadKey, number: int, author: people.Person = people.ADA) -> Incoming:
    """One of many, as the edge hands it in."""
    ts = f"2000000000.{number:06d}"
    person = Person(author.id, people.TEAM_ID, author.id)
    return Incoming(thread, "slack", f"{thread.channel}:{ts}", person, LONG, ts, time.time())


async def steps(file: SessionFile, work: Callable[[], Awaitable[Any]], times: int) -> int:
    """How many instructions SQLite carries out for it, which no other load on the machine changes."""
    counted = [0]

    def count() -> None:
        counted[0] += 1

    async def watch(handler: Callable[[], None] | None) -> None:
        # Nobody but a test wants this of a file, so there is no public way to it.
        await file._file.run(lambda db: db.conn.set_progress_handler(handler, 1))

    await watch(count)
    for _ in range(times):
        await work()
    await watch(None)
    return counted[0]


async def test_ten_thousand_requests_in_a_thread_are_refused_in_one_message(
    botty: Botty, record_property: Any
) -> None:
    """Its author is named, the last costs what the first did, and no more is kept than that there was one.

    What had been taken keeps its order, and the thread takes requests again when there is room.
    """
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    await thread.say('create b.txt with "b"', "ben")
    await thread.say('create c.txt with "c"', "chloe")
    await until(botty, lambda: enough(botty, thread, 3))
    session, numbers = key_of(thread), iter(range(MANY))
    async with botty.bot.house.store.use(session.session_id) as file:

        async def flood() -> None:
            assert (await botty.bot.sessions.accept(request(session, next(numbers)))).state == "removed"

        first = await steps(file, flood, 20)
        size = file.path.stat().st_size
        for _ in range(MANY - 40):
            await flood()
        assert await steps(file, flood, 20) < 2 * first
        assert await steps(file, lambda: file.prompts(("queued",)), 1) < MANY, "what is done is not looked at"
        assert file.path.stat().st_size - size < MANY * len(LONG) / 4
        await botty.bot.sessions.accept(request(session, MANY, people.BEN))
        assert len(await file.effects(kind_prefix="thread.")) < 10
    record_property("cases", MANY)
    shown = await shows(botty, thread, "the last 10001 requests")
    assert f"(from <@{people.ADA.id}>, <@{people.BEN.id}>)" in shown.everything
    await thread.stop()
    await botty.idle()
    assert [row["state"] for row in await prompts(botty, thread)][:3] == ["stopped", "done", "done"]
    assert len([post for post in await thread.by_bot() if "I did not take" in post.everything]) == 1
    assert len(await calls(botty, "chat.update")) < 40
    assert len(await calls(botty, "reactions.add")) < 40
    await thread.say('create d.txt with "d"', "ada")
    assert "Done." in (await thread.final()).text


async def enough(botty: Botty, thread: Thread, number: int) -> bool:
    return len(await prompts(botty, thread)) >= number


async def test_a_long_queue_is_taken_up_in_order_after_a_restart(botty: Botty, record_property: Any) -> None:
    """As after a bound was lowered: the first of them runs, and to claim the next costs no more than ever."""
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    session = key_of(thread).session_id
    async with botty.bot.house.store.use(session) as file:
        for number in range(0, QUEUE, 500):
            batch = [waiting(thread, number + each) for each in range(500)]
            await asyncio.gather(*(file.accept(each, botty.bot.house.epoch) for each in batch))
    await botty.restart()
    await until(botty, lambda: running(botty, thread, 1, 2))
    rows = await prompts(botty, thread)
    assert [row["key"] for row in rows[1:]] == [waiting(thread, number).key for number in range(QUEUE)]
    assert (await botty.bot.sessions.work())["queued"] == QUEUE
    numbers = iter(range(QUEUE, MANY))

    async def refuse() -> None:
        accepted = await botty.bot.sessions.accept(request(key_of(thread), next(numbers)))
        assert accepted is not None and accepted.state == "removed"

    async with botty.bot.house.store.use(session) as file:
        assert await steps(file, refuse, 10) < 10 * QUEUE
        assert await steps(file, lambda: file.prompts(("queued",), limit=1), 10) < 10 * QUEUE
        assert await steps(file, lambda: file.effects(("pending", "sending")), 10) < 10 * QUEUE
    await thread.stop()
    await until(botty, lambda: running(botty, thread, 2, 1))
    record_property("cases", QUEUE)


def waiting(thread: Thread, number: int) -> NewPrompt:
    ts = f"2000000000.{number:06d}"
    author = {"id": people.BEN.id, "team": people.TEAM_ID, "name": "ben"}
    text = f'create {number}.txt with "x" then wait 60 seconds'
    return NewPrompt("slack", f"{thread.channel}:{ts}", people.BEN.id, "ben", text, time.time(), author, ts)


async def running(botty: Botty, thread: Thread, first: int, attempt: int) -> bool:
    async with botty.bot.house.store.use(key_of(thread).session_id) as file:
        rows = await file.prompts(("running",))
    return [(row["id"], row["attempt"]) for row in rows] == [(first, attempt)]


async def test_a_flood_over_the_socket_marks_what_it_refuses(botty: Botty) -> None:
    """Each author sees it at their own message too, and a message sent twice is refused once."""
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    said = [await thread.say(f'create {number}.txt with "x"', "ben") for number in range(ROOM + 3)]

    async def marked() -> list[str]:
        posts = await thread.posts()
        found = [post.ts for post in posts if "no_entry_sign" in post.reactions]
        return found if len(found) == 3 else []

    assert await until(botty, marked) == said[ROOM:]
    refused = await shows(botty, thread, "the last 3 requests")
    await flooded(botty, thread)
    again = request(key_of(thread), 0, people.BEN)
    twin = Incoming(**{**vars_of(again), "key": f"{thread.channel}:{said[-1]}"})
    assert not (await botty.bot.sessions.accept(twin)).new
    assert (await shows(botty, thread, "requests here")).ts == refused.ts


async def flooded(botty: Botty, thread: Thread) -> None:
    """While Slack takes no marks, those for sixty more do not pile up, and the message counts them."""
    await fault(botty, "reactions.add", "rate_limited", 1_000)
    bodies = []
    for number in range(60):
        body = Recorded(thread.channel, thread.ts, 1, "").bodies()["event/app_mention"]
        body["event"] |= {"ts": f"2000000000.{number:06d}", "user": people.CHLOE.id}
        bodies.append(body)
    await asyncio.gather(*(botty.bot.slack.answer(body) for body in bodies))
    tried = {call["args"]["timestamp"] for call in await calls(botty, "reactions.add")}
    assert len([ts for ts in tried if ts.startswith("2000000000.")]) < 30

    async def counted() -> bool:
        post = await shows(botty, thread, "requests here")
        return int(post.everything.split("the last ")[1].split()[0]) >= 32

    await until(botty, counted)
    assert f"<@{people.CHLOE.id}>" in (await shows(botty, thread, "requests here")).everything


def vars_of(incoming: Incoming) -> dict[str, Any]:
    return {name: getattr(incoming, name) for name in Incoming.__slots__}
