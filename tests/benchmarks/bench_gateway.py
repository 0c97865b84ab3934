"""What the way out of a sandbox costs: the same client inside and outside, the same service behind.

Inside, it asks for a route of the gateway; outside, for the service itself, on loopback. The service and the
clients are processes of their own; the gateway shares its event loop with the bot, as it always does.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from rows import Row, p50, row

from bot import GATEWAY_URL, Limits, Repository, Sandbox, SandboxSpec, Spender
from bot.config_gateway import BudgetSettings, GatewaySettings, RouteKind, RouteSettings
from bot.domain import PromptId, SessionId
from bot.gateway import Gateway
from bot.sandbox_io import run as run_inside
from plugins.sandbox_runner.local import LocalProvider
from plugins.sandbox_runner.settings import Settings
from storage import DataFolder, Executor, StateFile

ROUNDS, QUICK = 400, 80
TOGETHER = 16
STREAM_MIB = 64
SPEC = SandboxSpec(Limits(memory_mib=1024, disk_mib=1024))
DIRECT = "baseline: without sandbox and gateway"

# Answers /small with two bytes and /stream with STREAM_MIB, on connections that stay open. Says its port.
SERVICE = f"""
import asyncio
PIECE = b"x" * 65536
async def serve(reader, writer):
    try:
        while True:
            await answer(await reader.readuntil(b"\\r\\n\\r\\n"), writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def answer(head, writer):
    if not head.startswith(b"GET /stream"):
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        return
    writer.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
    for _ in range({STREAM_MIB} * 16):
        writer.write(b"10000\\r\\n" + PIECE + b"\\r\\n")
        await writer.drain()
    writer.write(b"0\\r\\n\\r\\n")
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

# Takes a base URL and a number of rounds; says seconds, by what was timed.
CLIENT = f"""
import http.client, json, sys, threading, time, urllib.parse
base, rounds = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2])
took = {{"small": [], "together": [], "first": [], "stream": []}}
def connect():
    made = http.client.HTTPConnection(base.hostname, base.port)
    made.connect()
    return made
def ask(connection, path):
    connection.request("GET", base.path + path)
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    return answer
def small(connection, count):
    for _ in range(count):
        begin = time.perf_counter()
        assert ask(connection, "/small").read() == b"ok"
        yield time.perf_counter() - begin
took["small"] = list(small(connect(), rounds))
each = max(1, rounds // {TOGETHER})
def many(connection):
    for _ in small(connection, each):
        pass
for _ in range(5):
    threads = [threading.Thread(target=many, args=(connect(),)) for _ in range({TOGETHER})]
    begin = time.perf_counter()
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    took["together"].append((time.perf_counter() - begin) / each / {TOGETHER})
connection = connect()
for _ in range(max(3, rounds // 80)):
    begin = time.perf_counter()
    answer = ask(connection, "/stream")
    got = len(answer.read(1))
    took["first"].append(time.perf_counter() - begin)
    while piece := answer.read1(1 << 18):
        got += len(piece)
    assert got == {STREAM_MIB} << 20, got
    took["stream"].append(time.perf_counter() - begin)
print(json.dumps(took))
"""
PYTHON = ["python3", "-I", "-c", CLIENT]
Took = dict[str, list[float]]


class Deaf:
    """A turn that is told nothing here."""

    async def denied(self, *_: object) -> None: ...
    async def used(self, *_: object) -> None: ...
    async def warned(self, *_: object) -> None: ...
    async def exceeded(self, *_: object) -> None: ...
    async def model_trouble(self, what: str) -> None: ...
    async def tool(self, *_: object) -> None: ...


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Both in turns, so that both meet the machine in the same state."""
    with tempfile.TemporaryDirectory() as folder:
        return {"rounds": rounds, "rows": asyncio.run(measure(Path(folder), rounds))}


async def measure(folder: Path, rounds: int) -> list[Row]:
    async with service() as port, sandbox_with_door(folder, port) as sandbox:
        ours, direct = Samples(), Samples()
        for _ in range(2):
            ours.add(await inside(sandbox, rounds // 2))
            direct.add(await outside(port, rounds // 2))
    return report(ours.took, direct.took)


class Samples:
    def __init__(self) -> None:
        self.took: Took = {}

    def add(self, more: Took) -> None:
        for name, seconds in more.items():
            self.took.setdefault(name, []).extend(seconds)


@asynccontextmanager
async def service() -> AsyncIterator[int]:
    """The service behind the route; its port."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVICE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def sandbox_with_door(folder: Path, port: int) -> AsyncIterator[Sandbox]:
    """A sandbox whose turn may use one plain route, to the service."""
    async with AsyncExitStack() as stack:
        executor = Executor()
        stack.callback(executor.close)
        (folder / "data").mkdir()
        state = await StateFile.open(DataFolder(folder / "data").state_path, executor)
        stack.push_async_callback(state.close)
        route = RouteSettings(name="bench", kind=RouteKind.PLAIN, upstream=f"http://127.0.0.1:{port}")
        gateway = Gateway(GatewaySettings(routes=[route]), BudgetSettings(), state)
        stack.push_async_callback(gateway.close)
        provider = LocalProvider(folder / "sandboxes", Settings.model_validate({}))
        stack.push_async_callback(provider.close)
        spender = Spender(SessionId("bench"), PromptId(1), "U1", "acme/web")
        sandbox = await provider.create(SPEC)
        await sandbox.set_egress(gateway.door(spender, Repository("acme/web"), Deaf()))
        yield sandbox


async def inside(sandbox: Sandbox, rounds: int) -> Took:
    done = await run_inside(sandbox, [*PYTHON, f"{GATEWAY_URL}/routes/bench", str(rounds)])
    assert done.code == 0, done.stderr
    took: Took = json.loads(done.stdout)
    return took


async def outside(port: int, rounds: int) -> Took:
    process = await asyncio.create_subprocess_exec(
        *PYTHON, f"http://127.0.0.1:{port}", str(rounds), stdout=subprocess.PIPE
    )
    said, _ = await process.communicate()
    took: Took = json.loads(said)
    return took


def report(ours: Took, direct: Took) -> list[Row]:
    def line(what: str, name: str, note: str) -> Row:
        return row(what, p50(ours[name]), p50(direct[name]), f"{note}; {DIRECT}")

    each, speed = 1000 / p50(ours["together"]), STREAM_MIB * 1.048576 * 1000 / p50(ours["stream"])
    return [
        line("request through the gateway", "small", "a plain route, one connection"),
        line(f"the same, {TOGETHER} at a time", "together", f"{each:.0f} requests/s"),
        line("first byte of a stream", "first", "from the request on"),
        line(f"{STREAM_MIB} MiB streamed", "stream", f"{speed:.0f} MB/s"),
    ]
