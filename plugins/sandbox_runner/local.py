"""The local provider: sandboxes on this Linux machine, made of bubblewrap, an overlay and a supervisor.

Directory renames work because a new sandbox's writable folders start empty: all in them is the sandbox's own
upper layer, and a restored one gets its snapshot unpacked as its new upper. Only what lies in a lower layer
could not be renamed (an overlay in a user namespace has no `redirect_dir`), and here that is nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from bot import Bound, Limits, SandboxError, SandboxId, SandboxSpec, SnapshotId
from plugins.sandbox_runner import layout, users
from plugins.sandbox_runner.bounds import most_open_files, table
from plugins.sandbox_runner.cgroups import Group, Hierarchy, find
from plugins.sandbox_runner.folders import checked
from plugins.sandbox_runner.sandbox import LocalSandbox
from plugins.sandbox_runner.settings import Settings
from plugins.sandbox_runner.starting import OverlayRefused, Started, start
from plugins.sandbox_runner.trees import TAR, Snapshots, SnapshotUnusable, Tree

log = logging.getLogger(__name__)
CREATE_SECONDS = 660.0
WELL_SECONDS = 10.0
SANDBOX_NAME = re.compile(r"[0-9a-f]{16}")
T = TypeVar("T")
PROBE = Limits(memory_mib=256, cores=1, disk_mib=16, processes=16, wall_seconds=60)


class LocalProvider:
    """See `bot.Provider`. `data` is this provider's own folder; one bot at a time may use it."""

    name = "local"

    def __init__(self, data: Path, settings: Settings, *, overlay: bool | None = None) -> None:
        self._settings = settings
        self._data = data
        self._root = os.geteuid() == 0
        self._overlay = overlay  # None until the kernel was asked
        self._sandboxes: dict[SandboxId, LocalSandbox] = {}
        self._own: set[str] = set()  # these, those being made and those being removed
        self._asking = asyncio.Lock()
        self._well_until = 0.0
        self._sweeping: asyncio.Task[None] | None = None
        self._closed = False

    # -- folders, made when first needed ------------------------------------------------------

    @cached_property
    def _snapshots(self) -> Snapshots:
        return Snapshots(self._folder("snapshots"))

    @cached_property
    def _trees(self) -> Path:
        return self._folder("sandboxes")

    @cached_property
    def _lower(self) -> Path:
        """The bare base: nothing yet, until images take its place."""
        lower = self._folder("base")
        for name in layout.UPPER_FOLDERS:
            (lower / name).mkdir(exist_ok=True)
        for folder in (lower, *lower.iterdir()):
            folder.chmod(0o755)
        return lower

    def _folder(self, name: str) -> Path:
        folder = self._data / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @cached_property
    def _base(self) -> layout.Base:
        return layout.base(self._data, self._settings.read_only)

    @cached_property
    def _hierarchy(self) -> Hierarchy | None:
        """A group of groups for this data folder, so that another bot's are never swept."""
        mark = hashlib.blake2b(os.fsencode(self._data.resolve()), digest_size=6).hexdigest()
        return find(f"{self._settings.cgroup}/{mark}")

    # -- sandboxes ---------------------------------------------------------------------------

    async def create(self, spec: SandboxSpec) -> LocalSandbox:
        if self._closed:
            raise SandboxError("The local provider is closed.")
        if spec.image is not None and not self._snapshots.path(spec.image).is_file():
            raise SnapshotUnusable(f"There is no snapshot {spec.image!r} any more.")
        await self._ask_kernel()
        try:
            async with asyncio.timeout(CREATE_SECONDS):
                sandbox = await self._create(spec)
        except TimeoutError:
            raise SandboxError(f"A sandbox did not start within {CREATE_SECONDS:.0f} s.") from None
        if self._closed:  # meanwhile
            await sandbox.terminate()
            raise SandboxError("The local provider is closed.")
        return sandbox

    async def _create(self, spec: SandboxSpec, overlay: bool | None = None) -> LocalSandbox:
        """Everything a sandbox holds is let go again in reverse, now if this fails, else at its end."""
        overlay = self._overlay if overlay is None else overlay
        id = SandboxId(secrets.token_hex(8))
        async with AsyncExitStack() as held:
            self._own.add(id)
            held.callback(self._own.discard, id)
            user = None
            if self._root:
                lease = users.lease(self._settings.sandbox_user, self._settings.sandbox_users)
                held.callback(lease.release)
                user = lease.user
            given = await whole(partial(checked, spec.folders, self._base, self._data, user))
            tree = Tree(self._trees / id, user)
            held.push_async_callback(tree.remove)
            await whole(tree.make)
            if spec.image is not None:
                await tree.load(self._snapshots.path(spec.image))
            group = await self._group(id, spec.limits, held)
            ops = [
                *bounds_ops(group, spec.limits),
                *layout.stage(self._base, given, bool(overlay), self._lower, tree.tree),
            ]
            started = await start(user, ops, self._base, given, spec.limits)
            return self._keep(id, spec.limits, tree, group, started, held.pop_all())

    async def _group(self, id: SandboxId, limits: Limits, held: AsyncExitStack) -> Group | None:
        if self._hierarchy is None:
            return None
        group = self._hierarchy.group(id)
        held.push_async_callback(group.remove)
        return await whole(partial(self._hierarchy.create, id, limits))

    def _keep(
        self,
        id: SandboxId,
        limits: Limits,
        tree: Tree,
        group: Group | None,
        started: Started,
        held: AsyncExitStack,
    ) -> LocalSandbox:
        held.callback(self._sandboxes.pop, id)
        sandbox = LocalSandbox(id, limits, tree, group, self._snapshots, started, held.aclose)
        self._sandboxes[id] = sandbox
        return sandbox

    async def discard(self, snapshot: SnapshotId) -> None:
        """Forget a snapshot; one that is not there is forgotten already."""
        with suppress(SandboxError):
            self._snapshots.path(snapshot).unlink(missing_ok=True)

    # -- health ------------------------------------------------------------------------------

    async def ping(self) -> None:
        """Make the smallest sandbox there is and run a program in it, unless one just worked."""
        await self._ask_kernel()
        if time.monotonic() < self._well_until:
            return
        sandbox = await self._create(SandboxSpec(PROBE))
        try:
            if await (await sandbox.exec(["true"])).wait() != 0:
                raise SandboxError("A sandbox starts, but nothing runs in it.")
        finally:
            await sandbox.terminate()
        self._well_until = time.monotonic() + WELL_SECONDS

    async def _ask_kernel(self) -> None:
        """Find out once whether overlays work here; plain folders take their place where not."""
        async with self._asking:
            if self._overlay is not None:
                return
            must_have(layout.BWRAP, "bubblewrap")
            must_have(TAR, "tar")
            try:
                sandbox = await self._create(SandboxSpec(PROBE), overlay=True)
            except OverlayRefused as refused:
                log.warning("%s Sandboxes use plain folders instead.", refused)
                self._overlay = False
            else:
                self._overlay = True
                await sandbox.terminate()

    @property
    def overlay(self) -> bool:
        """Whether the kernel took one, once it was asked."""
        return bool(self._overlay)

    @property
    def hierarchy(self) -> Hierarchy | None:
        return self._hierarchy

    def bounds(self, limits: Limits) -> list[Bound]:
        return table(limits, self._hierarchy, bool(self._overlay))

    # -- beginning and end -------------------------------------------------------------------

    def sweep(self) -> asyncio.Task[None]:
        """Begin to take away what dead bots left in this folder; the task is done when all of it is gone."""
        self._snapshots.sweep()
        if self._sweeping is None:
            folders = {folder.name for folder in self._trees.iterdir() if SANDBOX_NAME.fullmatch(folder.name)}
            groups = set() if self._hierarchy is None else self._hierarchy.groups()
            self._sweeping = asyncio.create_task(self._remove((folders | groups) - self._own))
        return self._sweeping

    async def _remove(self, names: set[str]) -> None:
        for name in sorted(names):
            folder = self._trees / name
            try:
                if self._hierarchy is not None:
                    await self._hierarchy.group(name).remove()
                await Tree(folder, owner(folder / "tree") if self._root else None).remove()
            except (SandboxError, OSError) as error:
                log.warning("what a dead sandbox left stays behind in %s: %s", folder, error)

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(sandbox.terminate() for sandbox in [*self._sandboxes.values()]))
        if self._sweeping is not None:
            await self._sweeping
        if self._hierarchy is not None:
            self._hierarchy.remove()

    async def list(self) -> list[SandboxId]:
        return list(self._sandboxes)


async def whole(step: Callable[[], T]) -> T:
    """Run a step in a thread. One that is given up is waited for, so that it can be undone after."""
    running = asyncio.ensure_future(asyncio.to_thread(step))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def bounds_ops(group: Group | None, limits: Limits) -> list[str]:
    ops = ["nofile", str(most_open_files(limits))]
    for join in [] if group is None else group.joins():
        ops += ["cgroup", join]
    if group is None or "cpu" not in group.folders:
        available = sorted(os.sched_getaffinity(0))
        count = max(1, min(len(available), round(limits.cores)))
        ops += ["cpus", ",".join(map(str, secrets.SystemRandom().sample(available, count)))]
    return ops


def owner(tree: Path) -> int | None:
    """Whose a folder of ours is; root's where the bot died before giving it away."""
    try:
        return os.lstat(tree).st_uid or None
    except FileNotFoundError:
        return None


def must_have(program: str, package: str) -> None:
    if not os.access(program, os.X_OK):
        raise SandboxError(
            f"{program} is missing, without which no sandbox can be made. Debian and Ubuntu: "
            f"`sudo apt-get install {package}`; Fedora: `sudo dnf install {package}`."
        )
