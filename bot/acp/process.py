"""The process behind an agent: its stderr drained, its end known, and words for why it ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from bot.acp.text import ByteTail, clean_tail
from bot.domain import Process
from bot.errors import AgentError, SandboxError

STDERR_BYTES = 8 * 1024
SHOWN_CHARACTERS = 1_000  # of stderr, in the text of an error
EXIT_SECONDS = 2.0  # between the end of its output and its exit
KILL_SECONDS = 10.0


class Watched:
    """Owns what else than stdin and stdout there is of a process. Starts two tasks; `end` ends them."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._tail = ByteTail(STDERR_BYTES)
        self._stderr = asyncio.create_task(self._drain())
        self._exit = asyncio.create_task(self._wait())

    def last_words(self) -> str:
        """The end of its stderr as a sentence to append, or nothing."""
        text = clean_tail(self._tail.text(), SHOWN_CHARACTERS)
        return f" It wrote last: {text}" if text else ""

    async def obituary(self, name: str, doing: str, failure: Exception | None) -> Exception:
        """The error to raise for an agent whose stream has ended: what is known of why."""
        if isinstance(failure, AgentError | SandboxError):
            return failure
        await asyncio.wait({self._exit}, timeout=EXIT_SECONDS)
        if not self._exit.done():
            return AgentError(f"The agent {name} closed its output while it was {doing}.{self.last_words()}")
        code = self._exit.result()
        if isinstance(code, Exception):
            return code
        await asyncio.wait({self._stderr}, timeout=EXIT_SECONDS)
        return AgentError(
            f"The agent {name} ended ({_exit_words(code)}) while it was {doing}.{self.last_words()}"
        )

    async def end(self, grace_seconds: float) -> None:
        """Close its stdin, wait, kill. Returns once it has ended or can only be left to its sandbox."""
        if grace_seconds > 0 and not self._exit.done():
            await self._leave(grace_seconds)
        if not self._exit.done():
            with contextlib.suppress(OSError, SandboxError):
                await self._process.kill()
            await asyncio.wait({self._exit}, timeout=KILL_SECONDS)
        self._stderr.cancel()
        self._exit.cancel()
        await asyncio.wait({self._stderr, self._exit})

    async def _leave(self, grace_seconds: float) -> None:
        with contextlib.suppress(TimeoutError, OSError, SandboxError):
            async with asyncio.timeout(grace_seconds):
                await self._process.write_eof()
                await asyncio.wait({self._exit})

    async def _drain(self) -> None:
        """A full stderr pipe would block the agent, so somebody always reads it."""
        with contextlib.suppress(OSError, SandboxError):
            async for chunk in self._process.stderr():
                self._tail.feed(chunk)

    async def _wait(self) -> int | Exception:
        """The exit code, or what a provider raised instead: returned, so that asking twice is safe."""
        try:
            return await self._process.wait()
        except (OSError, SandboxError) as error:
            return error


def _exit_words(code: int) -> str:
    if code == -1:
        return "at its time limit"
    if code > 128:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(code - 128).name}"
    return f"exit code {code}"
