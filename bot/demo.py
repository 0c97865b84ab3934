"""`threadsmith demo`: a playground and a bot as two processes on loopback, watched and started again.

It starts nothing but this program itself, and ends both when it ends, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import aiohttp

from bot.errors import UserError

_READY_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1
_CALM_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 30.0


@dataclass
class Child:
    """One of the two processes. `arguments` are those of `python -m bot`."""

    name: str
    arguments: list[str]
    log: Path
    url: str  # answers 200 once it is up
    process: asyncio.subprocess.Process | None = None
    started: float = 0.0
    pause: float = field(default=0.2)

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    async def start(self) -> None:
        with _log(self.log) as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "bot",
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        self.started = time.monotonic()

    async def stop(self) -> None:
        process, self.process = self.process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def up(self, http: aiohttp.ClientSession) -> None:
        """Returns once it answers. UserError with the end of its log when it ends first, or never does."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if self.process is None or self.process.returncode is not None:
                break
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with http.get(self.url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                    if answer.status < 500:
                        return
            await asyncio.sleep(0.05)
        raise UserError(f"The {self.name} did not start. The end of {self.log}:\n{_tail(self.log)}")

    async def keep_running(self) -> None:
        """Start it again whenever it ends; slower and slower while it ends at once."""
        while self.process is not None:
            await self.process.wait()
            if self.process is None:
                return
            calm = time.monotonic() - self.started > _CALM_SECONDS
            self.pause = 0.2 if calm else min(self.pause * 2, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(self.pause)
            if self.process is not None:
                await self.start()


class Demo:
    """Both, until cancelled."""

    def __init__(self, playground: Child, bot: Child) -> None:
        self.playground = playground
        self.bot = bot

    async def run(self, ready: Callable[[], None]) -> None:
        """Start both, call `ready`, keep them running. UserError when one cannot start."""
        try:
            async with aiohttp.ClientSession() as http:
                await self.playground.start()
                await self.playground.up(http)
                await self.bot.start()
                await self.bot.up(http)
            ready()
            await asyncio.gather(self.playground.keep_running(), self.bot.keep_running())
        finally:
            await asyncio.gather(self.bot.stop(), self.playground.stop())


class Part(Protocol):
    """Something that is started, and closed again."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...


async def serving(part: Part, ready: Callable[[], None] = lambda: None) -> None:
    """Start it, call `ready`, and serve until cancelled."""
    await part.start()
    try:
        ready()
        await asyncio.Event().wait()
    finally:
        await part.close()


def until_interrupted(work: Any) -> None:
    """Run `work` until it ends or somebody says stop (Ctrl-C or a terminate signal)."""

    async def main() -> None:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())


def install_agent(name: str, folder: Path) -> None:
    """Have the agent's program here. It is the plugin's command, told of the settings in this folder."""
    # -P: a folder of the demo's is named `bot`, and is no package.
    command = [sys.executable, "-P", "-m", "bot", "agents", "install", name]
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise UserError(f"The agent {name} could not be installed; the reason stands above.")


def _log(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path.open("ab")


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:])


def _die_with_parent() -> None:
    """Ended by the kernel when the demo is killed, so that nothing of it is left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def json_line(facts: dict[str, Any]) -> str:
    return json.dumps(facts, separators=(",", ":"))
