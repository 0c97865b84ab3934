"""The local way out of a sandbox, under programs and egresses that mean ill; and the folders it is given."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox_kit import LIMITS, a_provider, sh

from bot import AGENT_FOLDER, GATEWAY_URL, Egress, LeaseRequest, Sandbox, SandboxError, SandboxSpec
from bot.domain import Repository, SessionId
from bot.testing.inside import until
from bot.testing.way_out_contract import GREET, INSIDE, WAIT_SECONDS, Teller, holding, python
from plugins import sandbox_runner
from plugins.sandbox_runner import egress, supervisor
from plugins.sandbox_runner.local import LocalProvider
from plugins.sandbox_runner.sandbox import LocalSandbox

SPEC = SandboxSpec(LIMITS)
SO_BUF_LOCK, BOTH_FIXED = 72, 3
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[LocalProvider]:
    async with a_provider(tmp_path / "data") as provider:
        yield provider


@pytest.fixture
async def sandbox(provider: LocalProvider) -> LocalSandbox:
    return await provider.create(SPEC)


class By(Egress):
    """An egress that is one function."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer)


async def started(sandbox: Sandbox, script: str) -> None:
    """Leave a program running inside that has said "up"."""
    process = await sandbox.exec(["python3", "-I", "-S", "-c", INSIDE + script])
    await until(process, b"up\n")


def sockets() -> list[str]:
    """This process's own."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sorted(each for each in found if each.startswith("socket:"))


async def tasks_end(before: set[asyncio.Task[object]]) -> None:
    """Wait until no more tasks run than before."""
    async with asyncio.timeout(WAIT_SECONDS):
        while more := asyncio.all_tasks() - before:
            await asyncio.wait(more)


# -- the listener ----------------------------------------------------------------------------------


def test_the_listener_is_where_programs_are_told_the_gateway_is() -> None:
    host, port = supervisor.GATEWAY
    assert f"http://{host}:{port}" == GATEWAY_URL


@pytest.mark.proof("inside")
async def test_of_the_network_a_program_sees_the_one_listener(sandbox: LocalSandbox) -> None:
    look = "tail -qn +2 /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/unix | cut -c1-40"
    said = await sh(sandbox, look)
    listener, *unix = said.splitlines()
    assert listener.split()[1:4] == ["0100007F:0C38", "00000000:0000", "0A"]
    assert not any("@" in line for line in unix)


@pytest.mark.proof("inside")
async def test_no_program_inherits_the_listener_or_the_way_to_the_host(sandbox: LocalSandbox) -> None:
    assert "socket" not in await sh(sandbox, "ls -l /proc/[0-9]*/fd 2>/dev/null")


@pytest.mark.proof("inside")
async def test_what_a_snapshot_holds_does_not_change_the_listener(
    provider: LocalProvider, sandbox: LocalSandbox
) -> None:
    poison = "for m in _socket socket select struct os ctypes resource sitecustomize usercustomize encodings"
    await sh(sandbox, f"{poison}; do for d in . ~; do echo 'raise SystemExit' > $d/$m.py; done; done")
    await sh(sandbox, "mkdir -p ~/.local/lib; cp -r . ~/.local/lib/python3; echo home=/tmp > pyvenv.cfg")
    restored = await provider.create(replace(SPEC, image=await sandbox.snapshot()))
    await restored.set_egress(Teller())
    assert await python(restored, GREET) == "egress hello"


# -- many, half and stubborn connections -----------------------------------------------------------

CROWD = """
mine = []
for _ in range({count}):
    mine.append(connect())
served = 0
for each in mine:
    try:
        served += each.recv(1) == b"!"
    except ConnectionError:
        pass
say(served); say("up"); sys.stdin.read()
"""


@pytest.mark.proof("inside")
async def test_of_a_thousand_connections_the_first_few_are_served_and_the_others_closed(
    sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "A_SECOND", 10_000)
    came = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        writer.write(b"!")
        await reader.read()

    await sandbox.set_egress(By(serve))
    process = await sandbox.exec(["python3", "-I", "-S", "-c", INSIDE + CROWD.format(count=1000)])
    await until(process, f"{egress.CONNECTIONS}\nup\n".encode())
    assert came == egress.CONNECTIONS
    await sandbox.set_egress(Teller())
    assert await python(sandbox, GREET) == "egress hello"


@pytest.mark.proof("inside")
async def test_a_program_that_only_connects_has_to_wait(
    sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "AT_ONCE", 3)
    monkeypatch.setattr(egress, "A_SECOND", 5)
    await sandbox.set_egress(Teller())
    assert await python(sandbox, INSIDE + "print(*[ask(b'x') for _ in range(3)])") == " ".join(
        ["egress x"] * 3
    )
    assert sandbox._listener._pausing is not None
    assert await python(sandbox, GREET) == "egress hello"


@pytest.mark.proof("inside")
async def test_a_program_that_never_reads_is_cut_with_the_rest(sandbox: LocalSandbox) -> None:
    full, before = asyncio.Event(), asyncio.all_tasks()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 65536)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await writer.drain()
                    continue
            full.set()
            await writer.drain()

    await sandbox.set_egress(By(serve))
    await started(sandbox, "c = connect(); say('up'); sys.stdin.read()")
    await asyncio.wait_for(full.wait(), WAIT_SECONDS)
    await sandbox.set_egress(None)
    assert not sandbox._listener._open
    await sandbox.terminate()
    await tasks_end(before)


async def test_what_the_kernel_keeps_of_a_connection_does_not_grow(sandbox: LocalSandbox) -> None:
    locks = -1

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal locks
        with suppress(OSError):
            locks = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, SO_BUF_LOCK)

    await sandbox.set_egress(By(serve))
    await python(sandbox, GREET)
    if locks < 0:
        pytest.skip("kernels before 5.14 do not say whether the size of a buffer is fixed")
    assert locks == BOTH_FIXED


@pytest.mark.proof("inside")
async def test_an_answer_that_nobody_takes_is_given_up(
    sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The egress is done with it; what is left in our own buffers must not hold the connection for good."""
    monkeypatch.setattr(egress, "LINGER_SECONDS", 0.1)
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * (16 << 20))
        done.set()

    await sandbox.set_egress(By(serve))
    await started(sandbox, "c = connect(); say('up'); sys.stdin.read()")
    await asyncio.wait_for(done.wait(), WAIT_SECONDS)
    await asyncio.wait_for(asyncio.gather(*sandbox._listener._open), WAIT_SECONDS)


async def test_an_egress_that_will_not_end_keeps_nobody_waiting(
    sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(egress, "CUT_SECONDS", 0.1)
    let_go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        while not let_go.is_set():
            with suppress(asyncio.CancelledError):
                await let_go.wait()

    await sandbox.set_egress(By(serve))
    async with holding(sandbox) as process:
        try:
            await sandbox.set_egress(Teller())
            assert "1 cut connections" in caplog.text
            await until(process, b"cut")
            assert await python(sandbox, GREET) == "egress hello"
        finally:
            let_go.set()


async def test_what_fails_again_and_again_is_logged_once(
    sandbox: LocalSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        raise RuntimeError("it is broken")

    for times in (1, 2):
        await sandbox.set_egress(By(serve))
        assert await python(sandbox, INSIDE + "print({ask(b'x') for _ in range(20)})") == "{'nothing'}"
        assert caplog.text.count("RuntimeError: it is broken") == times


async def test_an_egress_may_close_the_way_out_while_it_serves(sandbox: LocalSandbox) -> None:
    """As a turn does that ends because of what its agent asked for."""
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sandbox.set_egress(None)
        closed.set()

    await sandbox.set_egress(By(serve))
    assert await python(sandbox, GREET) == "nothing"
    assert closed.is_set()


@pytest.mark.proof("inside")
async def test_nothing_of_it_outlives_its_sandbox(provider: LocalProvider) -> None:
    """A socket left open would keep the network of a dead sandbox alive."""
    await provider.ping()
    tasks, before = asyncio.all_tasks(), sockets()
    for _ in range(2):
        sandbox = await provider.create(SPEC)
        await sandbox.set_egress(Teller())
        await started(sandbox, "mine = [connect() for _ in range(50)]; say('up'); sys.stdin.read()")
        await sandbox.terminate()
        await tasks_end(tasks)
        assert sockets() == before


@pytest.mark.proof("inside")
async def test_a_sandbox_that_ends_by_itself_ends_its_connections(sandbox: LocalSandbox) -> None:
    teller = Teller()
    await sandbox.set_egress(teller)
    async with holding(sandbox):
        sandbox._started.kill()
        await asyncio.wait_for(teller.over.acquire(), WAIT_SECONDS)
        assert not await sandbox.alive()
        assert sandbox._listener._socket.fileno() == -1


# -- folders ---------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "file").write_text("of the agent")
    return folder


async def test_a_lease_gives_the_folders_that_were_asked_for(
    provider: LocalProvider, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a new sandbox, in a restored one, and in the new one that stands in for a lost snapshot."""
    plugin = sandbox_runner.Plugin()
    plugin._provider, plugin._settings = provider, provider._settings

    async def progress(line: str) -> None:
        pass

    request = LeaseRequest(SessionId("s"), Repository("a/b"), 1, None, progress, {AGENT_FOLDER: folder})
    first = await plugin.lease_sandbox(request)
    kept = replace(request, snapshot=await first.sandbox.snapshot())
    restored = await plugin.lease_sandbox(kept)
    assert kept.snapshot is not None
    await provider.discard(kept.snapshot)
    anew = await plugin.lease_sandbox(kept)
    assert [each.restored for each in (first, restored, anew)] == [False, True, False]
    for lease in (first, restored, anew):
        assert await sh(lease.sandbox, f"cat {AGENT_FOLDER}/file") == "of the agent"
        await lease.release()


@pytest.mark.parametrize(
    "place", ["opt/agent", "/opt", "/opt/", "/opt/../usr", "/opt/a/b", "/usr/local", "/workspace", "/opt/.."]
)
async def test_a_folder_goes_below_opt_and_nowhere_else(
    provider: LocalProvider, folder: Path, place: str
) -> None:
    with pytest.raises(SandboxError, match="only at /opt/NAME"):
        await provider.create(replace(SPEC, folders={place: folder}))


async def test_a_place_that_a_shared_folder_covers_is_refused(tmp_path: Path, folder: Path) -> None:
    """Else bubblewrap would have to make it in the host's folder."""
    if not Path("/opt").is_dir():
        pytest.skip("this machine has no /opt to share")
    async with a_provider(tmp_path / "data", read_only=["/opt"]) as provider:
        with pytest.raises(SandboxError, match="/opt of the host is there already"):
            await provider.create(replace(SPEC, folders={AGENT_FOLDER: folder}))


@pytest.mark.proof("inside")
async def test_no_home_and_nothing_of_the_bots_is_given(
    provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" / "me"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "link").symlink_to(home)
    data = tmp_path / "data"
    secret = [home, home.parent, tmp_path / "link", data, data / "sandboxes", data / "snapshots", Path("/")]
    secret += [Path(sys.prefix)] if sys.prefix != sys.base_prefix else []
    await provider.create(SPEC)
    for source in secret:
        with pytest.raises(SandboxError, match="cannot be given to a sandbox"):
            await provider.create(replace(SPEC, folders={AGENT_FOLDER: source}))


async def test_a_folder_that_is_not_there_is_named(provider: LocalProvider, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"nowhere, .* is not there"):
        await provider.create(replace(SPEC, folders={AGENT_FOLDER: tmp_path / "nowhere"}))


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's sandboxes run as the owner")
@pytest.mark.parametrize(("of", "mode"), [(".", 0o700), ("file", 0o600), ("file", 0o744), ("below", 0o750)])
async def test_what_only_its_owner_can_read_is_refused_with_what_to_type(
    provider: LocalProvider, folder: Path, of: str, mode: int
) -> None:
    (folder / "below").mkdir()
    (folder / of).chmod(mode)
    with pytest.raises(SandboxError, match=rf"chmod -R go\+rX {folder}"):
        await provider.create(replace(SPEC, folders={AGENT_FOLDER: folder}))


@pytest.mark.proof("inside")
async def test_a_program_of_a_folder_runs_without_the_rights_its_mode_promises(
    provider: LocalProvider, folder: Path
) -> None:
    (folder / "id").write_bytes(Path("/usr/bin/id").read_bytes())
    (folder / "id").chmod(0o4755)
    sandbox = await provider.create(replace(SPEC, folders={AGENT_FOLDER: folder}))
    assert await sh(sandbox, f"{AGENT_FOLDER}/id -u") == "1000\n"
