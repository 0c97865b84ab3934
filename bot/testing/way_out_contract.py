"""The part of the contract of providers about the one way out of a sandbox, and the folders it is given.

Needed inside a sandbox: Python 3.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bot.domain import AGENT_FOLDER, GATEWAY_URL, Process, Provider, Sandbox
from bot.errors import SandboxGone
from bot.testing.inside import SPEC, shell, until

WAIT_SECONDS = 20
MIB = 10
# Python for inside: `connect()` as any program would, `end(c)` tells how the other side ended it.
INSIDE = f"""
import hashlib, os, socket, sys, threading
GATEWAY = ({urlsplit(GATEWAY_URL).hostname!r}, {urlsplit(GATEWAY_URL).port})
def connect(address=GATEWAY):
    return socket.create_connection(address, {WAIT_SECONDS})
def ask(word, address=GATEWAY):
    try:
        with connect(address) as c:
            c.sendall(word + b"\\n")
            return c.makefile("rb").readline().decode().strip() or "nothing"
    except ConnectionError:
        return "nothing"
def end(c):
    try:
        return "ended" if c.recv(1) == b"" else "data"
    except ConnectionError:
        return "cut"
def say(*words):
    print(*words, flush=True)
"""
GREET = INSIDE + "print(ask(b'hello'))"
HOLD = INSIDE + "c = connect(); c.sendall(b'held\\n'); say(c.makefile().readline()); say(end(c))"
MEGABYTES = f"""
c, got, data = connect(), hashlib.sha256(), os.urandom({MIB} << 20)
threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR))).start()
while piece := c.recv(1 << 16):
    got.update(piece)
say(hashlib.sha256(data).hexdigest(), got.hexdigest())
"""
# Every way to come to stand where the gateway is; each that is let listen is then asked for what it heard.
TAKE_OVER = """
heard, held = [], []
def listen(family, address, *options):
    each = socket.socket(family)
    for level, option in options:
        each.setsockopt(level, option, 1)
    try:
        each.bind(address)
        each.listen()
    except OSError:
        return each.close()
    held.append(each)
    threading.Thread(target=lambda: heard.append(each.accept()[0].recv(100)), daemon=True).start()
port = GATEWAY[1]
shared = [(), ((socket.SOL_SOCKET, socket.SO_REUSEADDR),), ((socket.SOL_SOCKET, socket.SO_REUSEPORT),)]
shared.append(shared[1] + shared[2])
for options in shared:
    for host in (GATEWAY[0], "0.0.0.0", "127.0.0.2", "127.255.255.255"):
        listen(socket.AF_INET, (host, port), *options)
    for host in ("::", "::ffff:127.0.0.1", "::1"):
        listen(socket.AF_INET6, (host, port), *options)
        listen(socket.AF_INET6, (host, port), (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), *options)
print(sorted({ask(b"secret") for _ in range(20)}), heard)
for each in held:
    if each.getsockname()[0] in (GATEWAY[0], "0.0.0.0", "::ffff:127.0.0.1"):
        print("took", each.getsockname())
"""


class Teller:
    """An egress that answers each line with its own name before it, and counts who came."""

    def __init__(self, name: str = "egress") -> None:
        self.name = name
        self.came = 0
        self.over = asyncio.Semaphore(0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        try:
            while line := await reader.readline():
                writer.write(f"{self.name} {line.decode()}".encode())
                await writer.drain()
        finally:
            writer.close()
            self.over.release()


class Mirror:
    """An egress that gives back what it gets."""

    def __init__(self) -> None:
        self.got = hashlib.sha256()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1 << 16):
            self.got.update(piece)
            writer.write(piece)
            await writer.drain()
        writer.close()


class Stuck:
    """An egress that answers, and then waits for something other than its client."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        try:
            await asyncio.Event().wait()
        finally:
            self.over.set()


class Broken:
    """An egress that fails at whatever it is told."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        raise RuntimeError("it is broken")


async def python(sandbox: Sandbox, script: str) -> str:
    """What a Python program inside prints."""
    process = await sandbox.exec(["python3", "-I", "-S", "-c", script])
    said = b"".join([piece async for piece in process.stdout()]).decode().strip()
    errors = b"".join([piece async for piece in process.stderr()])
    assert await process.wait() == 0, errors
    return said


@asynccontextmanager
async def holding(sandbox: Sandbox) -> AsyncIterator[Process]:
    """A program inside that has an open connection, and says how that ends."""
    process = await sandbox.exec(["python3", "-I", "-S", "-c", HOLD])
    await until(process, b"held\n")
    yield process
    await process.kill()


class WayOutContract:
    """See `ProviderContract`, which has the fixtures."""

    async def test_nothing_leads_out_of_a_new_sandbox(self, sandbox: Sandbox) -> None:
        assert await python(sandbox, GREET) == "nothing"

    async def test_what_is_sent_to_the_gateway_arrives_and_is_answered(self, sandbox: Sandbox) -> None:
        await sandbox.set_egress(Teller())
        assert await python(sandbox, GREET) == "egress hello"

    async def test_megabytes_reach_the_gateway_and_come_back_unchanged(self, sandbox: Sandbox) -> None:
        mirror = Mirror()
        await sandbox.set_egress(mirror)
        sent, received = (await python(sandbox, INSIDE + MEGABYTES)).split()
        assert mirror.got.hexdigest() == sent
        assert received == sent

    async def test_without_an_egress_what_is_open_is_cut_and_nothing_else_let_out(
        self, sandbox: Sandbox
    ) -> None:
        teller = Teller()
        await sandbox.set_egress(teller)
        async with holding(sandbox) as process:
            await sandbox.set_egress(None)
            await asyncio.wait_for(teller.over.acquire(), WAIT_SECONDS)
            await until(process, b"cut")
        assert await python(sandbox, GREET) == "nothing"
        assert teller.came == 1

    async def test_what_an_egress_waits_for_does_not_keep_it(self, sandbox: Sandbox) -> None:
        stuck = Stuck()
        await sandbox.set_egress(stuck)
        async with holding(sandbox) as process:
            await sandbox.set_egress(None)
            assert stuck.over.is_set()
            await until(process, b"cut")

    async def test_another_egress_gets_new_connections_alone(self, sandbox: Sandbox) -> None:
        first, second = Teller("first"), Teller("second")
        await sandbox.set_egress(first)
        async with holding(sandbox) as process:
            await sandbox.set_egress(second)
            await until(process, b"cut")
        assert await python(sandbox, GREET) == "second hello"
        assert (first.came, second.came) == (1, 1)

    async def test_two_sandboxes_never_reach_each_others_egress(
        self, provider: Provider, sandbox: Sandbox
    ) -> None:
        other = await provider.create(SPEC)
        await asyncio.gather(sandbox.set_egress(Teller("mine")), other.set_egress(Teller("its")))
        said = await asyncio.gather(*(python(each, GREET) for each in (sandbox, other) * 3))
        assert said == ["mine hello", "its hello"] * 3
        await other.set_egress(None)
        assert [await python(each, GREET) for each in (sandbox, other)] == ["mine hello", "nothing"]
        await other.terminate()
        assert await python(sandbox, GREET) == "mine hello"

    async def test_no_program_can_take_the_gateways_place(self, sandbox: Sandbox) -> None:
        await sandbox.set_egress(Teller())
        assert await python(sandbox, INSIDE + TAKE_OVER) == "['egress secret'] []"

    async def test_an_egress_that_fails_ends_that_connection_alone(
        self, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        await sandbox.set_egress(Broken())
        assert await python(sandbox, GREET) == "nothing"
        assert "it is broken" in caplog.text
        assert "never retrieved" not in caplog.text
        await sandbox.set_egress(Teller())
        assert await python(sandbox, GREET) == "egress hello"

    async def test_the_end_of_a_sandbox_ends_its_connections(self, provider: Provider) -> None:
        sandbox, teller = await provider.create(SPEC), Teller()
        await sandbox.set_egress(teller)
        async with holding(sandbox):
            await sandbox.terminate()
        await asyncio.wait_for(teller.over.acquire(), WAIT_SECONDS)
        await sandbox.set_egress(None)
        with pytest.raises(SandboxGone):
            await sandbox.set_egress(teller)

    async def test_a_folder_it_was_given_is_read_and_run_but_not_written(
        self, provider: Provider, tmp_path: Path
    ) -> None:
        folder = tmp_path / "agent"
        (folder / "bin").mkdir(parents=True)
        program = folder / "bin" / "program"
        program.write_text("#!/bin/sh\necho I run\n")
        for each in (folder, folder / "bin", program):
            each.chmod(0o777)  # it is not the modes that keep it from writing
        sandbox = await provider.create(replace(SPEC, folders={AGENT_FOLDER: folder}))
        write = "echo x > bin/new; echo x >> bin/program; rm bin/program; chmod 700 bin/program bin"
        done = await shell(sandbox, f"bin/program; {write}; bin/program", cwd=AGENT_FOLDER)
        restored = await provider.create(replace(SPEC, image=await sandbox.snapshot()))
        left = await shell(restored, f"ls {AGENT_FOLDER}")
        await asyncio.gather(sandbox.terminate(), restored.terminate())
        assert done.stdout == b"I run\n" * 2, done.stderr
        assert [path.name for path in (folder / "bin").iterdir()] == ["program"]
        assert program.stat().st_mode & 0o777 == 0o777
        assert left.stdout == b""
