"""Work that never became a commit: the bundle its sandbox handed out, checked, as a file of the host."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

from bot.domain import CommitSha, SessionId
from bot.git import Mirror, Policy, QuarantineLimits, collect
from bot.git.quarantine import TURN_REF
from storage.creation import flush_folder

_MIB = 1024 * 1024


class Kept:
    """At most one for a session and repository. The commit it builds on is part of its name."""

    def __init__(self, folder: Path, session: SessionId, repository: str) -> None:
        self._folder = folder
        self._stem = f"{session}-{repository.replace('/', '-')}"

    @property
    def base(self) -> CommitSha | None:
        """What the kept work builds on; None when nothing is kept."""
        found = self._files()
        return CommitSha(found[0].name.split(".")[-2]) if found else None

    async def read(self) -> AsyncIterator[bytes]:
        """The bundle in chunks."""
        async with aclosing(_read(self._files()[0])) as chunks:
            async for chunk in chunks:
                yield chunk

    async def save(
        self,
        mirror: Mirror,
        chunks: AsyncIterator[bytes],
        base: CommitSha,
        policy: Policy,
        limits: QuarantineLimits,
    ) -> None:
        """Keep this work in place of what was kept, whole or not at all.

        It is written first and then put through the quarantine as any turn's work is, so that a bundle that
        could not be brought back is never kept. Raises GitError when it is refused, OSError when the disk is.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self._folder / f"{self._stem}.new"
        try:
            await _write(aside, chunks, limits.bundle_mib * _MIB)
            async with (
                aclosing(_read(aside)) as written,
                collect(mirror, written, base, policy=policy, limits=limits),
            ):
                pass
            old = self._files()
            aside.replace(self._folder / f"{self._stem}.{base}.bundle")
            flush_folder(self._folder)  # what is called kept outlives a power cut
            flush_folder(self._folder.parent)
            for path in old:
                if path.name != f"{self._stem}.{base}.bundle":
                    path.unlink()
        finally:
            aside.unlink(missing_ok=True)

    def set_aside(self) -> None:
        """What cannot be brought back stands in nobody's way any more, and is left for people to look at."""
        for path in self._files():
            path.replace(path.with_name(f"{path.name}.unusable"))

    def drop(self) -> None:
        """Keep nothing any more."""
        for path in self._files():
            path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._stem}.*.bundle"))


def as_work(mirror: Mirror, commit: CommitSha, base: CommitSha) -> AsyncGenerator[bytes, None]:
    """A commit of ours on `base`, as the sandbox that it came from would hand it out: to be kept as well."""
    return mirror.bundle(commit, [base], TURN_REF)


async def _write(path: Path, chunks: AsyncIterator[bytes], most: int) -> None:
    """On the disk when this returns; what is larger than `most` is cut, and refused by the quarantine."""
    size = 0
    with path.open("wb") as file:
        async for chunk in chunks:
            size += len(chunk)
            file.write(chunk)
            if size > most:
                break
        file.flush()
        os.fsync(file.fileno())


async def _read(path: Path) -> AsyncGenerator[bytes, None]:
    with path.open("rb") as file:
        while chunk := file.read(_MIB):
            yield chunk
