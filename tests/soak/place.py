"""The demo as a process of its own, its control API, and what of it runs on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

Json = dict[str, Any]
START_SECONDS = 90
BACK_SECONDS = 90
PAGE = os.sysconf("SC_PAGESIZE")


class Refused(Exception):
    """The playground says no; nothing was done."""


class Unsure(Exception):
    """The playground went away meanwhile; it may have been done."""


@dataclass(frozen=True)
class Process:
    """One process for certain: a number is used again, a number and a start time are not."""

    pid: int
    started: str
    parent: int
    state: str
    command: str

    @property
    def alive(self) -> bool:
        now = read_process(self.pid)
        return now is not None and now.started == self.started and now.state != "Z"


def read_process(pid: int) -> Process | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    return Process(pid, fields[19], int(fields[1]), fields[0], command.strip())


def descendants(pid: int) -> list[Process]:
    """All processes below one, nearest first."""
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := read_process(int(name))) is not None:
            children.setdefault(process.parent, []).append(process)
    found, look = [], [pid]
    while look:
        below = children.get(look.pop(0), [])
        found += below
        look += [process.pid for process in below]
    return found


class Place:
    """A running demo. `facts` is the line it printed."""

    def __init__(self, process: asyncio.subprocess.Process, facts: Json, http: aiohttp.ClientSession) -> None:
        self.process = process
        self.facts = facts
        self.data = Path(facts["data"])
        self.log = self.data / "logs" / "bot.log"
        self._http = http

    # -- the control API ---------------------------------------------------------------------------

    async def act(self, action: str, **arguments: Any) -> Json:
        """Do something once. Raises Refused or Unsure."""
        return dict(await self._ask("POST", action, arguments))

    async def look(self, action: str, **arguments: Any) -> Any:
        """Read something, however often the playground goes away meanwhile. Raises Refused."""
        async with asyncio.timeout(BACK_SECONDS + float(arguments.get("timeout", 0))):
            while True:
                try:
                    return await self._ask("GET", action, arguments)
                except Unsure:
                    await asyncio.sleep(0.2)

    async def _ask(self, method: str, action: str, arguments: Json) -> Any:
        url = f"{self.facts['control']}/control/{action}"
        options: Json = {"params": arguments} if method == "GET" else {"json": arguments}
        headers = {"X-Playground-Token": self.facts["token"]}
        try:
            async with self._http.request(method, url, headers=headers, **options) as response:
                answer = await response.json()
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise Unsure(action) from error
        if response.status >= 500:
            raise Unsure(f"{action}: {answer}")
        if response.status >= 400:
            raise Refused(f"{action}: {answer}")
        return answer

    # -- its processes -----------------------------------------------------------------------------

    def part(self, name: str) -> Process | None:
        """The playground or the bot (`run`) as it runs now."""
        below = descendants(self.process.pid)
        return next((each for each in below if f" -m bot {name}" in f" {each.command}"), None)

    def inside(self) -> list[Process]:
        """What the bot has started: sandboxes, their agents, git."""
        bot = self.part("run")
        return [] if bot is None else descendants(bot.pid)

    def kill(self, process: Process | None) -> bool:
        """SIGKILL, if it is still the same."""
        if process is None or not process.alive:
            return False
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
            return True
        return False


def figures(process: Process | None) -> Json:
    """Memory in MiB and open files of a process; empty when it is gone."""
    if process is None:
        return {}
    with suppress(OSError):
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        return {"rss_mib": pages * PAGE // 2**20, "fds": len(os.listdir(f"/proc/{process.pid}/fd"))}
    return {}


def disk_mib(folder: Path) -> float:
    """What the files below a folder take; those that go away meanwhile count as nothing."""
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.lstat(os.path.join(root, name)).st_blocks * 512
    return round(size / 2**20, 1)


@asynccontextmanager
async def demo(data: Path) -> AsyncIterator[Place]:
    """Start one, and end it as a person does with Ctrl-C."""
    command = (sys.executable, "-m", "bot", "demo", "--data", str(data), "--json", "--port", "0")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    try:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=650)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            facts = json.loads(await asyncio.wait_for(process.stdout.readline(), START_SECONDS))
            yield Place(process, facts, http)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.communicate(), 60)
