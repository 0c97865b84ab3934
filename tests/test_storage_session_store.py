"""The store: each session is open at most once, pinned ones stay open, and absent is not unreadable."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from test_storage_engine import as_nobody

from storage import DataFolder, Executor, NewPrompt, NoSession, SessionFile, SessionStore, StorageError


class Thread:
    team, channel, thread_ts = "T1", "C1", "1.1"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SessionStore]:
    folder, executor = DataFolder(tmp_path / "data"), Executor()
    folder.acquire()
    store = SessionStore(folder, executor, lru=2)
    yield store
    await store.close()
    executor.close()
    folder.release()


async def settled(store: SessionStore) -> None:
    """Until the closing in the background is done."""
    while store._tasks:
        await asyncio.wait(store._tasks)


def prompt(key: str) -> NewPrompt:
    return NewPrompt("slack", key, "U1", "Ann", "text", 1.0)


async def test_a_session_is_made_once_and_found_again(store: SessionStore) -> None:
    assert not store.exists("aaa1")
    async with store.use("aaa1", Thread) as session:
        await session.accept(prompt("a"), 1)
    assert store.exists("aaa1")
    async with store.use("aaa1", Thread) as session:
        assert len(await session.prompts()) == 1
    async with store.use("aaa1") as session:
        assert (await session.session())["channel"] == "C1"
    assert await store.ids() == ["aaa1"]


async def test_an_unknown_session_is_absent_and_asking_for_it_makes_nothing(
    store: SessionStore, tmp_path: Path
) -> None:
    with pytest.raises(NoSession):
        await store.pin("aaa1")
    assert await store.ids() == []
    assert not store._entries, "a failed open must leave nothing behind"
    assert list((tmp_path / "data" / "sessions").iterdir()) == []


async def test_two_who_open_one_session_at_once_get_the_same_file(store: SessionStore) -> None:
    opened: list[SessionFile] = []
    store.opened.append(opened.append)
    files = await asyncio.gather(*(store.pin("aaa1", Thread) for _ in range(8)))
    assert len({id(file) for file in files}) == 1
    assert len(opened) == 1


async def test_the_longest_unused_is_closed_and_opens_again_when_wanted(store: SessionStore) -> None:
    first = None
    for name in ("aaa1", "aaa2", "aaa3"):
        async with store.use(name, Thread) as session:
            first = first or session
            await session.accept(prompt(name), 1)
    await settled(store)
    assert store.open_count == 2
    assert list(store._entries) == ["aaa2", "aaa3"]
    assert first is not None
    with pytest.raises(StorageError, match="closed"):
        await first.prompts()
    async with store.use("aaa1") as again:
        assert again is not first
        assert [row["key"] for row in await again.prompts()] == ["aaa1"]


async def test_what_was_used_again_is_kept_and_the_longer_unused_one_goes(store: SessionStore) -> None:
    for name in ("aaa1", "aaa2", "aaa1", "aaa3"):
        async with store.use(name, Thread):
            pass
    await settled(store)
    assert list(store._entries) == ["aaa1", "aaa3"]


async def test_pinned_sessions_are_never_closed_however_many_others_come(store: SessionStore) -> None:
    pinned = [await store.pin(f"aaa{n}", Thread) for n in range(4)]
    for n in range(10):
        async with store.use(f"bbb{n}", Thread):
            pass
    await settled(store)
    for file in pinned:
        await file.accept(prompt("a"), 1)
    assert store.open_count == 4, "only the pinned ones are left"
    for n in range(4):
        store.unpin(f"aaa{n}")
    await settled(store)
    assert store.open_count == 2


async def test_opening_what_is_just_being_closed_waits_and_then_works(store: SessionStore) -> None:
    """Both hold an exclusive lock: overlapping, the second would be refused."""
    names = [f"aaa{n}" for n in range(6)]

    async def visit(name: str, times: int) -> None:
        for number in range(times):
            async with store.use(name, Thread) as session:
                await session.accept(prompt(f"{name}:{number}"), 1)

    await asyncio.gather(*(visit(name, 8) for name in names))
    await settled(store)
    assert store.open_count <= 2
    for name in names:
        async with store.use(name) as session:
            assert len(await session.prompts()) == 8


async def test_a_cancelled_opener_leaves_neither_a_pin_nor_a_lock(store: SessionStore) -> None:
    for n in range(20):
        task = asyncio.create_task(store.pin("aaa1", Thread))
        for _ in range(n):
            await asyncio.sleep(0)
        task.cancel()
        if not isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError):
            store.unpin("aaa1")
    async with store.use("aaa1") as session:
        await session.accept(prompt("a"), 1)
    assert store._entries["aaa1"].pins == 0


async def test_a_damaged_session_is_an_error_each_time_and_never_a_new_session(
    store: SessionStore, tmp_path: Path
) -> None:
    path = DataFolder(tmp_path / "data").session_path("aaa1")
    path.parent.mkdir()
    for content in (b"", b"rubbish" * 200):
        path.write_bytes(content)
        for _ in range(2):
            with pytest.raises(StorageError) as caught:
                await store.pin("aaa1", Thread)
            assert caught.value.path == path
            assert caught.value.fix
        assert path.read_bytes() == content
        assert store.exists("aaa1")


async def test_sessions_that_cannot_be_listed_are_an_error_and_not_none() -> None:
    with tempfile.TemporaryDirectory() as data:
        Path(data).chmod(0o755)
        folder, executor = DataFolder(Path(data)), Executor()
        folder.create()
        folder.sessions.chmod(0o000)
        store = SessionStore(folder, executor)
        with as_nobody():
            with pytest.raises(StorageError):
                await store.ids()
            with pytest.raises(StorageError):
                store.exists("aaa1")
            with pytest.raises(StorageError):
                await store.pin("aaa1", Thread)
        folder.sessions.chmod(0o700)
        executor.close()


async def test_listeners_added_when_a_session_opens_come_back_with_it(store: SessionStore) -> None:
    heard: list[str] = []
    store.opened.append(lambda session: session.listeners.append(lambda name, _: heard.append(name)))
    for name in ("aaa1", "aaa2", "aaa3", "aaa1"):
        async with store.use(name, Thread) as session:
            await session.accept(prompt(f"{len(heard)}"), 1)
        await settled(store)
    assert heard == ["aaa1", "aaa2", "aaa3", "aaa1"]


async def test_files_half_made_by_a_crash_are_no_sessions(store: SessionStore, tmp_path: Path) -> None:
    async with store.use("aaa1", Thread):
        pass
    shard = tmp_path / "data" / "sessions" / "aa"
    (shard / "aaa2.db.new").write_bytes(b"half")
    assert await store.ids() == ["aaa1"]
    async with store.use("aaa2", Thread) as session:
        assert await session.prompts() == []


async def test_letting_go_after_the_end_is_harmless(store: SessionStore) -> None:
    """Whoever still held a file at the close has nothing to give back."""
    async with store.use("aaa1", Thread):
        await store.close()
