"""Questions on the disk: asked by the turn that runs, closed once, and never open behind its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from storage import Executor, NewEvent, NewPrompt, SessionFile, Stop, question_key
from storage.session_file import create_session_file

EPOCH = 5
KEY = question_key(1, 1, 1)


class Thread:
    team, channel, thread_ts = "T1", "C1", "1.1"


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[SessionFile]:
    """With one prompt that runs."""
    executor = Executor()
    create_session_file(tmp_path / "s.db", "s", Thread, 1000.0)
    session = await SessionFile.open(tmp_path / "s.db", "s", executor)
    await session.accept(NewPrompt("slack", "C1:1", "U1", "Ada", "do it", 1000.5), EPOCH)
    assert await session.claim(EPOCH)
    yield session
    await session.close()
    executor.close()


async def ask(session: SessionFile, key: str = KEY, epoch: int = EPOCH, prompt: int = 1) -> bool:
    return await session.ask(key, epoch, NewEvent("question.asked", {"key": key}, prompt), {"text": "Which?"})


async def close(session: SessionFile, answer: str, key: str = KEY, epoch: int = EPOCH) -> bool:
    event = NewEvent("question.answered", {"answer": answer}, 1)
    return await session.close_question(key, epoch, event, {"outcome": "answered", "answer": answer})


async def effects(session: SessionFile) -> list[tuple[str, str]]:
    return [(row["kind"], row["key"]) for row in await session.effects(kind_prefix="thread.")]


async def outcome(session: SessionFile, key: str = KEY) -> Any:
    closed = (await session.question(key))[1]
    return None if closed is None else closed["outcome"]


async def test_a_question_and_its_post_are_written_together(session: SessionFile) -> None:
    assert await ask(session)
    assert await effects(session) == [("thread.post", KEY)]
    assert (await session.events())[-1]["type"] == "question.asked"
    assert await session.question(KEY) == ({"text": "Which?", "prompt_id": 1}, None)


@pytest.mark.parametrize(("epoch", "prompt"), [(EPOCH - 1, 1), (EPOCH + 1, 1), (EPOCH, 2)])
async def test_nobody_asks_but_the_turn_that_runs(session: SessionFile, epoch: int, prompt: int) -> None:
    """Not one of an older boot, nor of a newer one, nor one that does not run; nothing is written."""
    before = await session.events()
    assert not await ask(session, epoch=epoch, prompt=prompt)
    assert (await session.events(), await effects(session)) == (before, [])


async def test_the_first_answer_counts_and_a_second_writes_nothing(session: SessionFile) -> None:
    await ask(session)
    assert await close(session, "left")
    before = await session.events()
    assert not await close(session, "right")
    closed = (await session.question(KEY))[1]
    assert closed == {"text": "Which?", "prompt_id": 1, "outcome": "answered", "answer": "left", "of": KEY}
    assert (await session.events(), await effects(session)) == (
        before,
        [("thread.post", KEY), ("thread.update", f"{KEY}:closed")],
    )


async def test_what_was_not_asked_here_is_not_answered(session: SessionFile) -> None:
    await ask(session)
    assert not await close(session, "left", key=question_key(1, 1, 2))
    assert not await close(session, "left", epoch=EPOCH + 1)
    assert await outcome(session) is None


async def test_behind_a_stop_nothing_is_asked_and_no_answer_counts(session: SessionFile) -> None:
    await ask(session)
    await session.stop(Stop("U1"), lambda row, repository: pytest.fail("nothing is queued"))
    assert not await ask(session, question_key(1, 1, 2))
    assert not await close(session, "left")
    assert await session.finish(1, EPOCH, "stopped")
    assert await outcome(session) == "ended"


@pytest.mark.parametrize("state", ["done", "failed", "stopped"])
async def test_the_end_of_a_turn_closes_what_is_open_and_leaves_what_was_answered(
    session: SessionFile, state: str
) -> None:
    other = question_key(1, 1, 2)
    await ask(session)
    await ask(session, other)
    await close(session, "left")
    await session.finish(1, EPOCH, state)
    assert (await outcome(session), await outcome(session, other)) == ("answered", "ended")
    assert not await close(session, "late", other)


async def test_a_turn_that_is_cut_off_closes_its_questions_too(session: SessionFile) -> None:
    """Both when it is handed back in order and when a later boot finds it; asked anew under another name."""
    await ask(session)
    assert await session.hand_back(1, EPOCH, counted=True)
    assert await outcome(session) == "interrupted"
    row = await session.claim(EPOCH)
    assert row is not None
    second = question_key(1, row["attempt"], 1)
    assert await ask(session, second)
    await session.requeue_running(EPOCH + 1)
    assert await outcome(session, second) == "interrupted"


async def test_the_questions_of_other_prompts_are_left_alone(session: SessionFile) -> None:
    """Also of those whose number begins with the same digits."""
    await ask(session)
    await session.finish(1, EPOCH, "done")
    for number in range(2, 12):
        await session.accept(NewPrompt("slack", f"C1:{number}", "U1", "Ada", "do it", 1000.5), EPOCH)
        await session.claim(EPOCH)
        assert await ask(session, question_key(number, 1, 1), prompt=number)
        if number < 11:
            await session.finish(number, EPOCH, "done")
    assert await outcome(session, question_key(11, 1, 1)) is None
    assert len(await effects(session)) == 21
