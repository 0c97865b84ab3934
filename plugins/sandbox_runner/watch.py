"""What ends a sandbox at a bound the kernel does not hold for us: life, disk, and memory without cgroups."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from bot import Limits, SandboxError
from plugins.sandbox_runner.processes import family, nameless_files, private_memory, tmpfs_memory
from plugins.sandbox_runner.trees import Tree

log = logging.getLogger(__name__)
DISK_SECONDS = 10.0
GLANCE_SECONDS = 1.0
MEMORY_SECONDS = 1.0
FILES_PER_MIB = 64
FEWEST_FILES = 50_000
SHARE = 20  # a look may take a twentieth of the time at most,
HURRIED_SHARE = 4  # or a quarter while the disk is filling up
LOOKS = 3  # that may fail in a row, be it for a trouble of the host

Ender = Callable[[str], None]


async def wall(limits: Limits, end: Ender) -> None:
    await asyncio.sleep(limits.wall_seconds)
    end(f"its bound of {limits.wall_seconds} s of life was reached")


async def disk(limits: Limits, tree: Tree, root: int, end: Ender) -> None:
    """`root` is the host's number of the process whose descendants may hold files that have no name."""
    loop = asyncio.get_running_loop()
    used, files, took, failed = 0, 0, 0.0, 0
    while True:
        await due(tree.folder, took, limits.disk_mib - used, most_files(limits) - files)
        before = loop.time()
        try:
            used, files = await tree.used()
            used += await asyncio.to_thread(nameless_mib, root)
            failed = 0
        except (SandboxError, OSError) as error:
            failed += 1
            log.warning("a look at the disk that a sandbox takes failed, %d of %d: %s", failed, LOOKS, error)
        if reached := over(limits, used, files, failed):
            end(reached)
            return
        took = loop.time() - before


def over(limits: Limits, used: int, files: int, failed: int) -> str:
    """Which bound of the disk was reached, if any. What nobody can count is not bounded, so it is one too."""
    if failed == LOOKS:
        return "what it takes on the disk could not be counted any more"
    if used > limits.disk_mib:
        return f"its bound of {limits.disk_mib} MiB of disk was reached ({used} MiB)"
    if files > most_files(limits):
        return f"its bound of {most_files(limits)} files was reached ({files})"
    return ""


def nameless_mib(root: int) -> int:
    """On the disk, in files no folder shows any more."""
    return nameless_files(family(root))[0] >> 20


async def due(folder: Path, took: float, mib_left: int, files_left: int) -> None:
    """Wait for the next look: less long when the disk has meanwhile lost all the sandbox may still take."""
    loop = asyncio.get_running_loop()
    end = loop.time() + max(DISK_SECONDS, SHARE * took)
    mib, files = free(folder)
    await asyncio.sleep(HURRIED_SHARE * took)
    while mib_left >= 0 and files_left >= 0 and (left := end - loop.time()) > 0:
        await asyncio.sleep(min(left, GLANCE_SECONDS))
        mib_before, files_before = mib, files
        mib, files = free(folder)
        mib_left -= max(0, mib_before - mib)  # what others free meanwhile makes up for nothing
        files_left -= max(0, files_before - files)


def free(folder: Path) -> tuple[int, int]:
    """What the disk it is on has left, in MiB and in files."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >> 20, found.f_favail


def most_files(limits: Limits) -> int:
    """Empty files take nothing but a disk's supply of files, of which ext4 gives 64 to a MiB."""
    return max(FEWEST_FILES, FILES_PER_MIB * limits.disk_mib)


async def memory(limits: Limits, root: int, end: Ender) -> None:
    """`root` is the host's number of the process whose descendants are counted."""
    loop = asyncio.get_running_loop()
    pause = MEMORY_SECONDS
    while True:
        await asyncio.sleep(pause)
        before = loop.time()
        used = await asyncio.to_thread(used_memory_mib, root)
        if used > limits.memory_mib:
            end(f"its bound of {limits.memory_mib} MiB of memory was reached ({used} MiB)")
            return
        pause = max(MEMORY_SECONDS, SHARE * (loop.time() - before))


def used_memory_mib(root: int) -> int:
    """Of a sandbox: what its processes have for themselves, and what lies in files that are memory."""
    processes = family(root)
    return private_memory(processes) + nameless_files(processes)[1] + tmpfs_memory(processes) >> 20
