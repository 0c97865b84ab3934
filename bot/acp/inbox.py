"""The way of updates from the wire to whoever listens: in order, one at a time, bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from bot.acp.updates import Draft
from bot.domain import EventType

OnUpdate = Callable[[Draft], Awaitable[None]]

PATIENCE = 4  # times the bytes of a turn that are read before the agent is cut off
LEFT_OUT = "\n[The rest is left out: it is beyond what one turn may say.]\n"


class Allowance:
    """How much one turn may say: `characters` of text, `updates` and `size` bytes in all.

    Beyond, it is told once and dropped; `exhausted` once several times the bytes have come all the same.
    """

    def __init__(self, characters: int, updates: int, size: int) -> None:
        self.dropped = 0
        self._characters = characters
        self._updates = updates
        self._size = size
        self._most = size * PATIENCE
        self._received = 0

    @property
    def exhausted(self) -> bool:
        return self._received > self._most

    def weigh(self, size: int) -> None:
        """So many bytes came, whatever they mean: reading them cost the host."""
        self._received += size

    def admit(self, draft: Draft) -> Draft | None:
        """The draft itself, the note that a bound was hit, or None."""
        is_text = draft.type in (EventType.AGENT_TEXT, EventType.AGENT_THOUGHT)
        self._updates -= 1
        self._characters -= len(draft.data["text"]) if is_text else 0
        fits = self._updates >= 0 and self._received <= self._size
        if fits and (self._characters >= 0 or not is_text):
            return draft
        self.dropped += 1
        return Draft(EventType.AGENT_TEXT, {"text": LEFT_OUT}) if self.dropped == 1 else None


class Inbox:
    """A bounded queue of drafts, and the one task that empties it into the present listener.

    A full queue makes `put` wait, which stops the reading of the agent's pipe and so the agent itself.
    """

    def __init__(self, size: int) -> None:
        self.ignored = 0  # drafts that came while nobody listened
        self._queue: asyncio.Queue[Draft] = asyncio.Queue(size)
        self._listener: OnUpdate | None = None
        self._failed = _future()
        self._accepted = self._handed_over = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._pump = asyncio.create_task(self._run())

    @property
    def busy(self) -> bool:
        """Whether the listener has work left, so that a silence is not the agent's."""
        return self._accepted > self._handed_over

    def listen(self, listener: OnUpdate | None) -> asyncio.Future[None]:
        """Hand what comes to `listener` (None: nobody). The future fails with what that listener raises."""
        self._listener = listener
        self._failed = _future()
        return self._failed

    async def put(self, draft: Draft) -> None:
        self._accepted += 1
        await self._queue.put(draft)

    async def drained(self) -> None:
        """Return once everything put before this call was handed over, or the inbox was closed."""
        if not self.busy or self._pump.done():
            return
        done = _future()
        self._waiting.append((self._accepted, done))
        await done

    async def close(self) -> None:
        self._listener = None
        self._pump.cancel()
        await asyncio.wait({self._pump})
        self._wake(self._accepted)

    async def _run(self) -> None:
        while True:
            await self._hand_over(await self._queue.get())
            self._handed_over += 1
            self._wake(self._handed_over)

    async def _hand_over(self, draft: Draft) -> None:
        listener, failed = self._listener, self._failed
        if listener is None:
            self.ignored += 1
            return
        try:
            await listener(draft)
        except Exception as error:  # the listener's own: it ends its turn through `failed`, not this task
            if not failed.done():
                failed.set_exception(error)
            if self._listener is listener:
                self._listener = None

    def _wake(self, handed_over: int) -> None:
        while self._waiting and self._waiting[0][0] <= handed_over:
            _, done = self._waiting.popleft()
            if not done.done():
                done.set_result(None)


def _future() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody need look at it
    return future
