"""Child processes that cannot get out of hand: own group, time limit, output limit, kernel limits."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

CHUNK = 64 * 1024
KEPT_STDERR = 64 * 1024


@dataclass(frozen=True, slots=True)
class KernelLimits:
    """What the kernel holds a process to that works on hostile input. `file_mib` bounds each file written."""

    memory_mib: int = 2048
    cpu_seconds: int = 120
    file_mib: int = 512


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one command may use. `kernel` is set for commands that read what a sandbox made."""

    seconds: float = 60.0
    output_bytes: int = 16 * 1024 * 1024
    kernel: KernelLimits | None = None


# A shell builtin and not preexec_fn: Python between fork and exec can deadlock in a process with threads.
# Memory is in KiB, files in blocks of 512 bytes (POSIX).
_LIMITED = 'ulimit -v "$1" && ulimit -t "$2" && ulimit -f "$3" && ulimit -c 0 && shift 3 && exec "$@"'


def limited(argv: Sequence[str], kernel: KernelLimits | None) -> list[str]:
    """The same command under the kernel's limits."""
    if kernel is None:
        return list(argv)
    numbers = (kernel.memory_mib * 1024, kernel.cpu_seconds, kernel.file_mib * 2048)
    return ["/bin/sh", "-c", _LIMITED, "sh", *map(str, numbers), *argv]


@dataclass(slots=True)
class Job:
    """A running command. `stopped_by` says which bound ended it, "" when none did."""

    process: asyncio.subprocess.Process
    bounds: Bounds
    stopped_by: str = ""
    _stderr: bytearray = field(default_factory=bytearray)

    def stop(self, why: str) -> None:
        """Kill the whole group; only while the leader is not reaped, since its number may be reused later."""
        if self.process.returncode is None:
            self.stopped_by = self.stopped_by or why
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Its standard output, up to the bound; beyond it the command is stopped."""
        assert self.process.stdout is not None
        seen = 0
        while chunk := await self.process.stdout.read(CHUNK):
            seen += len(chunk)
            if seen > self.bounds.output_bytes:
                self.stop("output")
                return
            yield chunk

    async def output(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def feed(self, data: bytes) -> None:
        """Write `data` to its standard input and close it; a reader that left early is not an error here."""
        writer = self.process.stdin
        if writer is None:
            return
        with suppress(BrokenPipeError, ConnectionResetError):
            writer.write(data)
            await writer.drain()
        writer.close()
        with suppress(BrokenPipeError, ConnectionResetError):
            await writer.wait_closed()

    async def listen(self) -> str:
        """Read standard error to its end, keeping the last of it."""
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(CHUNK):
            self._stderr += chunk
            del self._stderr[:-KEPT_STDERR]
        return self._stderr.decode("utf-8", "replace")

    async def wait(self) -> int:
        return await self.process.wait()


@asynccontextmanager
async def started(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    bounds: Bounds,
    stdin: IO[bytes] | None = None,
    fds: Sequence[int] = (),
) -> AsyncIterator[Job]:
    """Start `argv` in a group of its own; at the end of the block nothing of it runs any more.

    `stdin` is an open file, or None for a pipe to `Job.feed`. `fds` stay open in the child.
    """
    process = await asyncio.create_subprocess_exec(
        *limited(argv, bounds.kernel),
        stdin=asyncio.subprocess.PIPE if stdin is None else stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(env),
        cwd="/",
        start_new_session=True,
        pass_fds=tuple(fds),
    )
    job = Job(process, bounds)
    alarm = asyncio.get_running_loop().call_later(bounds.seconds, job.stop, "time")
    try:
        yield job
    finally:
        alarm.cancel()
        job.stop("end")
        await _drained(process)


async def _drained(process: asyncio.subprocess.Process) -> None:
    """Read what is left in its pipes (else newer Pythons wait forever for a full one), reap it, close all."""
    for pipe in (process.stdout, process.stderr):
        while pipe is not None and await pipe.read(CHUNK):
            pass
    await process.wait()
    transport = getattr(
        process, "_transport", None
    )  # a pipe to its stdin may still be open, and Python warns
    if transport is not None:
        transport.close()
