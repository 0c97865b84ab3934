"""One pacer for all sessions, since Slack counts per app."""

from __future__ import annotations

import asyncio

import pytest

from bot.slack.pace import Pacer


class Clock:
    """Time that only passes when it is slept."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    return clock


async def test_a_burst_is_free_and_then_the_rate_holds(clock: Clock) -> None:
    """Three at once, then one a second."""
    pacer = Pacer(60, burst=3, now=clock)
    at = []
    for _ in range(5):
        await pacer.wait()
        at.append(round(clock.now, 6))
    assert at == [0, 0, 0, 1, 2]


async def test_time_that_passed_gives_no_more_than_a_burst(clock: Clock) -> None:
    pacer = Pacer(60, burst=2, now=clock)
    clock.now = 1000
    for _ in range(3):
        await pacer.wait()
    assert clock.now == pytest.approx(1001)


async def test_a_hold_keeps_everyone_quiet_for_so_long(clock: Clock) -> None:
    """A 429's Retry-After; a shorter one afterwards does not shorten it."""
    pacer = Pacer(60, burst=10, now=clock)
    pacer.hold(30)
    pacer.hold(5)
    await pacer.wait()
    assert clock.now == pytest.approx(30)


async def test_those_who_wait_are_served_in_order() -> None:
    """Nobody overtakes."""
    pacer, served = Pacer(60_000, burst=1), []

    async def one(number: int) -> None:
        await pacer.wait()
        served.append(number)

    await asyncio.gather(*(one(number) for number in range(8)))
    assert served == list(range(8))
