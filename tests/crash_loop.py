"""An event loop without threads, sockets or time: the same run, step by step, every time.

Sleeping costs nothing, since the clock jumps to the next timer; what is handed to a thread runs at once.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

_ROUND_SECONDS = 1e-6  # or somebody who sleeps for what is left of a rounded number would sleep for ever


class Stalled(AssertionError):
    """Nothing can ever happen again, or nothing has for too long: something ended in silence."""


class _NoFiles(selectors.BaseSelector):
    """Nothing is ever ready; waiting moves the clock."""

    def __init__(self) -> None:
        self.waiting: Callable[[float | None], None] = lambda timeout: None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        raise KeyError(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waiting(timeout)
        return []


class DeterministicLoop(asyncio.SelectorEventLoop):
    """`run_until(work, settled)` runs `work`, and then the rest of the world until `settled` says so."""

    def __init__(self, longest_seconds: float = 6 * 3600.0) -> None:
        self._now = 0.0
        self._longest = longest_seconds
        self._settled: Callable[[], bool] = lambda: False
        selector = _NoFiles()
        selector.waiting = self._wait
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def run_in_executor(  # type: ignore[override]  # a future, as the real one, but one that is done
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def run_until(self, work: Coroutine[Any, Any, None], settled: Callable[[], bool]) -> None:
        """Raises Stalled, and whatever `work` raises."""
        task = self.create_task(work)
        self._settled = lambda: task.done() and (task.exception() is not None or settled())
        self.run_forever()
        self._settled = lambda: False
        task.result()

    def _wait(self, timeout: float | None) -> None:
        """Once a round. With a timeout that is not 0, everyone waits for something."""
        self._now += _ROUND_SECONDS
        if timeout is not None and timeout <= 0:
            return
        if self._settled():
            self.stop()
        elif self._ready:  # type: ignore[attr-defined]  # asking whether all is settled made something happen
            pass
        elif timeout is None or self._now > self._longest:
            raise Stalled(f"nothing more happens after {self._now:.0f} s of the run's own clock")
        else:
            self._now += timeout
