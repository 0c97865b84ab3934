"""The published table: what bounds a local sandbox, and who enforces it."""

from __future__ import annotations

import resource
from pathlib import Path

from bot import Bound, Limits
from plugins.sandbox_runner.cgroups import Hierarchy
from plugins.sandbox_runner.egress import A_SECOND, CONNECTIONS
from plugins.sandbox_runner.watch import most_files

FEWEST_OPEN_FILES = 1024  # what programs everywhere can count on
OPEN_FILES_PER_MIB = 512  # one takes a kibibyte or two of the kernel's memory
FILE_MAX = Path("/proc/sys/fs/file-max")
NETWORK = "a network namespace of its own with loopback and one listener, which only the gateway serves"
WHEN = "every 10 s, within a second or two when the disk fills fast"


def most_open_files(limits: Limits) -> int:
    """Of one program. All of a sandbox together cannot use up what the host has, nor much of its memory."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    together = min(int(FILE_MAX.read_text()) // 4, OPEN_FILES_PER_MIB * limits.memory_mib)
    return min(hard, max(FEWEST_OPEN_FILES, together // limits.processes))


def table(limits: Limits, hierarchy: Hierarchy | None, overlay: bool) -> list[Bound]:
    held = {} if hierarchy is None else hierarchy.parents
    group = "" if hierarchy is None else f"control group, version {hierarchy.version}"
    memory = (
        group if "memory" in held else "added up every second, but for shared segments; then the sandbox ends"
    )
    cpu = group if "cpu" in held else "pinned to some processors, which a program may undo"
    files = "an overlay" if overlay else "plain folders, as overlays do not work here"
    return [
        Bound("memory", f"{limits.memory_mib} MiB", "memory" in held, memory),
        Bound("processors", f"{limits.cores:g}", "cpu" in held, cpu),
        Bound("processes", str(limits.processes), True, "RLIMIT_NPROC in a user namespace of its own"),
        Bound("open files", f"{most_open_files(limits)} a program", True, "RLIMIT_NOFILE"),
        Bound("size of one file", f"{limits.disk_mib} MiB", True, "RLIMIT_FSIZE"),
        Bound("disk", f"{limits.disk_mib} MiB", False, f"added up {WHEN}, then the sandbox ends; {files}"),
        Bound("files", str(most_files(limits)), False, f"counted {WHEN}, then the sandbox ends"),
        Bound("files in memory", "part of the memory", True, "a size on each tmpfs: /tmp, /run, /dev/shm"),
        Bound("life", f"{limits.wall_seconds} s", True, "the bot ends it; it dies with the bot"),
        Bound("network", "none but the gateway", True, NETWORK),
        Bound("connections to the gateway", f"{CONNECTIONS} at a time", True, "the bot closes one more"),
        Bound("new connections to the gateway", f"{A_SECOND} a second", True, "others wait to be accepted"),
        Bound("one exec's arguments", "128 KiB", True, "refused by the bot"),
    ]
