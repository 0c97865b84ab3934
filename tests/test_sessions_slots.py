"""How many turns run at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from bot.sessions.slots import Slots


async def ready(task: asyncio.Task[None]) -> bool:
    """Whether a task is done once everybody has had their turn."""
    for _ in range(20):
        await asyncio.sleep(0)
    return task.done()


async def test_one_person_cannot_take_all() -> None:
    """Ada's third waits though there is room; Ben's does not, though he came later."""
    slots = Slots(total=4, per_person=2)

    async def hold(stack: AsyncExitStack, person: str) -> None:
        await stack.enter_async_context(slots.take(person))

    async with AsyncExitStack() as first, AsyncExitStack() as rest:
        await hold(first, "ada")
        await hold(rest, "ada")
        third = asyncio.create_task(hold(rest, "ada"))
        ben = asyncio.create_task(hold(rest, "ben"))
        assert await ready(ben)
        assert not await ready(third)
        await first.aclose()
        assert await ready(third)


async def test_all_together_stay_within_the_total() -> None:
    """Many people at once: never more than allowed, and everybody gets a turn."""
    slots, running, most, done = Slots(3, 2), 0, 0, 0

    async def turn(person: str) -> None:
        nonlocal running, most, done
        async with slots.take(person):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            done += 1

    await asyncio.gather(*(turn(f"person {number % 5}") for number in range(40)))
    assert (most, done) == (3, 40)


async def test_a_slot_comes_back_however_the_turn_ended() -> None:
    """An error and a cancelled wait leave nothing taken."""
    slots = Slots(1, 1)
    with pytest.raises(RuntimeError):
        async with slots.take("ada"):
            raise RuntimeError
    async with slots.take("ada"):
        waiting = asyncio.create_task(slots.take("ben").__aenter__())
        assert not await ready(waiting)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(10), slots.take("chloe"):
        pass
