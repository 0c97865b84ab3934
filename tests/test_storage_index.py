"""`index.db` can be thrown away: made again from the session files it is the same."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage import (
    DataFolder,
    Executor,
    IndexFile,
    NewEvent,
    NewPrompt,
    SessionFile,
    SessionStore,
    StorageError,
)


class Thread:
    team, channel, thread_ts = "T1", "C1", "1.1"


@dataclass
class House:
    folder: DataFolder
    executor: Executor
    store: SessionStore
    index: IndexFile


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    folder, executor, clock = DataFolder(tmp_path), Executor(), iter(range(1, 10_000))
    folder.acquire()
    store = SessionStore(folder, executor, lru=3, now=lambda: float(next(clock)))
    house = House(folder, executor, store, await IndexFile.open(folder.index_path, executor))
    yield house
    await store.close()
    await house.index.close()
    executor.close()
    folder.release()


async def random_step(session: SessionFile, dice: random.Random, number: int) -> None:
    kind = dice.randrange(5)
    running = await session.prompts({"running"})
    if kind == 0:
        await session.accept(NewPrompt("slack", f"k{number}", "U1", "Ann", "x", 1.0), 1)
    elif kind == 1:
        await session.claim(1)
    elif kind == 2 and running:
        state = dice.choice(["done", "failed"])
        await session.finish(running[0]["id"], 1, state, [NewEvent("turn.finished", {}, running[0]["id"])])
    elif kind == 3:
        await session.update_session(
            title=f"title {number}", repository=dice.choice(["acme/web", "acme/api"])
        )
    else:
        await session.record(
            [NewEvent("pull_request.opened")], session_fields={"pull_request": {"number": number}}
        )


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_rebuilt_index_is_the_one_that_grew_step_by_step(house: House, seed: int) -> None:
    dice = random.Random(seed)
    for number in range(60):
        async with house.store.use(f"abc{dice.randrange(6)}", Thread) as session:
            await random_step(session, dice, number)
            assert await house.index.apply(await session.summary())
    grown = await house.index.list()
    assert len(grown) == 6
    await house.index.close()
    IndexFile.discard(house.folder.index_path)
    house.index = await IndexFile.open(house.folder.index_path, house.executor)
    assert await house.index.list() == []
    progress: list[tuple[int, int]] = []
    rebuilt = await house.index.rebuild(house.store, lambda done, of: progress.append((done, of)))
    assert (rebuilt.sessions, rebuilt.failed) == (6, ())
    assert progress[-1] == (6, 6)
    assert await house.index.list() == grown


async def test_an_older_row_never_replaces_a_newer_one(house: House) -> None:
    async with house.store.use("abc1", Thread) as session:
        old = await session.summary()
        await session.accept(NewPrompt("slack", "k", "U1", "Ann", "x", 1.0), 1)
        accepted = await session.summary()
        await session.update_session(title="later, and without an event")
        new = await session.summary()
    assert await house.index.apply(new)
    assert not await house.index.apply(old)
    assert not await house.index.apply(accepted)
    assert await house.index.get("abc1") == new
    assert await house.index.apply(new), "the same again is no step back"


async def test_a_rebuild_drops_what_is_gone_and_corrects_what_is_wrong(house: House) -> None:
    async with house.store.use("abc1", Thread) as session:
        right = await session.summary()
    await house.index.apply(right | {"title": "wrong"})
    await house.index.apply(right | {"id": "gone1"})
    await house.index.rebuild(house.store)
    assert await house.index.list() == [right]
    assert await house.index.get("gone1") is None


async def test_a_session_that_cannot_be_read_is_reported_and_keeps_its_row(house: House) -> None:
    for name in ("abc1", "abd1"):
        async with house.store.use(name, Thread) as session:
            await house.index.apply(await session.summary())
    await house.store.close()
    house.folder.session_path("abc1").write_bytes(b"")
    rebuilt = await house.index.rebuild(house.store)
    assert rebuilt.sessions == 1
    assert [error.path for error in rebuilt.failed] == [house.folder.session_path("abc1")]
    assert await house.index.count() == 2


async def test_lists_are_newest_first_in_pages_and_can_be_narrowed(house: House) -> None:
    for n in range(5):
        async with house.store.use(f"abc{n}", Thread) as session:
            await session.update_session(repository="acme/web" if n % 2 else "acme/api")
            await house.index.apply(await session.summary())
    assert [row["id"] for row in await house.index.list(limit=2)] == ["abc4", "abc3"]
    assert [row["id"] for row in await house.index.list(limit=2, offset=2)] == ["abc2", "abc1"]
    assert [row["id"] for row in await house.index.list(repository="acme/web")] == ["abc3", "abc1"]
    assert await house.index.list(state="running") == []
    assert await house.index.list(repository="' OR 1=1 --") == []


async def test_a_damaged_index_is_reported_and_can_be_thrown_away_and_made_again(house: House) -> None:
    async with house.store.use("abc1", Thread) as session:
        await house.index.apply(await session.summary())
    await house.index.close()
    path = house.folder.index_path
    path.write_bytes(b"rubbish" * 1000)
    with pytest.raises(StorageError):
        await IndexFile.open(path, house.executor)
    IndexFile.discard(path)
    house.index = await IndexFile.open(path, house.executor)
    await house.index.rebuild(house.store)
    assert await house.index.count() == 1
