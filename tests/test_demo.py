"""The demo as people run it: two processes, one line once ready, and kill -9 loses nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

PREFIX = "leakmark"
Json = dict[str, Any]


class Demo:
    """A running demo: its process and the facts it printed."""

    def __init__(self, process: asyncio.subprocess.Process, facts: Json, http: aiohttp.ClientSession) -> None:
        self.process = process
        self.facts = facts
        self._http = http

    async def control(self, http_method: str, action: str, **arguments: Any) -> Any:
        url = f"{self.facts['control']}/control/{action}"
        options: Json = {"params": arguments} if http_method == "GET" else {"json": arguments}
        headers = {"X-Playground-Token": self.facts["token"]}
        async with self._http.request(http_method, url, headers=headers, **options) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def thread(self, channel: str, ts: str) -> list[Json]:
        return list((await self.control("GET", "thread", channel=channel, ts=ts))["messages"])


@asynccontextmanager
async def demo(data: Path) -> AsyncIterator[Demo]:
    """Started as a script starts it; ended with all that belongs to it."""
    command = [sys.executable, "-m", "bot", "demo", "--data", str(data), "--json", "--secret-prefix", PREFIX]
    if not data.exists():
        command += ["--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    try:
        async with aiohttp.ClientSession() as http:
            facts = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
            yield Demo(process, facts, http)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 60)


async def ended(pid: int) -> None:
    """Returns once this process is gone."""
    async with asyncio.timeout(60):
        with suppress(ProcessLookupError):
            while "Z" not in Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()[0]:
                os.kill(pid, 0)
                await asyncio.sleep(0.05)
        return


async def test_everything_is_killed_in_mid_turn_and_the_next_start_finishes_it(tmp_path: Path) -> None:
    """Same address, same tokens; one pull request, one final message, no stream; no secret in a log."""
    async with demo(tmp_path / "demo") as first:
        state = await first.control("GET", "state")
        channel = next(each["id"] for each in state["channels"] if each["name"] == "web")
        ada = next(each["id"] for each in state["users"] if each["name"] == "ada")
        said = {
            "channel": channel,
            "user": ada,
            "text": '@threadsmith create a.txt with "a" then wait 2 seconds',
        }
        ts = (await first.control("POST", "message", **said))["ts"]
        async with asyncio.timeout(60):
            while not any("Wait 2 seconds" in json.dumps(m) for m in await first.thread(channel, ts)):
                await asyncio.sleep(0.05)
        os.killpg(first.process.pid, signal.SIGKILL)
        for pid in first.facts["pids"].values():
            await ended(pid)
    async with demo(tmp_path / "demo") as second:
        assert {k: v for k, v in second.facts.items() if k != "pids"} == {
            k: v for k, v in first.facts.items() if k != "pids"
        }
        answer = await second.control("GET", "idle", timeout="60")
        assert answer["idle"], answer
        [pull] = await second.control("GET", "pulls")
        assert (pull["files"], len(pull["commits"]), pull["author"]) == (["a.txt"], 1, "ada-sample")
        messages = await second.thread(channel, ts)
        assert len([m for m in messages if "Done." in m["text"]]) == 1
        assert not [m for m in messages if m["streaming"]]
        second.process.kill()  # the demo alone: what it started does not outlive it
        for pid in second.facts["pids"].values():
            await ended(pid)
    secrets = [path.read_text() for path in (tmp_path / "demo" / "secrets").iterdir()]
    assert secrets
    assert all(PREFIX in secret for secret in secrets)
    for log in (tmp_path / "demo" / "logs").iterdir():
        assert PREFIX not in log.read_text()
