"""A program in a sandbox, and the pipes to it: real ones, read and written without a buffer of our own."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from bot import SandboxGone
from plugins.sandbox_runner.control import Control

CHUNK_BYTES = 64 * 1024
LINGER_SECONDS = 1.0  # how long a child that outlived its program may keep a silent stream open
TIMED_OUT = -1


class Pipe:
    """The host's end of a pipe; closed by `close`, or when nobody refers to it any more."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._waited_for = False
        self.close = weakref.finalize(self, os.close, descriptor)

    async def ready(self, write: bool = False) -> bool:
        """True once it can be read, or written. RuntimeError when somebody waits already."""
        if self._waited_for:
            raise RuntimeError("a stream of a sandbox's program has one reader, or one writer, at a time")
        loop = self._loop
        add, remove = (
            (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
        )
        event = asyncio.Event()
        self._waited_for = True
        add(self.descriptor, event.set)
        try:
            return await event.wait()
        finally:
            self._waited_for = False
            remove(self.descriptor)


class LocalProcess:
    """See `bot.Process`. `note` gives stderr a last line when a bound killed the program (code 137)."""

    def __init__(self, program: str, streams: tuple[int, int, int], note: Callable[[], str]) -> None:
        self.program = program
        self._stdin, self._stdout, self._stderr = (Pipe(descriptor) for descriptor in streams)
        self._ended: asyncio.Future[int | SandboxGone] = asyncio.get_running_loop().create_future()
        self._note = note
        self._writing = asyncio.Lock()
        self._control: Control | None = None
        self._number = 0
        self._killed = self._timed_out = False
        self._timer: asyncio.TimerHandle | None = None

    def started(self, control: Control, number: int, timeout_seconds: float | None) -> None:
        self._control, self._number = control, number
        if timeout_seconds is not None and not self._ended.done():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(timeout_seconds, self._out_of_time)

    def _out_of_time(self) -> None:
        self._timed_out = True
        self._killing = asyncio.ensure_future(self.kill())

    @property
    def over(self) -> bool:
        return self._ended.done()

    # -- streams -----------------------------------------------------------------------------

    def stdout(self) -> AsyncIterator[bytes]:
        return self._read(self._stdout)

    async def stderr(self) -> AsyncIterator[bytes]:
        async for chunk in self._read(self._stderr):
            yield chunk
        if await self._outcome() == 128 + 9 and (note := self._note()):
            yield f"{note}\n".encode()

    async def _read(self, pipe: Pipe) -> AsyncIterator[bytes]:
        while pipe.close.alive:
            try:
                chunk = os.read(pipe.descriptor, CHUNK_BYTES)
            except BlockingIOError:
                if await self._more(pipe):
                    continue
                chunk = b""
            if not chunk:
                pipe.close()
                return
            yield chunk

    async def _more(self, pipe: Pipe) -> bool:
        """Wait for something to read. False once the program is over and its stream stays silent."""
        if self._killed and self._ended.done():
            return False
        readable = asyncio.ensure_future(pipe.ready())
        either: list[asyncio.Future[Any]] = [readable, self._ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not readable.done() and not self._killed:
                await asyncio.wait([readable], timeout=LINGER_SECONDS)
            return readable.done() and readable.result()
        finally:
            readable.cancel()

    async def write(self, data: bytes) -> None:
        async with self._writing:
            left = memoryview(data)
            while left:
                left = left[await self._write_some(left) :]

    async def _write_some(self, data: memoryview) -> int:
        if not self._stdin.close.alive:
            raise BrokenPipeError(f"the stdin of {self.program} is closed")
        try:
            return os.write(self._stdin.descriptor, data)
        except BlockingIOError:
            pass
        writable = asyncio.ensure_future(self._stdin.ready(write=True))
        either: list[asyncio.Future[Any]] = [writable, self._ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not writable.done() or not writable.result():
                raise BrokenPipeError(f"{self.program} ended and took no more input")
        finally:
            writable.cancel()
        return 0

    async def write_eof(self) -> None:
        async with self._writing:
            self._stdin.close()

    # -- its end -----------------------------------------------------------------------------

    async def wait(self) -> int:
        outcome = await self._outcome()
        if isinstance(outcome, SandboxGone):
            raise SandboxGone(str(outcome))
        return outcome

    async def _outcome(self) -> int | SandboxGone:
        return await asyncio.shield(self._ended)

    async def kill(self) -> None:
        self._killed = True
        if self._control is not None:
            with suppress(SandboxGone):
                await self._control.kill(self._number)

    def exited(self, code: int) -> None:
        """Told by the supervisor."""
        self._end(TIMED_OUT if self._timed_out else code)

    def lost(self, why: SandboxGone) -> None:
        """Told by the sandbox that ended under it."""
        self._end(why)

    def _end(self, outcome: int | SandboxGone) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._ended.done():
            self._ended.set_result(outcome)
