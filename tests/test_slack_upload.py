"""Files that turns post: in their own thread, each once whatever crashes, and a line where one cannot be."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from file_kit import NASTY_NAMES, png
from playground_fixtures import BOT_TOKEN, WEB, Slack, running
from session_kit import calls, fault, shows, until
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain import SessionId, ThreadKey
from bot.playground import people
from bot.sessions.questions import Questions
from bot.sessions.rows import prompt_of
from bot.sessions.shelf import Shelf
from bot.sessions.tools import MOST_AT_ONCE, SessionTools
from bot.slack import looking, outbox, uploads
from bot.slack.uploads import FILE, Uploads
from bot.testing import Botty, Post, Thread
from storage import Executor, NewEffect, SessionFile
from storage.session_file import create_session_file

REPORT = b"<b>all is well</b>"


async def stored(data: Path, session: str, content: bytes, owed: Collection[str] = ()) -> str:
    """Content as a turn leaves it until it is posted."""
    return str((await Shelf(data, session).put(content, owed)).relative_to(data))


# -- each step by itself -------------------------------------------------------------------------


class Crash(BaseException):
    """The process dies here."""


class Steps:
    """Counts what is done on the disk and outside, and dies before or after the chosen one."""

    def __init__(self, dies_at: int, after: bool) -> None:
        self.left = dies_at
        self.after = after

    async def take(self, step: Callable[[], Awaitable[Any]]) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Crash
        done = await step()
        if self.left == 0:
            raise Crash
        return done


class MortalClient(AsyncWebClient):
    steps: Steps

    async def api_call(self, *args: Any, **kwargs: Any) -> Any:
        return await self.steps.take(lambda: super(MortalClient, self).api_call(*args, **kwargs))


class MortalUploads(Uploads):
    steps: Steps

    async def _upload(self, url: str, content: bytes) -> None:
        await self.steps.take(lambda: super(MortalUploads, self)._upload(url, content))


class MortalFile:
    """A session's file whose writes count as steps."""

    def __init__(self, file: SessionFile, steps: Steps) -> None:
        self.file, self.steps = file, steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.file, name)
        if name not in {"effect_sending", "effect_expect"}:
            return found

        async def write(*args: Any, **kwargs: Any) -> Any:
            return await self.steps.take(lambda: found(*args, **kwargs))

        return write


class Desk:
    """A thread in a playground, the file of its session, and one file to be posted."""

    def __init__(self, slack: Slack, file: SessionFile, data: Path, root: str) -> None:
        self.slack, self.file, self.data, self.root = slack, file, data, root

    async def plan(self, key: str = "file:1") -> dict[str, Any]:
        path = await stored(self.data, self.file.name, REPORT)
        intent = {"path": path, "name": "report.html", "title": "Report", "prompt_id": 1}
        return await self.file.effect_plan(FILE, key, intent)

    async def try_once(self, row: dict[str, Any], steps: Steps) -> Any:
        client = MortalClient(BOT_TOKEN, f"{self.slack.url}/api/", session=self.slack.session)
        sender = MortalUploads(client, self.data)
        client.steps = sender.steps = steps
        mortal: Any = MortalFile(self.file, steps)
        session = await self.file.session()
        return await sender.send(mortal, session, await self.file.effect(row["id"]))

    async def posts(self) -> list[dict[str, Any]]:
        return [file for message in await self.slack.thread(self.root) for file in message["files"]]


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    async with running(folder) as (_, slack):
        root = await slack.say("root")
        key = ThreadKey(people.TEAM_ID, WEB, root)
        executor, path = Executor(), folder / "s.db"
        create_session_file(path, key.session_id, key, 1.0)
        file = await SessionFile.open(path, key.session_id, executor)
        try:
            yield Desk(slack, file, folder, root)
        finally:
            await file.close()
            executor.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is under way when it is looked for: the client has ended."""
    monkeypatch.setattr(looking, "REQUEST_SECONDS", 0.0)
    monkeypatch.setattr(outbox, "_FIRST_PAUSE_SECONDS", 0.001)
    yield


@pytest.mark.proof("crash")
async def test_a_death_at_any_step_posts_the_file_once(tmp_path: Path, record_property: Any) -> None:
    """Before or after each write and each call, and at each step of taking it up again as well."""
    tried = 0
    async with desk(tmp_path) as at:
        for after in (False, True):
            for first in range(1, 12):
                for second in range(1, 12):
                    tried += 1
                    row = await at.plan(f"file:{after}:{first}:{second}")
                    before = len(await at.posts())
                    alive = await died(at, row, Steps(first, after)) and await died(
                        at, row, Steps(second, after)
                    )
                    if alive:
                        assert await at.try_once(row, Steps(0, False))
                    assert len(await at.posts()) == before + 1, (after, first, second)
                    await at.file.effect_done(row["id"])
                    if not alive:
                        break
    assert tried > 50
    record_property("cases", tried)


async def died(at: Desk, row: dict[str, Any], steps: Steps) -> bool:
    try:
        await at.try_once(row, steps)
    except Crash:
        return True
    return False


# -- in a thread ---------------------------------------------------------------------------------


@pytest.fixture
def botty_settings() -> dict[str, Any]:
    return {}


async def quiet(botty: Botty) -> Thread:
    """A thread whose session does nothing by itself."""
    await botty.bot.sessions.close()
    return await botty.say("hello")


async def session_of(botty: Botty, thread: Thread) -> SessionId:
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id

    async def there() -> bool:
        return botty.bot.house.store.exists(key)

    await until(botty, there)
    return key


async def post(
    botty: Botty, thread: Thread, *, content: bytes = REPORT, key: str = "file:1", **intent: Any
) -> None:
    """Plan it as a turn does."""
    session = await session_of(botty, thread)
    owed = {path.name for path in kept(botty)}
    path = await stored(botty.bot.house.folder.path, session, content, owed)
    facts = {"path": path, "name": "report.html", "title": "Report", "prompt_id": 1, **intent}
    async with botty.bot.house.state.marking(session), botty.bot.house.store.use(session) as file:
        await file.record(effects=[NewEffect(FILE, key, facts)])


async def posted(botty: Botty, thread: Thread, number: int = 1) -> list[Post]:
    async def look() -> list[Post]:
        found = [each for each in await thread.by_bot() if each.raw["files"]]
        return found if len(found) >= number else []

    found = await until(botty, look)
    await owing_nothing(botty, thread)
    return list(found)


async def owing_nothing(botty: Botty, thread: Thread) -> None:
    session = await session_of(botty, thread)

    async def nothing() -> bool:
        async with botty.bot.house.store.use(session) as file:
            owed = await file.effects({"pending", "sending"}, "thread.")
        return not owed and not kept(botty)

    await until(botty, nothing)


def kept(botty: Botty) -> list[Path]:
    return [path for path in (botty.bot.house.folder.path / "files").rglob("*") if path.is_file()]


async def test_a_file_is_posted_into_its_thread_under_its_title_and_what_was_stored_goes(
    botty: Botty,
) -> None:
    thread = await quiet(botty)
    await post(botty, thread)
    [shown] = await posted(botty, thread)
    [file] = shown.raw["files"]
    assert (file["name"], file["title"], shown.raw["thread_ts"]) == ("report.html", "Report", thread.ts)
    there = await botty.control("GET", "file", id=file["id"])
    assert base64.b64decode(there["content_base64"]) == REPORT
    assert there["shares"] == [[thread.channel, shown.ts, thread.ts]]
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    assert await botty.bot.progress.workspace.unkeyed_posts(key) == [], "it is no stream to be closed"


@pytest.mark.proof("outside")
@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("files.getUploadURLExternal", "lost_reply"),
        ("upload", "server_error"),
        ("upload", "lost_reply"),
        ("files.completeUploadExternal", "lost_reply"),
        ("files.completeUploadExternal", "server_error"),
        ("files.completeUploadExternal", "rate_limited"),
    ],
)
async def test_an_answer_that_is_lost_or_no_posts_the_file_once(botty: Botty, method: str, kind: str) -> None:
    thread = await quiet(botty)
    await fault(botty, method, kind, 1 if kind == "rate_limited" else 2)
    await post(botty, thread)
    assert len(await posted(botty, thread)) == 1
    assert len([call for call in await calls(botty, "files.completeUploadExternal") if call["ok"]]) == 1


async def test_what_slack_shows_later_is_not_posted_again(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answered nothing and shows nothing yet: the file itself tells that it was completed."""

    async def nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(uploads, "posted", nothing)
    thread = await quiet(botty)
    await fault(botty, "files.completeUploadExternal", "lost_reply", 1)
    await post(botty, thread)
    assert len(await posted(botty, thread)) == 1
    refused = [call["error"] for call in await calls(botty, "files.completeUploadExternal") if not call["ok"]]
    assert refused == ["file_not_found"]


async def test_a_missing_scope_is_one_line_that_says_so_and_holds_nothing_up(botty: Botty) -> None:
    await botty.control("POST", "scopes", scopes=["chat:write", "channels:history", "files:read"])
    thread = await quiet(botty)
    await post(botty, thread)
    await post(botty, thread, key="file:2", name="`other` <!channel>.html")
    line = await shows(botty, thread, "The file `report.html` is not posted: Slack says missing_scope")
    assert "Add the missing scope" in line.everything
    other = await shows(botty, thread, "The file `ʼotherʼ &lt;!channel&gt;.html` is not posted")
    assert float(other.ts) > float(line.ts)
    await owing_nothing(botty, thread)


async def test_a_file_server_that_takes_nothing_is_given_up_in_one_line(botty: Botty) -> None:
    thread = await quiet(botty)
    await fault(botty, "upload", "server_error", 100)
    await post(botty, thread)
    await shows(botty, thread, "is not posted: Slack's file server did not take it")
    await owing_nothing(botty, thread)
    assert len(await calls(botty, "upload")) == uploads._TRIES


@pytest.mark.proof("secrets")
@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "state.db",
        "files/../state.db",
        "files/another0session/x",
        "files//x",
        "/etc/passwd",
        "files/SESSION/../../state.db",
        "files/SESSION/.hidden",
        "files/SESSION/gone",
        "files/SESSION/link",
        "files/SESSION/empty",
        5,
        None,
    ],
)
async def test_nothing_but_what_was_stored_for_this_session_is_posted(tmp_path: Path, path: Any) -> None:
    async with desk(tmp_path) as at:
        folder = tmp_path / "files" / at.file.name
        for other in (folder, tmp_path / "files" / "another0session"):
            other.mkdir(parents=True)
            (other / "x").write_bytes(b"secret")
        (tmp_path / "state.db").write_bytes(b"secret")
        (folder / "link").symlink_to(tmp_path / "state.db")
        (folder / "empty").touch()
        given = path.replace("SESSION", at.file.name) if isinstance(path, str) else path
        row = await at.file.effect_plan(FILE, "file:1", {"path": given, "name": "a"})
        assert await at.try_once(row, Steps(0, False)) is None
        assert await at.posts() == []
        refused = (await at.file.effect(row["id"]))["expected"]["refused"]
        assert refused and "secret" not in refused
        assert not [call for call in await at.slack.requests() if call["method"].startswith("files")]


@pytest.mark.proof("output")
async def test_names_and_titles_show_nothing_that_hides_or_turns(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for number, name in enumerate(NASTY_NAMES):
            path = await stored(tmp_path, at.file.name, png())
            row = await at.file.effect_plan(
                FILE, f"file:{number}", {"path": path, "name": name, "title": name}
            )
            assert await at.try_once(row, Steps(0, False))
        for file in await at.posts():
            for text in (file["name"], file["title"]):
                assert text.isprintable() and 0 < len(text) <= 200


async def test_what_an_agent_hands_out_at_the_same_time_is_all_posted(botty: Botty) -> None:
    """By its tool, each call beside the others: none clears away what another has not planned yet."""
    thread = await quiet(botty)
    session, house = await session_of(botty, thread), botty.bot.house
    async with house.state.marking(session), house.store.use(session) as file:
        row = await file.claim(house.epoch)
        assert row is not None
        prompt = prompt_of(row, session)
        tools = SessionTools(house, file, prompt, Questions(house, file, prompt))
        answers = await asyncio.gather(*(tools.handle(handed_out(number)) for number in range(MOST_AT_ONCE)))
        assert not [answer for answer in answers if answer is None or answer["result"]["isError"]]
        shown = await posted(botty, thread, MOST_AT_ONCE)
    titles = {each.raw["files"][0]["title"] for each in shown}
    assert titles == {f"Part {number}" for number in range(MOST_AT_ONCE)}


def handed_out(number: int) -> dict[str, Any]:
    content = base64.b64encode(REPORT * (number + 1)).decode()
    given = {"path": f"/workspace/{number}.html", "title": f"Part {number}", "content": content}
    return {"id": number, "method": "tools/call", "params": {"name": "post_file", "arguments": given}}


async def test_what_is_stored_again_is_never_half_there(tmp_path: Path) -> None:
    """Whoever reads it this moment goes on reading the whole."""
    path = tmp_path / await stored(tmp_path, "s", REPORT)
    before = path.stat().st_ino
    with path.open("rb") as reading:
        await stored(tmp_path, "s", REPORT, {path.name})
        assert path.stat().st_ino != before
        assert reading.read() == REPORT
    assert [each.name for each in path.parent.iterdir()] == [path.name]


async def test_the_same_content_for_two_posts_is_there_for_both(botty: Botty) -> None:
    thread = await quiet(botty)
    await fault(botty, "chat.postMessage", "rate_limited", 1)
    await post(botty, thread)
    await post(botty, thread, key="file:2", title="Again")
    shown = await posted(botty, thread, 2)
    assert [each.raw["files"][0]["title"] for each in shown] == ["Report", "Again"]


async def test_what_is_to_be_posted_again_or_was_stored_again_is_kept(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        first, second = await at.plan(), await at.plan("file:2")
        sender, path = Uploads(at.slack.client, tmp_path), tmp_path / first["intent"]["path"]
        os.utime(path, (1.0, 1.0))
        await at.file.effect_failed(first["id"], "x", retry=False)
        await sender.forget(at.file, first)
        assert path.exists(), "the second is to be posted yet"
        await at.file.effect_failed(second["id"], "x", retry=False)
        os.utime(path, (second["created_at"] + 1, second["created_at"] + 1))
        await sender.forget(at.file, second)
        assert path.exists(), "it was stored again, for one that is not planned yet"
        os.utime(path, (1.0, 1.0))
        await sender.forget(at.file, second)
        assert not path.exists()


async def test_a_restart_posts_what_was_owed_and_clears_away_what_was_not(botty: Botty) -> None:
    thread = await quiet(botty)
    await fault(botty, "files.getUploadURLExternal", "server_error", 1000)
    await post(botty, thread)
    data = botty.bot.house.folder.path
    await stored(data, "forgotten0session", b"x")
    await botty.bot.close()
    await fault(botty, "files.completeUploadExternal", "lost_reply", 1)
    botty.playground.slack.workspace.faults._pending.pop(0)
    await botty.restart()
    assert len(await posted(botty, thread)) == 1
    assert not (data / "files" / "forgotten0session").exists()
