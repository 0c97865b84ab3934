"""What the host can see of the processes of a sandbox, in bytes: by their numbers, from /proc.

Nothing a sandbox wrote is opened or followed: descriptors and mounts are asked of the kernel, not of paths.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from plugins.sandbox_runner.layout import SHM, TMP

PROC = Path("/proc")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BLOCK_BYTES = 512
TMPFS_FILE_BYTES = 1024  # what the kernel keeps about a file, however empty
TMPFS = (TMP, SHM, "/run")


def family(root: int) -> list[int]:
    """A process and all its descendants, it first and its children before theirs.

    In bytes: a process may call itself anything, and one such name must not blind us for all sandboxes.
    """
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def private_memory(processes: list[int]) -> int:
    pages = 0
    for process in processes:
        with suppress(OSError):
            _, resident, shared, *_ = (PROC / str(process) / "statm").read_bytes().split()
            pages += int(resident) - int(shared)
    return pages * PAGE_BYTES


def nameless_files(processes: list[int]) -> tuple[int, int]:
    """What is in open files that no folder has any more: on the disk, and in memory (memfd)."""
    disk: dict[tuple[int, int], int] = {}
    memory: dict[tuple[int, int], int] = {}
    for process in processes:
        with suppress(OSError):  # it ended, or hides
            for descriptor in (PROC / str(process) / "fd").iterdir():
                with suppress(OSError):
                    found = descriptor.stat()
                    if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                        kept = memory if str(descriptor.readlink()).startswith("/memfd:") else disk
                        kept[found.st_dev, found.st_ino] = found.st_blocks * BLOCK_BYTES
    return sum(disk.values()), sum(memory.values())


def tmpfs_memory(processes: list[int]) -> int:
    """What is in the sandbox's own file systems in memory, each of which all its processes see."""
    for process in reversed(processes):
        with suppress(OSError):
            return sum(
                (each.f_blocks - each.f_bfree) * each.f_frsize
                + (each.f_files - each.f_ffree) * TMPFS_FILE_BYTES
                for each in (os.statvfs(f"{PROC}/{process}/root{place}") for place in TMPFS)
            )
    return 0
