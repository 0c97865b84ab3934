"""Control groups, version 1 or 2, where this process may make them: what makes bounds hard."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bot import Limits, SandboxError

CONTROLLERS = ("memory", "pids", "cpu")
CPU_PERIOD_MICROSECONDS = 100_000
OWN_PROCESSES = 8  # bubblewrap and the supervisor, beside the sandbox's own
REMOVE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Group:
    """One sandbox's group in each hierarchy it has one in."""

    folders: dict[str, Path]  # controller -> folder; version 2 has the same folder three times

    def joins(self) -> list[str]:
        return [str(folder / "cgroup.procs") for folder in sorted(set(self.folders.values()))]

    def memory_kills(self) -> int:
        """How often the kernel ended one of its programs for want of memory."""
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError, KeyError):
                text = (self.folders["memory"] / name).read_text()
                return next(
                    int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")
                )
        return 0

    def members(self) -> set[int]:
        found: set[int] = set()
        for join in self.joins():
            with suppress(FileNotFoundError):
                found |= {int(line) for line in Path(join).read_text().split()}
        return found

    async def remove(self) -> None:
        """Kill what is left in it and take it away; SandboxError when the kernel keeps it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + REMOVE_SECONDS
        while not await asyncio.to_thread(self._removed):
            for process in self.members():
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            if loop.time() > end:
                raise SandboxError(f"The control group of a sandbox cannot be removed: {self.joins()}.")
            await asyncio.sleep(0.01)

    def _removed(self) -> bool:
        for folder in set(self.folders.values()):
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where groups are made: one parent folder for each controller that can be used."""

    version: int
    parents: dict[str, Path] = field(default_factory=dict)

    def groups(self) -> set[str]:
        """The names of the groups that are there."""
        return {
            entry.name for parent in self.parents.values() for entry in parent.iterdir() if entry.is_dir()
        }

    def remove(self) -> None:
        """Take the parents away where nobody is left in them."""
        for parent in set(self.parents.values()):
            with suppress(OSError):
                parent.rmdir()

    def group(self, name: str) -> Group:
        return Group({controller: parent / name for controller, parent in self.parents.items()})

    def create(self, name: str, limits: Limits) -> Group:
        group = self.group(name)
        for folder in set(group.folders.values()):
            folder.mkdir(parents=True, exist_ok=True)
        for controller, folder in group.folders.items():
            for file, value in settings(self.version, controller, limits):
                with suppress(FileNotFoundError):  # such as the swap files of a kernel that counts none
                    (folder / file).write_text(value)
        return group


def settings(version: int, controller: str, limits: Limits) -> list[tuple[str, str]]:
    """File names and contents that set a bound."""
    memory, quota = str(limits.memory_mib << 20), str(int(limits.cores * CPU_PERIOD_MICROSECONDS))
    if controller == "pids":
        return [("pids.max", str(limits.processes + OWN_PROCESSES))]
    if version == 2:
        if controller == "memory":
            return [("memory.max", memory), ("memory.swap.max", "0")]
        return [("cpu.max", f"{quota} {CPU_PERIOD_MICROSECONDS}")]
    if controller == "memory":
        return [("memory.limit_in_bytes", memory), ("memory.memsw.limit_in_bytes", memory)]
    return [("cpu.cfs_period_us", str(CPU_PERIOD_MICROSECONDS)), ("cpu.cfs_quota_us", quota)]


def find(parent: str, mounts: str | None = None) -> Hierarchy | None:
    """The hierarchy to use, with `parent` made in it; None where this process may not."""
    text = Path("/proc/mounts").read_text() if mounts is None else mounts
    first: dict[str, Path] = {}
    unified: Path | None = None
    for line in text.splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2":
            unified = Path(place)
        elif kind == "cgroup":
            first |= {name: Path(place) for name in set(options.split(",")) & set(CONTROLLERS)}
    if unified is not None and "memory" in read(unified / "cgroup.controllers").split():
        return second_version(unified, parent)
    usable = {name: place / parent for name, place in first.items() if make(place / parent)}
    return Hierarchy(1, usable) if usable else None


def second_version(root: Path, parent: str) -> Hierarchy | None:
    wanted = [name for name in CONTROLLERS if name in read(root / "cgroup.controllers").split()]
    folder = root
    for part in parent.split("/"):
        try:
            (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))
        except OSError:
            return None  # not ours to divide: no rights, or processes of others live in it
        folder = folder / part
        if not make(folder):
            return None
    (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))
    return Hierarchy(2, dict.fromkeys(wanted, folder))


def make(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
