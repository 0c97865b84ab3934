"""A gateway on loopback: real doors over real sockets; only the internet behind them is a stand-in."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bot.config_gateway import BudgetSettings, GatewaySettings, RouteKind, RouteSettings
from bot.domain import PromptId, Repository, SessionId, Spender
from bot.gateway import Budget, Denial, Gateway, Usage
from bot.gateway.bounds import Deadlines
from bot.gateway.door import Door
from bot.gateway.outside import STREAM_BYTES
from storage import Secret, StateFile

KEY = "key-of-the-service-0123456789"
PUBLIC = "93.184.216.34"
WAIT_SECONDS = 20  # for what comes at once, on a machine that is busy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Heard:
    """A turn: it remembers what its door told it, and answers tools by `answer`."""

    def __init__(self) -> None:
        self.denials: list[Denial] = []
        self.messages: list[Mapping[str, Any]] = []
        self.answer: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] = lambda message: None

    async def denied(self, denial: Denial) -> None:
        self.denials.append(denial)

    async def used(self, usage: Usage) -> None: ...
    async def warned(self, budget: Budget) -> None: ...
    async def exceeded(self, budget: Budget) -> None: ...
    async def model_trouble(self, what: str) -> None: ...
    async def tool(self, message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        self.messages.append(message)
        return self.answer(message)

    @property
    def where(self) -> list[str]:
        return [denial.where for denial in self.denials]


@dataclass
class World:
    """The stand-in internet: names, and what listens at addresses (on a loopback port)."""

    names: dict[str, Sequence[str]] = field(default_factory=dict)
    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    reached: list[tuple[str, int]] = field(default_factory=list)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]

    async def connect(self, address: str, port: int) -> Streams:
        self.reached.append((address, port))
        if (address, port) not in self.ports:
            raise ConnectionRefusedError
        return await asyncio.open_connection("127.0.0.1", self.ports[address, port], limit=STREAM_BYTES)

    def close(self) -> None: ...


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on loopback; its port. Every connection is closed when `serve` is done."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def self_signed(folder: Path) -> ssl.SSLContext:
    """TLS of a server that calls itself localhost, and whom nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    unlocked = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unlocked)
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Of a refusal."""
        return str(json.loads(self.body)["error"]["code"])


class Client:
    """A program in the sandbox, which may say anything."""

    def __init__(self, streams: Streams) -> None:
        self.reader, self.writer = streams

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        async with asyncio.timeout(WAIT_SECONDS):
            raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = raw.strip().split("\r\n")
        headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
        return Answer(int(first.split(" ")[1]), headers, b"")

    async def answer(self, silent: bool = False) -> Answer:
        """A whole answer."""
        found = await self.head()
        async with asyncio.timeout(WAIT_SECONDS):
            if silent or found.status in (204, 304):
                pass
            elif "content-length" in found.headers:
                found.body = await self.reader.readexactly(int(found.headers["content-length"]))
            elif found.headers.get("transfer-encoding") == "chunked":
                while piece := await self.chunk():
                    found.body += piece
            else:
                found.body = await self.reader.read()
        return found

    async def chunk(self) -> bytes:
        """The next chunk; b"" is the last. IncompleteReadError when the answer was cut."""
        async with asyncio.timeout(WAIT_SECONDS):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def ask(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Answer:
        lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1:3128", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        await self.say("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return await self.answer(silent=method == "HEAD")

    async def ended(self) -> bytes:
        """What is still said until the other side hangs up."""
        async with asyncio.timeout(WAIT_SECONDS):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


class House:
    """A gateway, and the doors that a test opens."""

    def __init__(self, stack: AsyncExitStack, gateway: Gateway, world: World) -> None:
        self._stack, self.gateway, self.world = stack, gateway, world
        self._count = 0

    async def open(self, repository: str = "acme/web", egress: Sequence[str] = ()) -> Opened:
        self._count += 1
        spender = Spender(SessionId(f"session-{self._count}"), PromptId(self._count), "U1", repository)
        heard = Heard()
        door = self.gateway.door(spender, Repository(repository, egress=tuple(egress)), heard)
        port = await self._stack.enter_async_context(listening(door.serve))
        self._stack.push_async_callback(door.close)
        return Opened(self._stack, door, heard, port)


@dataclass
class Opened:
    """One turn's door, and where it listens."""

    _stack: AsyncExitStack
    door: Door
    heard: Heard
    port: int

    async def client(self) -> Client:
        streams = await asyncio.open_connection("127.0.0.1", self.port)
        self._stack.callback(streams[1].close)
        return Client(streams)

    async def ask(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Answer:
        """On a connection of its own."""
        client = await self.client()
        try:
            return await client.ask(target, *headers, method=method, body=body)
        finally:
            client.writer.close()

    async def open_connections(self, number: int) -> None:
        """Wait until only so many are."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(open_now := list(self.door._open)) > number:
                await asyncio.wait(open_now, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(0)

    async def connect(self, target: str, *headers: str) -> tuple[Client, Answer]:
        client = await self.client()
        lines = [f"CONNECT {target} HTTP/1.1", *(headers or [f"Host: {target}"]), "", ""]
        await client.say("\r\n".join(lines).encode("latin-1"))
        found = await client.head()
        if found.status != 200:
            found.body = await client.reader.readexactly(int(found.headers["content-length"]))
        return client, found


def plain(name: str, port: int, secret: str | None = KEY, **more: Any) -> RouteSettings:
    """A route to a service on loopback."""
    more.setdefault("upstream", f"http://127.0.0.1:{port}/base")
    key = None if secret is None else Secret(secret, "env SERVICE_KEY")
    return RouteSettings(name=name, kind=RouteKind.PLAIN, secret=key, **more)


@asynccontextmanager
async def gateway(
    world: World | None = None, deadlines: Deadlines | None = None, **settings: Any
) -> AsyncIterator[House]:
    """A gateway with these settings. It has no state: nothing that spends is asked for here."""
    world = World() if world is None else world
    state = cast(StateFile, None)
    made = Gateway(GatewaySettings(**settings), BudgetSettings(), state, outside=world, deadlines=deadlines)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(made.close)
        yield House(stack, made, world)
