"""Budgets: reserved first, charged after, and nothing is spent twice or forgotten."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meter_kit import ANN, Turn, calls, metered, model, opened_state

from bot.domain import PromptId, SessionId
from bot.gateway.meter import ABSURD_TOKENS, AlreadyEnded, Meter, OverBudget, Reservation
from bot.gateway.money import NANOS, at_least, at_most, cost, dollars, worst_cost
from storage import Account, StateFile

BIG = model()


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateFile]:
    async with opened_state(tmp_path) as state:
        yield state


@pytest.fixture
def turn() -> Turn:
    return Turn()


async def reserve(meter: Meter, turn: Turn | None = None, output_tokens: int = 1000) -> Reservation:
    """A dollar, unless said otherwise."""
    return await meter.reserve(ANN, BIG, "agent", 0, output_tokens, turn)


# -- the way of a call --------------------------------------------------------------------------------


async def test_a_call_is_charged_for_what_it_used_and_not_for_what_was_reserved(
    state: StateFile, turn: Turn
) -> None:
    meter = metered(state)
    reservation = await meter.reserve(ANN, BIG, "agent", 10_000, 1000, turn)
    assert await calls(state) == [("reserved", 6 * NANOS)]
    usage = await meter.settle(reservation, 1000, 200, 100)
    assert usage.usd == pytest.approx(0.8 * 0.5 + 0.2 * 0.05 + 0.1)
    assert (usage.model, usage.purpose, usage.metered) == ("big", "agent", True)
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens) == (1000, 200, 100)
    assert turn.usages == [usage]
    assert await calls(state) == [("settled", 510_000_000)]
    assert await meter.turn_total(ANN.session, ANN.turn) == (0.51, 1, 1000, 100)


async def test_a_call_that_told_no_usage_costs_all_that_was_reserved(state: StateFile, turn: Turn) -> None:
    meter = metered(state)
    usage = await meter.keep(await reserve(meter, turn))
    assert (usage.usd, usage.metered, turn.usages) == (1.0, False, [usage])
    assert await meter.turn_total(ANN.session, ANN.turn) == (1.0, 1, 0, 0)


async def test_a_call_that_never_reached_the_model_costs_nothing_and_is_none(
    state: StateFile, turn: Turn
) -> None:
    meter = metered(state)
    await meter.release(await reserve(meter, turn))
    assert turn.usages == []
    assert await meter.turn_total(ANN.session, ANN.turn) == (0.0, 0, 0, 0)


async def test_each_reservation_is_ended_once(state: StateFile) -> None:
    meter = metered(state)
    reservation = await reserve(meter)
    await meter.settle(reservation, 1, 0, 1)
    for again in (meter.keep(reservation), meter.release(reservation), meter.settle(reservation, 1, 0, 1)):
        with pytest.raises(AlreadyEnded):
            await again
    assert await calls(state) == [("settled", 1_500_000)]


async def test_tokens_written_to_a_cache_cost_more_and_are_told_as_what_they_are(state: StateFile) -> None:
    meter = metered(state)
    reservation = await meter.reserve(ANN, BIG, "agent", 1000, 0, None, extra_input_tokens=250)
    assert await calls(state) == [("reserved", 625_000_000)]
    usage = await meter.settle(reservation, 1000, 0, 0, extra_input_tokens=250)
    assert (usage.usd, usage.input_tokens) == (0.625, 1000)


# -- refusals and warnings ----------------------------------------------------------------------------

SCOPES = ("turn", "session", "person_day", "repository_day", "day")


@pytest.mark.proof("budgets")
@pytest.mark.parametrize("scope", SCOPES)
async def test_a_call_that_may_cost_more_than_is_left_is_refused_and_says_of_which_budget(
    state: StateFile, turn: Turn, scope: str
) -> None:
    meter = metered(state, **{f"{scope}_usd": 2.5})
    await meter.keep(await reserve(meter, turn))
    await reserve(meter, turn)
    with pytest.raises(OverBudget) as refused:
        await reserve(meter, turn)
    assert turn.exceedings == [refused.value.budget]
    assert (refused.value.budget.scope, refused.value.budget.spent_usd) == (scope, 2.0)
    for said in ("$2.00 of $2.50", "$1.0000", "is kept", f"{scope}_usd in [budgets]"):
        assert said in str(refused.value)
    await reserve(meter, turn, output_tokens=500)


async def test_what_counts_for_others_is_no_concern_of_mine(state: StateFile) -> None:
    """Another turn, session, person and repository have their own."""
    meter = metered(state, turn_usd=1, session_usd=2, person_day_usd=3, repository_day_usd=4)
    await reserve(meter)
    others = [
        replace(ANN, turn=PromptId(2)),
        replace(ANN, session=SessionId("s2")),
        replace(ANN, session=SessionId("s3"), person="U2"),
        replace(ANN, session=SessionId("s4"), person="U3", repository="acme/api"),
        replace(ANN, session=SessionId("s5"), person="U4", repository=None),
    ]
    for other in others:
        await meter.reserve(other, BIG, "agent", 0, 1000, None)
    for other in (ANN, *others[:2]):
        with pytest.raises(OverBudget):
            await meter.reserve(other, BIG, "agent", 0, 1000, None)


async def test_the_thread_is_warned_once_a_turn_and_scope(state: StateFile, turn: Turn) -> None:
    meter = metered(state, turn_usd=10, session_usd=12)
    for spent in range(7):
        await meter.settle(await reserve(meter, turn), 2, 0, 999)
        assert not turn.warnings, spent
    await meter.settle(await reserve(meter, turn), 2, 0, 999)
    assert [(each.scope, each.spent_usd) for each in turn.warnings] == [("turn", 8.0)]
    await meter.settle(await reserve(meter, turn), 2, 0, 999)
    await meter.keep(await reserve(meter, turn))
    assert [each.scope for each in turn.warnings] == ["turn", "session"]
    later = Turn()
    await meter.reserve(replace(ANN, turn=PromptId(2)), BIG, "agent", 0, 1000, later)
    assert [each.scope for each in later.warnings] == ["session"]


async def test_what_is_only_reserved_for_the_call_at_hand_is_nothing_to_warn_of(
    state: StateFile, turn: Turn
) -> None:
    meter = metered(state, turn_usd=1)
    reservation = await reserve(meter, turn)
    await meter.settle(reservation, 2, 0, 9)
    assert not turn.warnings


async def test_a_model_that_costs_nothing_may_be_asked_when_all_money_is_gone(state: StateFile) -> None:
    meter = metered(state, day_usd=0)
    free = model("free", input_usd=0.0, cached_input_usd=0.0, output_usd=0.0)
    await meter.settle(await meter.reserve(ANN, free, "agent", 10**6, 10**6, None), 5, 0, 5)
    with pytest.raises(OverBudget):
        await reserve(meter, output_tokens=1)


# -- attacks ------------------------------------------------------------------------------------------


@pytest.mark.proof("budgets")
async def test_fifty_calls_at_once_get_what_is_there_for_ten(state: StateFile, turn: Turn) -> None:
    meter = metered(state, turn_usd=10)
    found = await asyncio.gather(*(reserve(meter, turn) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(each, Reservation) for each in found) == 10
    assert sum(isinstance(each, OverBudget) for each in found) == len(turn.exceedings) == 40
    assert await calls(state) == [("reserved", NANOS)] * 10


@pytest.mark.proof("budgets")
@pytest.mark.parametrize(
    "told",
    [
        *[(0, 0, 0), (0, 0, 5), (-1, 0, 5), (5, 0, -1), (5, -1, 1), (5, 6, 1), (ABSURD_TOKENS + 1, 0, 1)],
        *[(10**30, 0, 1), (1, 0, 10**30), (True, 0, 1), (5.0, 0, 1), ("5", 0, 1), (None, None, None)],
    ],
)
async def test_usage_that_cannot_be_true_costs_all_that_was_reserved(
    state: StateFile, turn: Turn, told: tuple[int, int, int]
) -> None:
    meter = metered(state)
    usage = await meter.settle(await reserve(meter, turn), *told)
    assert (usage.usd, usage.metered) == (1.0, False)
    assert await calls(state) == [("kept", NANOS)]


@pytest.mark.proof("budgets")
async def test_more_used_than_reserved_is_charged_in_full_and_ends_the_budget(state: StateFile) -> None:
    meter = metered(state, day_usd=3)
    usage = await meter.settle(await reserve(meter), 2000, 0, 4000)
    assert usage.usd == 5.0
    with pytest.raises(OverBudget):
        await reserve(meter, output_tokens=1)


@pytest.mark.proof("budgets")
@pytest.mark.parametrize("steps", range(6))
async def test_whoever_is_cancelled_while_reserving_leaves_nothing_reserved(
    state: StateFile, steps: int
) -> None:
    """Cancelled at each of its steps, and once more while it tidies up."""
    meter = metered(state)
    task = asyncio.create_task(reserve(meter))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await meter.release(await task)
    assert {each for each, _ in await calls(state)} <= {"released"}
    assert (await meter.turn_total(ANN.session, ANN.turn))[0] == 0


@pytest.mark.proof("budgets")
@pytest.mark.parametrize("how", ["settle", "keep", "release", "none"])
@pytest.mark.parametrize("steps", range(5))
async def test_whoever_is_cancelled_while_a_call_ends_leaves_it_ended(
    state: StateFile, turn: Turn, how: str, steps: int
) -> None:
    meter = metered(state)
    ready, ending = asyncio.Event(), asyncio.Event()

    async def call() -> None:
        async with meter.keeping(await reserve(meter, turn)) as one:
            ready.set()
            await ending.wait()
            if how == "settle":
                await one.settle(2, 0, 9)
            elif how == "keep":
                await one.keep()
            elif how == "release":
                await one.release()

    task = asyncio.create_task(call())
    await ready.wait()
    ending.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    ((end, spent),) = await calls(state)
    wanted = {"settle": ("settled", 10_000_000), "release": ("released", 0)}
    assert (end, spent) in {("kept", NANOS), wanted.get(how, ("kept", NANOS))}
    assert len(turn.usages) == (0 if end == "released" else 1)


@pytest.mark.proof("budgets")
async def test_a_call_that_breaks_is_kept(state: StateFile) -> None:
    meter = metered(state)
    with pytest.raises(ZeroDivisionError):
        async with meter.keeping(await reserve(meter)):
            raise ZeroDivisionError
    assert await calls(state) == [("kept", NANOS)]


@pytest.mark.proof("budgets")
async def test_the_bot_that_comes_after_a_crash_has_spent_what_the_dead_one_reserved(
    state: StateFile,
) -> None:
    before = metered(state, turn_usd=2)
    lost = await reserve(before)
    await state.next_epoch()
    after = metered(state, turn_usd=2)
    assert await calls(state) == [("kept", NANOS)]
    with pytest.raises(AlreadyEnded):
        await before.release(lost)
    await reserve(after)
    with pytest.raises(OverBudget):
        await reserve(after)


# -- whatever the order -------------------------------------------------------------------------------

Step = tuple[str, int, int, float]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "settle", "keep", "release", "crash", "together"]),
        st.integers(0, 5),  # which session, person and repository; or which of the open calls
        st.integers(1, 1500),
        st.floats(0, 1),  # how much of it is used
    ),
    max_size=30,
)


@pytest.mark.proof("budgets")
@settings(max_examples=40)
@given(steps=STEPS)
def test_whatever_the_order_no_limit_is_passed_and_nothing_used_is_missing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    async def play() -> None:
        async with opened_state(tmp_path_factory.mktemp("state")) as state:
            await Ledger(state).play(steps)

    asyncio.run(play())


LIMITS = {f"{scope}_usd": 2.0 + number for number, scope in enumerate(SCOPES)}


class Ledger:
    """What is truly used, next to what the meter says."""

    def __init__(self, state: StateFile) -> None:
        self.state, self.meter = state, metered(state, **LIMITS)
        self.open: list[tuple[Reservation, int]] = []  # with the tokens it was reserved for
        self.used = 0  # nano-dollars, of calls whose end is known
        self.crashed = 0

    async def play(self, steps: list[Step]) -> None:
        for what, which, tokens, part in steps:
            await self.step(what, which, tokens, part)
            await self.check()
        while self.open:
            await self.end("keep", 0, 1.0)
        await self.check()

    async def step(self, what: str, which: int, tokens: int, part: float) -> None:
        if what == "reserve":
            await self.reserve(which, tokens)
        elif what == "together":
            await asyncio.gather(*(self.reserve(each, tokens) for each in range(which)))
        elif what == "crash":
            self.crashed += sum(reservation.nanos for reservation, _ in self.open)
            self.open.clear()
            await self.state.next_epoch()
            self.meter = metered(self.state, **LIMITS)
        elif self.open:
            await self.end(what, which, part)

    async def reserve(self, which: int, tokens: int) -> None:
        spender = replace(
            ANN, session=SessionId(f"s{which % 2}"), turn=PromptId(which), person=f"U{which % 3}"
        )
        with suppress(OverBudget):
            self.open.append((await self.meter.reserve(spender, BIG, "agent", 1, tokens, None), tokens))

    async def end(self, what: str, which: int, part: float) -> None:
        reservation, tokens = self.open.pop(which % len(self.open))
        if what == "settle":
            usage = await self.meter.settle(reservation, 1, 0, int(tokens * part))
            self.used += cost(BIG, 1, 0, usage.output_tokens)
        elif what == "keep":
            await self.meter.keep(reservation)
            self.used += reservation.nanos
        else:
            await self.meter.release(reservation)

    async def check(self) -> None:
        owed = self.used + self.crashed + sum(reservation.nanos for reservation, _ in self.open)
        for session, turn, person in itertools.product(range(2), range(6), range(3)):
            spent = await self.state.spending.spent(Account(f"s{session}", turn, f"U{person}", "acme/web"))
            assert spent["day"] == owed
            for scope, nanos in spent.items():
                assert nanos <= at_most(LIMITS[f"{scope}_usd"])


# -- sums ---------------------------------------------------------------------------------------------

PRICES = st.floats(0, 1_000_000, allow_nan=False)
TOKENS = st.integers(0, ABSURD_TOKENS)


@given(prices=st.tuples(PRICES, PRICES, PRICES), read=TOKENS, cached=TOKENS, written=TOKENS)
def test_no_call_costs_more_than_its_worst_case_nor_less_than_it_is_worth(
    prices: tuple[float, float, float], read: int, cached: int, written: int
) -> None:
    priced = model(input_usd=prices[0], cached_input_usd=prices[1], output_usd=prices[2])
    cached = min(cached, read)
    charged = cost(priced, read, cached, written)
    assert charged <= worst_cost(priced, read, written)
    exact = sum(
        at_least(price) * count for price, count in zip(prices, (read - cached, cached, written), strict=True)
    )
    assert 0 <= charged * 10**6 - exact < 10**6


@pytest.mark.parametrize(
    ("usd", "up", "down"), [(0.1, 10**8, 10**8), (1e-10, 1, 0), (0.1 + 0.2, 300_000_001, 300_000_000)]
)
def test_prices_are_rounded_up_and_limits_down(usd: float, up: int, down: int) -> None:
    assert (at_least(usd), at_most(usd)) == (up, down)
    assert dollars(NANOS // 4) == 0.25
