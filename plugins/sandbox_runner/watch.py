"""What ends a sandbox at a bound the kernel does not hold for us: life, disk, and memory without cgroups."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bot import Limits, SandboxError
from plugins.sandbox_runner.trees import Tree

DISK_SECONDS = 10.0
MEMORY_SECONDS = 1.0
FILES_PER_MIB = 64
FEWEST_FILES = 50_000
SHARE = 20  # a look at the disk may take a twentieth of the time at most
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Ender = Callable[[str], None]


async def wall(limits: Limits, end: Ender) -> None:
    await asyncio.sleep(limits.wall_seconds)
    end(f"its bound of {limits.wall_seconds} s of life was reached")


async def disk(limits: Limits, tree: Tree, end: Ender) -> None:
    loop = asyncio.get_running_loop()
    pause = DISK_SECONDS
    while True:
        await asyncio.sleep(pause)
        before = loop.time()
        with suppress(SandboxError):  # unreadable now, looked at again next time
            used, files = await tree.used()
            if used > limits.disk_mib:
                end(f"its bound of {limits.disk_mib} MiB of disk was reached ({used} MiB)")
                return
            if files > most_files(limits):
                end(f"its bound of {most_files(limits)} files was reached ({files})")
                return
        pause = max(DISK_SECONDS, SHARE * (loop.time() - before))


def most_files(limits: Limits) -> int:
    """Empty files take nothing but a disk's supply of files, of which ext4 gives 64 to a MiB."""
    return max(FEWEST_FILES, FILES_PER_MIB * limits.disk_mib)


async def memory(limits: Limits, root: int, end: Ender) -> None:
    """`root` is the host's number of the process whose descendants are counted."""
    while True:
        await asyncio.sleep(MEMORY_SECONDS)
        used = await asyncio.to_thread(used_memory_mib, root)
        if used > limits.memory_mib:
            end(f"its bound of {limits.memory_mib} MiB of memory was reached ({used} MiB)")
            return


def used_memory_mib(root: int, proc: Path = Path("/proc")) -> int:
    """Private memory of a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    todo, pages = [root], 0
    while todo:
        process = todo.pop()
        todo += children.get(process, [])
        with suppress(OSError):
            _, resident, shared, *_ = (proc / str(process) / "statm").read_text().split()
            pages += int(resident) - int(shared)
    return pages * PAGE_BYTES >> 20
