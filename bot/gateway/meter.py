"""The meter: every call to a model reserves the most it can cost, and is charged for what it did cost."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from bot.config_gateway import BudgetSettings
from bot.domain import Model, PromptId, SessionId, Spender
from bot.errors import UserError
from bot.gateway.money import at_most, cost, dollars, worst_cost
from bot.gateway.words import Budget, Usage, Watcher
from storage import Account, StateFile

T = TypeVar("T")
WARNED_TURNS = 1024  # remembered at a time
# More of either than any model can handle in one call: whoever says so is not believed.
ABSURD_TOKENS = 10_000_000

NAMES: Mapping[str, str] = {
    "turn": "this turn",
    "session": "this session",
    "person_day": "one person's prompts in a day",
    "repository_day": "this repository in a day",
    "day": "all there is in a day",
}


class OverBudget(UserError):
    """A call that might cost more than is left of a budget. It was not made."""

    def __init__(self, budget: Budget, needed_usd: float) -> None:
        self.budget, self.needed_usd = budget, needed_usd
        super().__init__(
            f"The budget for {NAMES[budget.scope]} is used up: ${budget.spent_usd:.2f} of "
            f"${budget.limit_usd:.2f} are spent or set aside, and this call might cost ${needed_usd:.4f}. "
            f"What was done so far is kept. An administrator can raise {budget.scope}_usd in [budgets]."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """What was reserved for one call: to be ended once, by `settle`, `keep` or `release`."""

    call: int
    spender: Spender
    model: Model
    purpose: str
    nanos: int
    watcher: Watcher | None


class Meter:
    """Holds every call, the agents' and our own, to the budgets; what it says is on the disk already.

    The watcher is told of what was used; nothing else need tell it. What has begun here is brought to its end
    whoever is cancelled meanwhile, so that no money is ever on neither side.
    """

    def __init__(self, budgets: BudgetSettings, state: StateFile) -> None:
        self._state = state
        limits = {
            "turn": budgets.turn_usd,
            "session": budgets.session_usd,
            "person_day": budgets.person_day_usd,
            "repository_day": budgets.repository_day_usd,
            "day": budgets.day_usd,
        }
        self._limits = {scope: at_most(usd) for scope, usd in limits.items()}
        self._warn_percent = budgets.warn_percent
        self._warned: OrderedDict[tuple[SessionId, PromptId], set[str]] = OrderedDict()

    async def reserve(
        self,
        spender: Spender,
        model: Model,
        purpose: str,
        input_tokens: int,
        output_tokens: int,
        watcher: Watcher | None,
        *,
        extra_input_tokens: int = 0,
    ) -> Reservation:
        """Set the most aside that the call may cost. Raises OverBudget, once the watcher was told."""
        nanos = worst_cost(model, input_tokens, output_tokens, extra_input_tokens)
        work = asyncio.ensure_future(self._reserve(spender, model, purpose, nanos, watcher))
        try:
            return await _whole(work)
        except asyncio.CancelledError:
            if not work.cancelled() and work.exception() is None:
                await _whole(asyncio.ensure_future(self.release(work.result())))  # no call was made yet
            raise

    async def settle(
        self,
        reservation: Reservation,
        input_tokens: int,
        cached_input_tokens: int,
        output_tokens: int,
        *,
        extra_input_tokens: int = 0,
    ) -> Usage:
        """Charge what was used, be it more than was reserved. What cannot be true is not believed: `keep`."""
        told = (input_tokens, cached_input_tokens, output_tokens, extra_input_tokens)
        return await self._finish(reservation, told if _believable(*told) else None)

    async def keep(self, reservation: Reservation) -> Usage:
        """Nobody knows what it cost: all that was reserved is spent."""
        return await self._finish(reservation, None)

    async def release(self, reservation: Reservation) -> None:
        """It certainly cost nothing: the model was not reached, or refused to begin."""
        ended = asyncio.ensure_future(self._state.spending.release(reservation.call))
        if await _whole(ended) is None:
            raise AlreadyEnded

    @asynccontextmanager
    async def keeping(self, reservation: Reservation) -> AsyncIterator[OpenCall]:
        """Inside, the call is made and ended; what leaves the block before that is kept."""
        call = OpenCall(self, reservation)
        try:
            yield call
        finally:
            if not call.ended:
                await call.keep()

    async def turn_total(self, session: SessionId, turn: PromptId) -> tuple[float, int, int, int]:
        """US dollars, calls, tokens read and tokens written of one turn, our own calls for it included."""
        total = await self._state.spending.turn(session, turn)
        return dollars(total.nanos), total.calls, total.input_tokens, total.output_tokens

    # -- what runs to its end --------------------------------------------------------------------

    async def _reserve(
        self, spender: Spender, model: Model, purpose: str, nanos: int, watcher: Watcher | None
    ) -> Reservation:
        found = await self._state.spending.reserve(
            _account(spender), model.name, purpose, nanos, self._limits
        )
        if found.call is None:
            assert found.over is not None
            budget = self._budget(found.over, found.spent)
            if watcher is not None:
                await watcher.exceeded(budget)
            raise OverBudget(budget, dollars(nanos))
        await self._warn(spender, found.spent, watcher)
        return Reservation(found.call, spender, model, purpose, nanos, watcher)

    async def _finish(self, reservation: Reservation, told: tuple[int, int, int, int] | None) -> Usage:
        return await _whole(asyncio.ensure_future(self._finished(reservation, told)))

    async def _finished(self, reservation: Reservation, told: tuple[int, int, int, int] | None) -> Usage:
        if told is None:
            read = cached = written = 0
            nanos = reservation.nanos
            spent = await self._state.spending.keep(reservation.call)
        else:
            read, cached, written, extra = told
            nanos = cost(reservation.model, read, cached, written, extra)
            spent = await self._state.spending.settle(reservation.call, nanos, read, cached, written)
        if spent is None:
            raise AlreadyEnded
        name, purpose = reservation.model.name, reservation.purpose
        usage = Usage(name, purpose, read, cached, written, dollars(nanos), told is not None)
        if reservation.watcher is not None:
            await reservation.watcher.used(usage)
        await self._warn(reservation.spender, spent, reservation.watcher)
        return usage

    async def _warn(self, spender: Spender, spent: Mapping[str, int], watcher: Watcher | None) -> None:
        """Without what the call at hand has reserved, since most of that comes back."""
        passed = [
            scope
            for scope, nanos in spent.items()
            if nanos and nanos * 100 >= self._limits[scope] * self._warn_percent
        ]
        if watcher is None or not passed:
            return
        warned = self._warned.setdefault((spender.session, spender.turn), set())
        self._warned.move_to_end((spender.session, spender.turn))
        while len(self._warned) > WARNED_TURNS:
            self._warned.popitem(last=False)
        for scope in passed:
            if scope not in warned:
                warned.add(scope)
                await watcher.warned(self._budget(scope, spent))

    def _budget(self, scope: str, spent: Mapping[str, int]) -> Budget:
        return Budget(scope, dollars(self._limits[scope]), dollars(spent[scope]))


class AlreadyEnded(RuntimeError):
    """A reservation was to be ended twice; or it is one of an older boot."""


class OpenCall:
    """A call that is being made. The first of `settle`, `keep` and `release` counts, no other does."""

    def __init__(self, meter: Meter, reservation: Reservation) -> None:
        self._meter, self.reservation = meter, reservation
        self.ended = False

    async def settle(
        self,
        input_tokens: int,
        cached_input_tokens: int,
        output_tokens: int,
        *,
        extra_input_tokens: int = 0,
    ) -> None:
        if self._end():
            await self._meter.settle(
                self.reservation,
                input_tokens,
                cached_input_tokens,
                output_tokens,
                extra_input_tokens=extra_input_tokens,
            )

    async def keep(self) -> None:
        if self._end():
            await self._meter.keep(self.reservation)

    async def release(self) -> None:
        if self._end():
            await self._meter.release(self.reservation)

    def _end(self) -> bool:
        first, self.ended = not self.ended, True
        return first


async def _whole(work: asyncio.Future[T]) -> T:
    """Wait for all of it, however often the waiting is cancelled; only then be cancelled."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as error:
            if not work.done():
                cancelled = error
        except Exception:  # raised below, where it is known whether anybody still waits
            break
    if cancelled is not None:
        raise cancelled
    return work.result()


def _believable(read: int, cached: int, written: int, extra: int) -> bool:
    """Nothing was ever answered to nothing, and no more comes from a cache than is read."""
    numbers = (read, cached, written, extra)
    whole = all(type(each) is int and 0 <= each <= ABSURD_TOKENS for each in numbers)
    return whole and read > 0 and cached <= read


def _account(spender: Spender) -> Account:
    return Account(spender.session, spender.turn, spender.person, spender.repository)
