"""Files and commands through a sandbox's pipes: the only way anything enters or leaves it."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from bot.domain import Process, Sandbox
from bot.errors import SandboxError

_OUTPUT_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program left: its exit code (-1 at its time limit) and its output, cut at a megabyte."""

    code: int
    stdout: bytes
    stderr: str


async def run(
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    stdin: AsyncIterator[bytes] | bytes = b"",
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 60.0,
) -> Completed:
    """Run a program to its end. Raises SandboxGone when the sandbox ended under it."""
    process = await sandbox.exec(argv, cwd=cwd, env=env, timeout_seconds=timeout_seconds)
    try:
        out, err, _ = await asyncio.gather(
            _take(process.stdout()), _take(process.stderr()), _feed(process, stdin)
        )
        return Completed(await process.wait(), out, err.decode(errors="replace"))
    except BaseException:
        await process.kill()
        raise


async def check(
    sandbox: Sandbox,
    argv: Sequence[str],
    doing: str,
    *,
    stdin: AsyncIterator[bytes] | bytes = b"",
    timeout_seconds: float = 60.0,
) -> bytes:
    """Like `run`, but anything but exit code 0 is a SandboxError that says what was being done."""
    done = await run(sandbox, argv, stdin=stdin, timeout_seconds=timeout_seconds)
    if done.code != 0:
        raise _failed(doing, done.code, done.stderr)
    return done.stdout


async def write_files(sandbox: Sandbox, folder: str, files: Mapping[str, bytes]) -> None:
    """Put files into a folder of the sandbox, with the folders above them: one archive through one pipe."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    script = 'mkdir -p -- "$1" && exec tar -x --no-same-owner -C "$1" -f -'
    command = ["/bin/sh", "-c", script, "write", folder]
    await check(sandbox, command, f"take in files for {folder}", stdin=archive.getvalue())


async def output(
    sandbox: Sandbox,
    argv: Sequence[str],
    doing: str,
    timeout_seconds: float,
    stdin: AsyncIterator[bytes] | bytes = b"",
) -> AsyncGenerator[bytes, None]:
    """The standard output of a program as it comes; SandboxError after it when the program failed."""
    process = await sandbox.exec(argv, timeout_seconds=timeout_seconds)
    errors = asyncio.create_task(_take(process.stderr()))
    feeding = asyncio.create_task(_feed(process, stdin))
    try:
        async for chunk in process.stdout():
            yield chunk
        await feeding
        code = await process.wait()
        if code != 0:
            raise _failed(doing, code, (await errors).decode(errors="replace"))
    finally:
        await process.kill()
        for task in (feeding, errors):
            task.cancel()
        await asyncio.gather(feeding, errors, return_exceptions=True)


def _failed(doing: str, code: int, stderr: str) -> SandboxError:
    last = " ".join(stderr.split())[-400:]
    return SandboxError(f"The sandbox could not {doing} (exit code {code}). {last}".strip())


async def _take(stream: AsyncIterator[bytes]) -> bytes:
    """All of a stream is read, so that its writer never blocks; only the first megabyte is kept."""
    kept = bytearray()
    async for chunk in stream:
        kept += chunk[: max(0, _OUTPUT_LIMIT - len(kept))]
    return bytes(kept)


async def _feed(process: Process, stdin: AsyncIterator[bytes] | bytes) -> None:
    try:
        if isinstance(stdin, bytes):
            if stdin:
                await process.write(stdin)
        else:
            async for chunk in stdin:
                await process.write(chunk)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it needed no more; its exit code tells whether that was right
    await process.write_eof()
