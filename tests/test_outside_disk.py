"""The disk misbehaves: full, read-only, a damaged file. The thread is told, and the others do not notice."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from session_kit import assert_clean, fault, finals, prompts, shows, until

from bot.cli import main
from bot.domain import SessionId, ThreadKey
from bot.playground import people
from bot.playground.household import household
from bot.sessions import worker
from bot.testing import Botty, Post, Thread
from storage import DataFolder, SessionFile, StorageError, Unusable

pytestmark = pytest.mark.proof("outside")

Cases = Callable[[str, object], None]
UNUSABLE = "the record I keep of it cannot be read"


def session_of(thread: Thread) -> SessionId:
    return ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id


def file_of(botty: Botty, thread: Thread) -> Path:
    return botty.bot.house.folder.session_path(session_of(thread))


def advised(caplog: pytest.LogCaptureFixture, *words: str) -> None:
    """Some line of the log has all these words, its exception's among them."""
    lines = [f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records]
    assert any(all(word in line for word in words) for line in lines), (words, lines)


async def told(botty: Botty, thread: Thread, times: int = 1) -> list[Post]:
    """The thread's posts once it was told so often; whatever else it was told."""

    async def look() -> list[Post]:
        found = [post for post in await thread.by_bot() if UNUSABLE in post.text]
        return found if len(found) >= times else []

    found = await until(botty, look)
    assert len(found) == times
    return list(found)


# -- full, read-only ------------------------------------------------------------------------------------


class Disk:
    """A small disk of its own, with the bot's data on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Until nothing fits any more, not even a byte."""
        handle = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (1 << 20, 1 << 12, 1):
                with pytest.raises(OSError, match="No space"):
                    while True:
                        os.write(handle, b"x" * size)
        finally:
            os.close(handle)

    def free(self) -> None:
        self._filler.unlink()


def mount(*arguments: str | Path, program: str = "mount") -> None:
    done = subprocess.run((program, *arguments), capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a disk of its own needs the right to mount one: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    mount("-t", "tmpfs", "-o", "size=48m,mode=700", "tmpfs", path)
    try:
        (path / "bot" / "sessions").mkdir(parents=True)
        mount("-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", path / "bot" / "sessions")
        yield Disk(path)
    finally:
        subprocess.run(("umount", "--lazy", path / "bot" / "sessions"), check=False, capture_output=True)
        subprocess.run(("umount", "--lazy", path), check=True)


@pytest.fixture
def botty_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The data is on the small disk for those who ask for one."""
    if "disk" not in request.fixturenames:
        return {}
    return {"data": str(request.getfixturevalue("disk").path / "bot")}


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_RETRY_SECONDS", 0.2)


async def logged(caplog: pytest.LogCaptureFixture, *words: str) -> bool:
    lines = [f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records]
    return any(all(word in line for word in words) for line in lines)


@pytest.mark.usefixtures("_soon")
async def test_a_full_disk_loses_and_doubles_nothing(
    disk: Disk, botty: Botty, caplog: pytest.LogCaptureFixture
) -> None:
    """Before a request it is not acknowledged; within a turn nothing more can be kept; then all is done.

    The second time it is the disk that only the sessions are on, so that nothing a turn gives back helps.
    """
    full = ("the disk is full", "Free some space")
    disk.fill()
    thread = await botty.say('create a.txt with "a"')
    await until(botty, lambda: logged(caplog, *full))
    assert botty.playground.slack.workspace.deliveries.pending()
    with pytest.raises(StorageError, match="Free some space"):
        await botty.bot._ping_storage()
    disk.free()
    await until(botty, lambda: ended(thread, 1))
    await thread.say('create b.txt with "b" then wait 1 second')
    await shows(botty, thread, "Wait 1 second")

    sessions = Disk(disk.path / "bot" / "sessions")
    sessions.fill()
    await until(botty, lambda: logged(caplog, "a step failed; trying again", *full))
    sessions.free()
    await until(botty, lambda: ended(thread, 2))
    other = await botty.say('create c.txt with "c"', "ben")
    await until(botty, lambda: ended(other, 1))
    assert all("Done." in final.text for final in await assert_clean(botty, thread, 2))
    assert "Done." in (await assert_clean(botty, other))[0].text
    assert [row["state"] for row in await prompts(botty, thread)] == ["done", "done"]
    assert sorted(pull["files"] for pull in await botty.pulls()) == [["a.txt", "b.txt"], ["c.txt"]]


# -- no start -------------------------------------------------------------------------------------------


def locked(bot: Path) -> None:
    DataFolder(bot).acquire()


def read_only(bot: Path) -> None:
    mount("-o", "remount,ro", bot)


def full(bot: Path) -> None:
    Disk(bot).fill()


def a_file(bot: Path) -> None:
    mount("--lazy", bot, program="umount")
    bot.rmdir()
    bot.touch()


def state_garbage(bot: Path) -> None:
    garbage(bot / "state.db")


def state_empty(bot: Path) -> None:
    nothing(bot / "state.db")


def state_only_its_log(bot: Path) -> None:
    garbage(bot / "state.db-wal")


NO_START: dict[Callable[[Path], None], tuple[str, ...]] = {
    locked: ("is in use by process", "Stop that bot first"),
    read_only: ("Read-only file system", "writable"),
    full: ("No space left on device", "has space"),
    a_file: ("cannot be used", "Check that the folder exists"),
    state_garbage: ("is not a database", "restore it from a backup"),
    state_empty: ("its content was lost", "Restore it from a backup"),
    state_only_its_log: ("only the write-ahead log is left", "Restore"),
}


def test_a_bot_that_cannot_start_says_why_in_a_line_and_touches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record_property: Cases
) -> None:
    """`threadsmith run` ends with 1, what is wrong and what to do, and no traceback."""
    for wrong, words in NO_START.items():
        home = household(tmp_path / wrong.__name__, port=0)
        home.bot_data.mkdir(exist_ok=True)
        mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", home.bot_data)
        try:
            wrong(home.bot_data)
            before = content(home.bot_data)
            assert main(["run", "--config", str(home.config)]) == 1
            said = capsys.readouterr().err
            assert all(word in said for word in words), said
            assert "Traceback" not in said
            assert before.items() <= content(home.bot_data).items()
        finally:
            subprocess.run(("umount", "--lazy", home.bot_data), check=False, capture_output=True)
    record_property("cases", len(NO_START))


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.glob("*.db*")}


# -- damage ---------------------------------------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all, " * 1000)


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1024:] = b"\xa5" * (len(content) - 1024)
    path.write_bytes(content)


def newer(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[60:64] = (99).to_bytes(4, "big")  # where SQLite keeps `user_version`
    path.write_bytes(content)


def of_another(path: Path) -> None:
    other = next(each for each in path.parent.parent.glob("*/*.db") if each != path)
    path.write_bytes(other.read_bytes())


def only_its_log(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}-wal"))


def log_overwritten(path: Path) -> None:
    path.with_name(f"{path.name}-wal").write_bytes(b"no log at all, " * 1000)


DAMAGE: dict[Callable[[Path], None], tuple[str, ...]] = {
    of_another: ("is the file of another session", "backup"),
    garbage: ("is not a database", "backup"),
    nothing: ("is empty", "backup"),
    half: ("is damaged", "backup"),
    middle: ("is damaged", ".recover"),
    newer: ("newer version", "Install that version"),
    only_its_log: ("only the write-ahead log is left", "Restore"),
    log_overwritten: ("is no write-ahead log", "rescue"),
}


async def test_a_damaged_session_is_told_left_as_it_is_and_harms_no_other(
    botty: Botty, caplog: pytest.LogCaptureFixture, record_property: Cases
) -> None:
    """Each in its own thread, all at one start; and each thread is answered when it is spoken to again."""
    well = await botty.say('create well.txt with "a"', "ben")
    await well.final()
    threads = {}
    for damage in DAMAGE:
        threads[damage] = await botty.say('create docs/x.md with "hi"', "chloe", "general")
        await threads[damage].picker()
    await until(botty, lambda: all_asked(botty, list(threads.values())))
    await botty.bot.close()
    before: dict[Path, bytes] = {}
    for damage, thread in threads.items():
        path = file_of(botty, thread)
        damage(path)
        left = [each for each in path.parent.iterdir() if each.name.startswith(path.stem)]
        before |= {each: each.read_bytes() for each in left}
    await botty.restart()
    for damage, thread in threads.items():
        await told(botty, thread)
        advised(caplog, session_of(thread), *DAMAGE[damage])
        await thread.say("@threadsmith and now?", "chloe")
        await thread.say("anybody?", "chloe")
        await told(botty, thread, 2)
    await well.say('create b.txt with "b"', "ben")
    other = await botty.say('create other.txt with "c"')
    for thread, ends in ((well, 2), (other, 1)):
        await until(botty, lambda thread=thread, ends=ends: ended(thread, ends))
        assert "Done." in (await assert_clean(botty, thread, ends))[-1].text
    await botty.restart()
    await until(botty, lambda: nothing_owed(botty))
    for thread in threads.values():
        await told(botty, thread, 2)
    assert not botty.playground.slack.workspace.deliveries.pending()
    assert {path: path.read_bytes() for path in before} == before
    record_property("cases", len(DAMAGE))


async def test_a_thread_is_told_of_damage_though_nothing_of_it_is_read_back(botty: Botty) -> None:
    """The start alone notices that a session which owes something cannot be taken up."""
    thread = await botty.say('create docs/x.md with "hi"', "chloe", "general")
    await thread.picker()
    await until(botty, lambda: all_asked(botty, [thread]))
    await botty.bot.close()
    garbage(file_of(botty, thread))
    await fault(botty, "users.conversations", "server_error", 1000)
    await botty.restart()
    await told(botty, thread)


async def test_each_request_is_answered_where_a_session_is_only_partly_damaged(botty: Botty) -> None:
    """It is accepted, since that much still works, and so nobody but the worker can tell."""
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    await botty.bot.close()
    turns_overwritten(file_of(botty, thread))
    await botty.restart()
    for number in (1, 2, 3):
        await thread.say(f'@threadsmith create b{number}.txt with "b"')
        await told(botty, thread, number)
    await botty.restart()
    await until(botty, lambda: nothing_owed_outside(botty))
    await told(botty, thread, 3)


async def test_a_sandbox_that_is_warm_when_its_session_turns_out_damaged_is_given_back(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where that cannot be noted in the file; and once it is mended, the thread goes on."""
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    sessions = botty.bot.sessions
    worker = sessions._workers[session_of(thread)]
    lease = worker._bench._lease
    assert lease is not None

    async def damaged(file: SessionFile, *_: object) -> None:
        raise Unusable("is damaged", Path(file.name), "Restore it from a backup.")

    async def gone() -> bool:
        return worker not in [*sessions._workers.values(), *sessions._leaving]

    with monkeypatch.context() as patched:
        patched.setattr(SessionFile, "claim", damaged)
        patched.setattr(SessionFile, "set_lease", damaged)
        await thread.say('create b.txt with "b"')
        await told(botty, thread)
        await until(botty, gone)
    assert not worker._bench.leased
    assert not await lease.sandbox.alive()
    await thread.say('create c.txt with "c"')
    await until(botty, lambda: ended(thread, 3))
    assert all("Done." in final.text for final in await assert_clean(botty, thread, 3))


async def test_one_session_that_cannot_be_closed_does_not_keep_the_others_open(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot still comes to the end of its own closing."""
    threads = [await botty.say(f'create {name}.txt with "a"') for name in ("a", "b")]
    for thread in threads:
        await thread.final()
    first, second = botty.bot.sessions._workers.values()
    release = first._bench.release

    async def broken() -> None:
        await release()
        raise RuntimeError("no way to close this")

    monkeypatch.setattr(first, "close", broken)
    await botty.bot.sessions.close()
    assert not second._bench.leased


def turns_overwritten(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'turns'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


async def nothing_owed_outside(botty: Botty) -> bool:
    return not await botty.bot.house.state.effects(("pending", "sending"))


async def all_asked(botty: Botty, threads: list[Thread]) -> bool:
    return all([(await prompts(botty, thread))[-1]["state"] == "waiting" for thread in threads])


async def nothing_owed(botty: Botty) -> bool:
    return not (await botty.bot.sessions.work())["effects"]


async def ended(thread: Thread, ends: int) -> bool:
    return len(finals(await thread.by_bot())) >= ends
