"""The writable files of sandboxes, and snapshots of them.

A snapshot is one tar file. It is written by `tar` running as the sandbox's own user on a stage with nothing
but that sandbox's tree, and unpacked the same way as the next sandbox's user: so no process with rights of
the host ever walks, follows or owns what a sandbox made, files change owner without a `chown`, links and
whiteouts survive, and throwing a snapshot away is one unlink however many files are in it.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bot import SandboxError, SnapshotId
from plugins.sandbox_runner import layout

TAR = "/usr/bin/tar"
ATTRIBUTES = ("--xattrs", "--xattrs-include=user.*", "--numeric-owner")
COPY_SECONDS = 600.0
COUNTED = re.compile(r"([0-9]+)\t/tree/upper\n([0-9]+)\t/tree/upper")
SNAPSHOT_NAME = re.compile(r"[0-9a-f]{24}")
ERROR_BYTES = 4096
# What is gone, or something else, by the time `du` comes to it takes no space there, and is no trouble: all
# else it complains of stays in the answer. A name with line ends in it comes quoted.
GONE = "^du: cannot .*: (No such file or directory|Not a directory|Too many levels of symbolic links)$"
COUNT = f"for what in -m --inodes; do du -sx $what /tree/upper 2>&1 | grep -avE '{GONE}'; done"


class SnapshotUnusable(SandboxError):
    """It is not there any more, or cannot be unpacked."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One sandbox's folder: `tree/upper` holds what it wrote, `tree/work` belongs to the overlay."""

    folder: Path
    user: int | None  # who owns it, None for the bot itself

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def make(self) -> None:
        self.folder.mkdir(mode=0o700)
        folders = [self.tree, self.tree / "work", self.tree / "upper"]
        for folder in [*folders, *(self.tree / "upper" / name for name in layout.UPPER_FOLDERS)]:
            folder.mkdir(mode=0o755)
            if self.user is not None:
                os.chown(folder, self.user, self.user)

    async def save(self, target: Path, limit_bytes: int) -> None:
        """Write the upper into a tar file, which appears at `target` once it is whole and on the disk."""
        partial = target.with_suffix(".partial")
        program = [TAR, "-cSf", "-", *ATTRIBUTES, "-C", "/tree/upper", *layout.UPPER_FOLDERS]
        try:
            with partial.open("xb") as file:
                code, said = await self.run(program, ["fsize", str(limit_bytes)], stdout=file.fileno())
                if code not in (0, 1):  # 1: a file changed while it was read
                    raise SandboxError(f"The snapshot failed: {said or f'tar ended with {code}'}")
                await asyncio.to_thread(os.fsync, file.fileno())
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)

    async def load(self, source: Path) -> None:
        """Unpack a snapshot into the empty upper."""
        program = [TAR, "-xpf", "-", *ATTRIBUTES, "--no-same-owner", "-C", "/tree/upper"]
        with source.open("rb") as file:
            code, said = await self.run(program, [], stdin=file.fileno())
        if code != 0:
            raise SnapshotUnusable(f"The snapshot could not be unpacked: {said or f'tar ended with {code}'}")

    async def used(self) -> tuple[int, int]:
        """What it takes on the disk, in MiB and in files. SandboxError where not all could be counted."""
        _, said = await self.run(["/bin/sh", "-c", COUNT], [], capture=True)
        counted = COUNTED.fullmatch(said)
        if counted is None:
            raise SandboxError(f"The files of a sandbox could not be counted: {said!r}")
        return int(counted[1]), int(counted[2])

    async def remove(self) -> None:
        """Take away all of it, also what forbids that to its own owner."""
        if self.tree.exists():
            code, said = await self.run(["/bin/sh", "-c", "rm -rf -- /tree/*"], [])
            if code != 0:
                raise SandboxError(f"The files of a sandbox could not be removed: {said}")
            self.tree.rmdir()
        with suppress(FileNotFoundError):
            self.folder.rmdir()

    async def run(
        self,
        program: Sequence[str],
        ops: Sequence[str],
        *,
        stdin: int = asyncio.subprocess.DEVNULL,
        stdout: int = asyncio.subprocess.DEVNULL,
        capture: bool = False,
    ) -> tuple[int, str]:
        """Run a host program with this tree, and nothing else of the host's data, as its owner.

        Who owns it may have shut folders to itself: the program gets into these all the same.
        """
        null = ["override", "bind", "/dev/null", "/dev/null", "bind", str(self.tree), "/tree"]
        process = await asyncio.create_subprocess_exec(
            *layout.launch(self.user, [*null, *ops], program),
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE if capture else stdout,
            stderr=asyncio.subprocess.DEVNULL if capture else asyncio.subprocess.PIPE,
            env={"PATH": layout.PATH, "LC_ALL": "C.UTF-8"},
        )
        reader = process.stdout if capture else process.stderr
        assert reader is not None
        try:
            async with asyncio.timeout(COPY_SECONDS):
                said = await tail(reader)
                return await process.wait(), said
        except TimeoutError:
            raise SandboxError(
                f"{program[0]} took more than {COPY_SECONDS:.0f} s on a sandbox's files."
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def tail(reader: asyncio.StreamReader) -> str:
    """All that comes, of which the last is kept."""
    kept = b""
    while chunk := await reader.read(ERROR_BYTES):
        kept = (kept + chunk)[-ERROR_BYTES:]
    return kept.decode(errors="replace").strip()


@dataclass(frozen=True, slots=True)
class Snapshots:
    folder: Path

    def new(self) -> SnapshotId:
        return SnapshotId(secrets.token_hex(12))

    def path(self, snapshot: SnapshotId) -> Path:
        """Where it lies; a name we never gave lies nowhere."""
        if not SNAPSHOT_NAME.fullmatch(snapshot):
            raise SnapshotUnusable(f"There is no snapshot {snapshot!r}.")
        return self.folder / f"{snapshot}.tar"

    def sweep(self) -> None:
        """Forget what a dead bot had not finished."""
        for partial in self.folder.glob("*.partial"):
            partial.unlink(missing_ok=True)
