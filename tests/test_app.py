"""The whole bot: started in order, closed in reverse, alone on its data, not stopped by one bad file."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from session_kit import BUSY, assert_clean, fault, finals, prompts, shows, until

from bot.app import Bot
from bot.config import parse
from bot.domain import SessionId
from bot.errors import UserError
from bot.plugins import Plugins
from bot.slack.outbox import OF_NO_SESSION, Outbox
from bot.slack.progress import Progress
from bot.testing import Botty
from storage import StorageError


def another(botty: Botty, **changes: Any) -> Bot:
    """A second bot on the same data."""
    plugins = Plugins()
    table = {**botty.home.bot_table(), **changes}
    return Bot(parse(table, "the test's settings", plugins, folder=botty.home.folder), plugins)


@pytest.mark.proof("outside")
async def test_two_bots_never_share_a_data_folder(botty: Botty) -> None:
    """The second one is told who has it, and the first goes on undisturbed."""
    second = another(botty)
    with pytest.raises(StorageError, match=r"in use by process \d+"):
        await second.start()
    await second.close()
    assert "Done." in (await (await botty.say('create a.txt with "a"')).final()).text


@pytest.mark.proof("outside")
async def test_a_start_that_fails_leaves_nothing_open(botty: Botty) -> None:
    """The port is taken: the folder is free again for the next try."""
    await botty.bot.close()
    taken = int(botty.playground.github_url.rpartition(":")[2])
    for _ in range(2):
        with pytest.raises(UserError, match="Cannot listen"):
            await another(botty, web={"port": taken}).start()
    await botty.restart()
    assert "Done." in (await (await botty.say('create a.txt with "a"')).final()).text


async def test_closing_is_safe_at_any_time(botty: Botty) -> None:
    """In mid-turn, twice, and again before anything runs: what was asked is done by the next boot."""
    thread = await botty.say('create a.txt with "a" then wait 1 second')
    await shows(botty, thread, "Wait 1 second")
    await asyncio.gather(botty.bot.close(), botty.bot.close())
    await botty.bot.close()
    await botty.restart()
    await thread.final()
    await assert_clean(botty, thread)
    assert len(await botty.pulls()) == 1


async def test_closing_while_a_turn_is_being_stopped_does_not_wait_for_it(botty: Botty) -> None:
    """The fence is on disk, so the next boot ends it as stopped."""
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    await thread.say("stop")

    async def fenced() -> bool:
        [session] = await botty.bot.house.state.marked() or [""]
        if not session:
            return True
        async with botty.bot.house.store.use(session) as file:
            return bool(await file.effects(kind_prefix="turn.stop"))

    await until(botty, fenced)
    async with asyncio.timeout(60):
        await botty.restart()
    await thread.final()
    [final] = await assert_clean(botty, thread)
    assert "Stopped" in final.text
    assert await botty.pulls() == []


async def test_a_close_waits_for_workers_that_have_retired_and_not_yet_let_go(
    botty: Botty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that asked has nothing more to do, and notes that its session owes nothing."""
    never = asyncio.Event()

    async def clear_if(*_: Any) -> bool:
        return await never.wait()

    monkeypatch.setattr(botty.bot.house.state, "clear_if", clear_if)
    await botty.say('create docs/x.md with "hi"', "chloe", "general")

    async def leaving() -> bool:
        return bool(botty.bot.sessions._leaving)

    await until(botty, leaving)
    await botty.bot.close()
    assert not botty.bot.sessions._leaving
    assert "is closed" not in caplog.text


async def test_an_open_question_survives_a_restart(botty: Botty) -> None:
    """The picker that was there before is answered after it."""
    thread = await botty.say('create docs/x.md with "hi"', "chloe", "general")
    await thread.picker()
    await botty.restart()
    await thread.pick("acme/ledger", "chloe")
    await botty.idle()
    while not finals(await thread.by_bot()):
        await botty.changed()
    await botty.idle()
    await assert_clean(botty, thread)
    assert [row["attempt"] for row in await prompts(botty, thread)] == [2]


@pytest.mark.proof("outside")
async def test_a_session_file_that_cannot_be_read_keeps_no_other_from_being_taken_up(botty: Botty) -> None:
    """`/ready` counts it; the other thread that was cut off is finished."""
    broken = await botty.say(BUSY)
    await shows(botty, broken, "Wait 60 seconds")
    [session] = await botty.bot.house.state.marked()
    other = await botty.say('create b.txt with "b" then wait 2 seconds', "ben")
    await shows(botty, other, "Wait 2 seconds")
    path = botty.bot.house.folder.session_path(session)
    await botty.bot.close()
    path.write_bytes(b"no database at all" * 1000)
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
    await botty.restart()
    await shows(botty, other, "Done.")
    async with aiohttp.ClientSession() as http, http.get(f"{botty.bot.web.url}/ready") as answer:
        assert (await answer.json())["work"]["unreadable"] == 1


@pytest.mark.proof("outside")
async def test_slack_may_be_away_while_the_bot_starts(botty: Botty) -> None:
    """What it owes is said once Slack answers; recovery does not give up on the first refusal."""
    thread = await botty.say('create a.txt with "a" then wait 1 second')
    await shows(botty, thread, "Wait 1 second")
    await botty.bot.close()
    for method in ("auth.test", "conversations.replies", "users.info", "chat.stopStream"):
        await fault(botty, method, "server_error", times=2)
    await botty.restart()
    await thread.final()
    await assert_clean(botty, thread)
    assert len(await botty.pulls()) == 1


@pytest.mark.proof("outside")
async def test_what_is_owed_is_said_though_decoration_hangs_at_the_start(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages of all threads go before the reactions and the old streams of any."""
    threads = [await botty.say(f'create {name}.txt with "a" then wait 1 second') for name in "ab"]
    for thread in threads:
        await shows(botty, thread, "Wait 1 second")
    sessions = await botty.bot.house.state.marked()
    await botty.bot.close()
    taken_up, go_on, real = asyncio.Event(), asyncio.Event(), Progress.take_up

    async def take_up(self: Progress, session: SessionId) -> None:
        taken_up.set()
        await go_on.wait()
        await real(self, session)

    notified: list[SessionId] = []
    notify = Outbox.notify

    def noting(self: Outbox, session: SessionId, last_seq: int) -> None:
        if last_seq == 0 and not taken_up.is_set():
            notified.append(session)
        notify(self, session, last_seq)

    monkeypatch.setattr(Progress, "take_up", take_up)
    monkeypatch.setattr(Outbox, "notify", noting)
    await botty.restart()
    await taken_up.wait()
    assert set(notified) == {*sessions, OF_NO_SESSION}
    go_on.set()
    for thread in threads:
        await thread.final()
        await assert_clean(botty, thread)
