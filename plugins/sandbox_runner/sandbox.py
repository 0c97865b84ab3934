"""One running local sandbox: programs in it, a snapshot of it, the end of it."""

from __future__ import annotations

import asyncio
import logging
import os
import posixpath
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from bot import Egress, Limits, SandboxError, SandboxGone, SandboxId, SandboxUnreachable, SnapshotId
from plugins.sandbox_runner import layout, watch
from plugins.sandbox_runner.cgroups import Group
from plugins.sandbox_runner.egress import Listener
from plugins.sandbox_runner.process import LocalProcess
from plugins.sandbox_runner.starting import END_SECONDS, Started
from plugins.sandbox_runner.trees import Snapshots, Tree

log = logging.getLogger(__name__)


class LocalSandbox:
    """See `bot.Sandbox`. `release` lets go of its files, its group and its user, once nothing of it runs."""

    provider = "local"
    workspace = layout.WORKSPACE
    home = layout.HOME

    def __init__(
        self,
        id: SandboxId,
        limits: Limits,
        tree: Tree,
        group: Group | None,
        snapshots: Snapshots,
        started: Started,
        release: Callable[[], Awaitable[None]],
    ) -> None:
        self.id = id
        self._limits, self._tree, self._group, self._snapshots = limits, tree, group, snapshots
        self._started, self._control, self._release = started, started.control, release
        self._listener = Listener(started.listener, id)
        self._gone: SandboxGone | None = None
        self._emptied = asyncio.Event()
        self._processes: set[LocalProcess] = set()
        self._watching: list[asyncio.Task[None]] = []
        self._copying = asyncio.Lock()
        self._ending: asyncio.Task[None] | None = None
        asyncio.get_running_loop().add_reader(started.first, self._on_emptied)
        started.control.ended.add_done_callback(self._on_hang_up)
        self._watch(watch.wall(limits, self._hit))
        self._watch(watch.disk(limits, tree, started.process.pid, self._hit))
        if group is None or "memory" not in group.folders:
            self._watch(watch.memory(limits, started.process.pid, self._hit))

    def _watch(self, watcher: Coroutine[Any, Any, None]) -> None:
        self._watching.append(asyncio.create_task(self._or_end(watcher)))

    async def _or_end(self, watcher: Coroutine[Any, Any, None]) -> None:
        """A bound that nobody watches is none: whatever a watcher trips over, its sandbox ends with it."""
        try:
            await watcher
        except Exception:  # whatever it is, it must not end in silence
            log.exception("a bound of sandbox %s cannot be watched any more, so the sandbox ends", self.id)
            self._hit("a bound of it could not be watched any more")

    # -- use ---------------------------------------------------------------------------------

    async def exec(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> LocalProcess:
        self._must_run()
        inside, outside = pipes()
        process = LocalProcess(argv[0] if argv else "", outside, self._memory_note())
        self._processes = {each for each in self._processes if not each.over} | {process}
        where = self.workspace if cwd is None else posixpath.join(self.workspace, cwd)
        variables = {**layout.ENVIRONMENT, **({} if env is None else env)}
        try:
            number = await self._control.start(process, argv, where, variables, inside)
        except BaseException:
            self._processes.discard(process)
            raise
        finally:
            for descriptor in inside:
                os.close(descriptor)
        process.started(self._control, number, timeout_seconds)
        return process

    def _must_run(self) -> None:
        if self._gone is not None:
            raise SandboxGone(str(self._gone))

    def _memory_note(self) -> Callable[[], str]:
        group, before = self._group, 0 if self._group is None else self._group.memory_kills()

        def note() -> str:
            if group is None or group.memory_kills() <= before:
                return ""
            return f"sandbox: a program was ended at the bound of {self._limits.memory_mib} MiB of memory"

        return note

    async def set_egress(self, egress: Egress | None) -> None:
        """See `bot.Sandbox`. To let nothing out is possible at any time, the sandbox gone or not."""
        if egress is not None:
            self._must_run()
        await self._listener.lead_to(egress)

    async def alive(self) -> bool:
        if self._gone is None:
            return True
        try:
            await asyncio.wait_for(self._emptied.wait(), END_SECONDS)
        except TimeoutError:
            raise SandboxUnreachable(f"Sandbox {self.id} was told to end, and has not.") from None
        return False

    async def snapshot(self) -> SnapshotId:
        """Keep workspace and home. Programs may go on; what they write meanwhile may be torn."""
        if self._ending is not None:
            raise SandboxGone(f"Sandbox {self.id} was terminated.")
        async with self._copying:
            name = self._snapshots.new()
            await self._tree.save(self._snapshots.path(name), self._limits.disk_mib << 20)
            return name

    # -- its end -----------------------------------------------------------------------------

    def _hit(self, bound: str) -> None:
        """End it at a bound; its files stay until `terminate`."""
        self._lose(f"The sandbox was ended: {bound}.")

    def _on_hang_up(self, why: asyncio.Future[str]) -> None:
        """Process 1 no longer talks: it ended, or is not to be trusted any more."""
        text = f"The sandbox ended by itself: {why.result()}."
        if self._group is not None and self._group.memory_kills():
            text = f"The sandbox was ended: its bound of {self._limits.memory_mib} MiB of memory was reached."
        self._lose(text)

    def _lose(self, text: str) -> None:
        if self._gone is None:
            self._gone = SandboxGone(text)
        for process in self._processes:
            process.lost(self._gone)
        self._processes.clear()
        if not self._emptied.is_set():
            self._started.kill()
        self._listener.close()

    def _on_emptied(self) -> None:
        """The kernel says that process 1, and so everything in its namespace, has ended."""
        asyncio.get_running_loop().remove_reader(self._started.first)
        self._emptied.set()
        self._control.close("its process 1 ended")

    async def terminate(self) -> None:
        if self._ending is None or (self._ending.done() and self._ending.exception()):
            self._lose(f"Sandbox {self.id} was terminated.")
            self._ending = asyncio.create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        for watcher in self._watching:
            watcher.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        await self._listener.lead_to(None)
        await self._started.gone(self._emptied)
        async with self._copying:  # a snapshot under way is finished first
            await self._release()


def pipes() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Three pipes: the sandbox's ends and ours, each as stdin, stdout, stderr."""
    made: list[int] = []
    try:
        for _ in range(3):
            made += os.pipe()
    except OSError as error:
        for descriptor in made:
            os.close(descriptor)
        raise SandboxError(f"No pipe to the sandbox could be made: {error.strerror}.") from error
    return (made[0], made[3], made[5]), (made[1], made[2], made[4])
