"""`state.db`: boots, marks and what belongs to no session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage import Executor, StateFile, StorageError


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    executor = Executor()
    yield executor
    executor.close()


@pytest.fixture
async def state(tmp_path: Path, executor: Executor, clock: Clock) -> AsyncIterator[StateFile]:
    state = await StateFile.open(tmp_path / "state.db", executor, clock)
    yield state
    await state.close()


async def reopened(state: StateFile, executor: Executor) -> StateFile:
    await state.close()
    return await StateFile.open(state.path, executor)


async def yes() -> bool:
    return True


async def test_each_boot_has_a_higher_epoch_than_all_before(state: StateFile, executor: Executor) -> None:
    assert [await state.next_epoch(), await state.next_epoch()] == [1, 2]
    again = await reopened(state, executor)
    assert await again.next_epoch() == 3
    await again.close()


async def test_a_damaged_state_is_an_error_and_never_a_fresh_start(
    tmp_path: Path, executor: Executor
) -> None:
    path = tmp_path / "state.db"
    state = await StateFile.open(path, executor)
    await state.next_epoch()
    await state.close()
    path.rename(tmp_path / "kept")
    (tmp_path / "state.db-wal").write_bytes(b"x")
    for content in (None, b"", b"x" * 5000):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StorageError):
            await StateFile.open(path, executor)


async def test_settings_keep_their_json_and_a_false_one_is_not_a_missing_one(
    state: StateFile, executor: Executor
) -> None:
    for key, value in (("a", {"x": [1, None]}), ("b", False), ("c", ""), ("a", 0)):
        await state.set(key, value)
    again = await reopened(state, executor)
    assert [await again.get(key, "default") for key in "abcd"] == [0, False, "", "default"]
    await again.close()


# -- marks --------------------------------------------------------------------------------------------


async def test_a_mark_is_on_the_disk_inside_the_block_and_stays_until_cleared(
    state: StateFile, executor: Executor
) -> None:
    async with state.marking("s1"):
        assert await state.marked() == ["s1"]
    again = await reopened(state, executor)
    assert await again.marked() == ["s1"]
    assert await again.clear_if("s1", yes)
    assert await again.marked() == []
    await again.close()


async def test_a_session_that_is_marked_already_costs_no_commit(state: StateFile, executor: Executor) -> None:
    async with state.marking("s1"):
        pass
    again = await reopened(state, executor)
    seen: list[str] = []
    again.file._db.conn.set_trace_callback(seen.append)
    async with again.marking("s1"):
        assert seen == []
    async with again.marking("s2"):
        assert "COMMIT" in seen
    again.file._db.conn.set_trace_callback(None)
    await again.close()


async def test_a_session_that_is_not_idle_keeps_its_mark(state: StateFile) -> None:
    async def no() -> bool:
        return False

    async with state.marking("s1"):
        pass
    assert not await state.clear_if("s1", no)
    assert await state.marked() == ["s1"]


async def test_clearing_never_takes_the_mark_of_a_prompt_that_is_just_being_accepted(
    state: StateFile,
) -> None:
    """The look at the session and the accept overlap in every way; the accepted one must stay marked."""
    async with state.marking("s1"):
        pass
    # An accept that is under way while the worker looks.
    async with state.marking("s1"):
        assert not await state.clear_if("s1", yes)

    # One that begins and ends while the worker looks.
    async def accepted_meanwhile() -> bool:
        async with state.marking("s1"):
            pass
        return True  # the look was before the accept

    assert not await state.clear_if("s1", accepted_meanwhile)
    assert await state.marked() == ["s1"]

    # One that begins while the mark is being deleted.
    clearing = asyncio.create_task(state.clear_if("s1", yes))
    await asyncio.sleep(0)
    async with state.marking("s1"):
        assert await clearing
        assert await state.marked() == ["s1"]


async def test_two_clearings_at_once_and_a_mark_between_them_leave_the_mark(state: StateFile) -> None:
    go = asyncio.Event()

    async def slow() -> bool:
        await go.wait()
        return True

    async with state.marking("s1"):
        pass
    late = asyncio.create_task(state.clear_if("s1", slow))
    await asyncio.sleep(0)
    assert await state.clear_if("s1", yes)
    async with state.marking("s1"):
        pass
    go.set()
    assert not await late
    assert await state.marked() == ["s1"]


# -- the rest -----------------------------------------------------------------------------------------


async def test_a_delivery_is_first_only_once_even_when_it_comes_twice_at_the_same_time(
    state: StateFile, clock: Clock
) -> None:
    seen = await asyncio.gather(*(state.first_delivery("github", "d1") for _ in range(4)))
    assert sorted(seen) == [False, False, False, True]
    assert await state.first_delivery("slack", "d1")
    clock.at = 200.0
    assert await state.first_delivery("github", "d2")
    assert await state.forget_deliveries(before=150.0) == 2
    assert not await state.first_delivery("github", "d2")


async def test_a_person_is_remembered_with_the_time_it_was_learnt(state: StateFile, clock: Clock) -> None:
    await state.remember_person("T1", "U1", {"name": "Ann"})
    clock.at = 300.0
    await state.remember_person("T1", "U1", {"name": "Anna"})
    found = await state.person("T1", "U1")
    assert found is not None
    assert (found["data"], found["at"]) == ({"name": "Anna"}, 300.0)
    assert await state.person("T2", "U1") is None


async def test_a_prompt_for_a_new_thread_is_accepted_once_and_kept_until_it_has_one(state: StateFile) -> None:
    first = await state.accept_new_thread("api", "k", "T1", "C1", {"text": "a"})
    again = await state.accept_new_thread("api", "k", "T1", "C1", {"text": "b"})
    assert first == again
    other = await state.accept_new_thread("api", "k2", "T1", "C1", {})
    assert [row["id"] for row in await state.new_threads()] == [first["id"], other["id"]]
    await state.new_thread_done(first["id"])
    assert [row["key"] for row in await state.new_threads()] == ["k2"]


async def test_settings_are_found_by_how_their_keys_begin(state: StateFile) -> None:
    for key, value in (("cursor.a", 1), ("cursor.b", {"n": 2}), ("cursors", 3), ("Cursor.c", 4)):
        await state.set(key, value)
    assert await state.settings("cursor.") == {"cursor.a": 1, "cursor.b": {"n": 2}}
    assert await state.settings("none") == {}
