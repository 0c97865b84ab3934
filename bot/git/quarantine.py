"""Where a sandbox's bundle is unpacked and looked at before anything of it may touch a mirror.

A throwaway bare repository of the host's own, no token near it, the mirror only as a read-only alternate,
every command under kernel limits, no work tree ever. The bundle's header is read here, and its pack goes
straight to `git index-pack --strict`: fetching from a bundle does not check its objects before git 2.46.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bot.domain import CommitSha
from bot.errors import GitError
from bot.git.failures import FailureKind, GitFailure, Refused
from bot.git.inspection import Policy, inspect_changes
from bot.git.mirror import Mirror, checked_sha
from bot.git.process import Bounds, KernelLimits

TURN_REF = "refs/threadsmith/turn"  # the one ref a sandbox's bundle may carry
MIB = 1024 * 1024
HEADER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class QuarantineLimits:
    """Bounds of one bundle and of the work on it."""

    bundle_mib: int = 256
    seconds: float = 120
    kernel: KernelLimits = field(default_factory=KernelLimits)

    @property
    def bounds(self) -> Bounds:
        return Bounds(seconds=self.seconds, output_bytes=16 * MIB, kernel=self.kernel)


@dataclass(frozen=True, slots=True)
class Collected:
    """A checked tree, still in quarantine. `outside_links` are symbolic links that lead out of it."""

    tree: str
    base: CommitSha
    changed_files: int
    outside_links: tuple[str, ...]
    git_dir: Path
    limits: QuarantineLimits


@asynccontextmanager
async def collect(
    mirror: Mirror,
    bundle: AsyncIterator[bytes],
    base: CommitSha,
    *,
    policy: Policy | None = None,
    limits: QuarantineLimits | None = None,
) -> AsyncIterator[Collected]:
    """Unpack and check what a sandbox handed out as its work on `base`; deleted at the end of the block.

    Refused (a GitError) names the rule that was broken. Only the tree counts: the commit around it, its
    author and its parents are the sandbox's word and never used.
    """
    limits = QuarantineLimits() if limits is None else limits
    if not await mirror.contains(base):
        raise GitError(f"The turn started from {base[:12]}, which is not in the mirror; fetch first.")
    mirror.scratch.mkdir(exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix="turn-", dir=mirror.scratch))  # 0700
    try:
        git_dir = await _empty_repository(mirror, folder)
        with (folder / "bundle").open("w+b") as file:
            await _receive(bundle, file, limits.bundle_mib * MIB)
            commit, start = _header(file, base)
            await _unpack(mirror, git_dir, file, start, limits)
        tree = await _connected_tree(mirror, git_dir, commit, base, limits)
        found = await inspect_changes(mirror.git, git_dir, base, tree, policy or Policy(), limits.bounds)
        yield Collected(tree, base, found.count, found.outside_links, git_dir, limits)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _empty_repository(mirror: Mirror, folder: Path) -> Path:
    git_dir = folder / "repository.git"
    await mirror.git.run("init", "--quiet", "--bare", "--template=", str(git_dir))
    objects = str((mirror.path / "objects").resolve())
    if "\n" in objects or objects.startswith("#"):
        raise GitError("The data folder's path must not hold a line break.")
    (git_dir / "objects/info").mkdir(exist_ok=True)
    (git_dir / "objects/info/alternates").write_text(f"{objects}\n")
    return git_dir


async def _receive(bundle: AsyncIterator[bytes], file: IO[bytes], most: int) -> None:
    size = 0
    async for chunk in bundle:
        size += len(chunk)
        if size > most:
            raise Refused(
                f"The changes are larger than {most // MIB} MiB packed. Ask for a smaller change, "
                "or to leave built and downloaded files out (.gitignore)."
            )
        file.write(chunk)
    file.flush()


def _header(file: IO[bytes], base: CommitSha) -> tuple[CommitSha, int]:
    """The commit it carries and where its pack begins. Refused unless it is one ref on top of `base`."""
    file.seek(0)
    head, found, _ = file.read(HEADER_BYTES).partition(b"\n\n")
    lines = head.decode("utf-8", "replace").split("\n")
    if not found or lines[0] != "# v2 git bundle":
        raise Refused("The sandbox did not hand out a git bundle; the turn's files could not be read.")
    needs = [line[1:41] for line in lines[1:] if line.startswith("-")]
    refs = [line for line in lines[1:] if not line.startswith("-")]
    if any(need != base for need in needs):
        raise Refused(
            f"The sandbox's work builds on something else than {base[:12]}, where the turn started."
        )
    sha, _, name = refs[0].partition(" ") if len(refs) == 1 else ("", "", "")
    if name != TURN_REF:
        raise Refused(f"The sandbox's bundle must hold {TURN_REF} and nothing else.")
    return checked_sha(sha), len(head) + 2


async def _unpack(
    mirror: Mirror, git_dir: Path, file: IO[bytes], start: int, limits: QuarantineLimits
) -> None:
    file.seek(start)
    # One thread keeps its memory predictable; --strict checks every object and that all they name is there,
    # and lets strange modes pass unless it is told.
    strict = "--strict=badFilemode=error"
    args = ("index-pack", "--stdin", "--fix-thin", strict, f"--max-input-size={limits.bundle_mib * MIB}")
    try:
        await mirror.git.run(
            *args,
            "--threads=1",
            git_dir=git_dir,
            what="Checking the sandbox's work",
            stdin=file,
            bounds=limits.bounds,
        )
    except GitFailure as error:
        raise _why(error, limits, "The sandbox's work holds something that git refuses.") from None


async def _connected_tree(
    mirror: Mirror, git_dir: Path, commit: CommitSha, base: CommitSha, limits: QuarantineLimits
) -> str:
    """The commit's tree, once it is sure that everything below it is here."""
    try:
        args = ("rev-list", "--objects", "--quiet", commit, "--not", base)
        await mirror.git.run(*args, git_dir=git_dir, bounds=limits.bounds)
        name = f"{commit}^{{commit}}^{{tree}}"
        output = await mirror.git.run("rev-parse", "--verify", name, git_dir=git_dir, bounds=limits.bounds)
    except GitFailure as error:
        raise _why(error, limits, "The sandbox's work is incomplete.") from None
    return checked_sha(output.text)


def _why(error: GitFailure, limits: QuarantineLimits, verdict: str) -> GitFailure:
    """What to say of a check that did not end well: the verdict, or the bounds that it hit."""
    if error.kind is FailureKind.FAILED:
        return Refused(f"{verdict} {error}")
    if error.kind is not FailureKind.TOO_LARGE:
        return error
    kernel = limits.kernel
    return GitFailure(
        f"The sandbox's work takes more than {kernel.memory_mib} MiB of memory, {kernel.cpu_seconds} s of a "
        f"processor or {kernel.file_mib} MiB of disk to check, or nests its folders too deeply. "
        "Ask for a smaller change.",
        FailureKind.TOO_LARGE,
    )
