"""Money in `state.db`: reserved in one transaction, ended once, and never forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from storage import Account, Executor, StateFile
from storage.spending import INDEXES, SCOPES, sum_query

ANN = Account("s1", 1, "U1", "acme/web")
PLENTY = dict.fromkeys(SCOPES, 10**12)
DAY = 86400.0


class Clock:
    at = 10 * DAY

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
    await state.next_epoch()
    yield state
    await state.close()


async def reserve(state: StateFile, nanos: int, account: Account = ANN, **limits: int) -> int | None:
    found = await state.spending.reserve(account, "m", "agent", nanos, PLENTY | limits)
    return found.call


async def test_each_scope_counts_its_own_calls_and_those_only(state: StateFile, clock: Clock) -> None:
    for account in (
        ANN,
        Account("s1", 2, "U1", "acme/web"),
        Account("s2", 1, "U2", "acme/web"),
        Account("s3", 1, "U1", None),
    ):
        assert await reserve(state, 100, account)
    clock.at += DAY
    assert await reserve(state, 7)
    assert await state.spending.spent(ANN) == {
        "turn": 107,
        "session": 207,
        "person_day": 7,
        "repository_day": 7,
        "day": 7,
    }
    clock.at -= DAY
    spent = await state.spending.spent(ANN)
    assert (spent["person_day"], spent["repository_day"], spent["day"]) == (300, 300, 400)
    without = await state.spending.spent(Account("s3", 1, "U1", None))
    assert without["repository_day"] == 0


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_call_fits_to_the_last_nano_dollar_of_every_scope_and_no_further(
    state: StateFile, scope: str
) -> None:
    assert await reserve(state, 60, **{scope: 100})
    found = await state.spending.reserve(ANN, "m", "agent", 41, PLENTY | {scope: 100})
    assert (found.call, found.over, found.spent[scope]) == (None, scope, 60)
    assert await reserve(state, 40, **{scope: 100})
    assert (await state.spending.spent(ANN))[scope] == 100


async def test_a_call_that_costs_nothing_fits_where_no_money_is_left(state: StateFile) -> None:
    assert await reserve(state, 0, turn=0)
    assert await reserve(state, 1, turn=0) is None


@pytest.mark.proof("budgets")
async def test_many_at_once_never_get_more_than_there_is(state: StateFile) -> None:
    found = await asyncio.gather(*(reserve(state, 10, day=100) for _ in range(200)))
    assert len([call for call in found if call is not None]) == 10
    assert (await state.spending.spent(ANN))["day"] == 100


async def test_a_call_is_settled_kept_or_released_and_then_never_again(state: StateFile) -> None:
    calls = [await reserve(state, 100) for _ in range(3)]
    settled, kept, released = (call for call in calls if call is not None)
    after = await state.spending.settle(settled, 30, 10, 5, 2)
    assert after is not None and after["turn"] == 230
    await state.spending.keep(kept)
    await state.spending.release(released)
    assert (await state.spending.spent(ANN))["turn"] == 130
    for call in (settled, kept, released):
        assert await state.spending.settle(call, 1, 1, 1, 1) is None
        assert await state.spending.keep(call) is None
        assert await state.spending.release(call) is None
    assert (await state.spending.spent(ANN))["turn"] == 130
    total = await state.spending.turn("s1", 1)
    assert (total.nanos, total.calls, total.input_tokens, total.output_tokens) == (130, 2, 10, 2)
    rows = await state.spending.calls("s1", 1)
    assert [(row["state"], row["reserved"], row["epoch"]) for row in rows] == [
        ("settled", 100, 1),
        ("kept", 100, 1),
        ("released", 100, 1),
    ]


async def test_a_call_may_cost_more_than_was_reserved_and_that_counts(state: StateFile) -> None:
    call = await reserve(state, 10, day=100)
    assert call is not None
    await state.spending.settle(call, 500, 1, 0, 1)
    assert await reserve(state, 1, day=100) is None


@pytest.mark.proof("budgets")
async def test_what_a_crashed_bot_had_reserved_is_spent_at_the_next_boot(
    state: StateFile, executor: Executor, clock: Clock
) -> None:
    call, settled = await reserve(state, 70), await reserve(state, 20)
    assert call is not None and settled is not None
    await state.spending.settle(settled, 5, 1, 0, 1)
    await state.close()
    again = await StateFile.open(state.path, executor, clock)
    await again.next_epoch()
    assert (await again.spending.spent(ANN))["day"] == 75
    assert await again.spending.release(call) is None  # nobody talks it away any more
    assert [row["state"] for row in await again.spending.calls("s1", 1)] == ["kept", "settled"]
    assert await reserve(again, 26, day=100) is None
    assert await reserve(again, 25, day=100)
    await again.close()


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_sum_is_read_from_its_index_alone(state: StateFile, scope: str) -> None:
    """However many calls there are: only those of the scope are touched, and no row of the table."""
    names = {"session": "s", "turn": 1, "person": "U", "repository": "r", "day": 1}

    def plan(db: Database) -> list[str]:
        return [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sum_query(scope), names).fetchall()]

    (step,) = await state.file.read(plan)
    assert f"USING COVERING INDEX {INDEXES[scope]} (" in step
    assert step.count("=?") == SCOPES[scope].count("=")


async def test_a_state_of_before_gets_the_table(tmp_path: Path, executor: Executor) -> None:
    path = tmp_path / "old.db"
    state = await StateFile.open(path, executor)

    def undo(db: Database) -> None:
        db.execute("DROP TABLE model_calls")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm002_spending'")
        db.execute("PRAGMA user_version=1")

    await state.file.write(undo, durable=True)
    await state.close()
    again = await StateFile.open(path, executor)
    assert await again.next_epoch() == 1
    assert await reserve(again, 1)
    await again.close()
