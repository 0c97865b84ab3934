"""Floods from inside: each ends at a bound that is named, and host and neighbour go on."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from sandbox_kit import LIMITS, a_provider, is_hard, python, sh

from bot import Process, Sandbox, SandboxGone, SandboxSpec
from bot.sandbox_io import run
from plugins.sandbox_runner import local, watch
from plugins.sandbox_runner.bounds import most_open_files
from plugins.sandbox_runner.local import LocalProvider

pytestmark = pytest.mark.proof("inside")


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[LocalProvider]:
    async with a_provider(tmp_path / "data") as provider:
        yield provider


@pytest.fixture
async def sandbox(provider: LocalProvider) -> Sandbox:
    return await provider.create(SandboxSpec(LIMITS))


@pytest.fixture
async def neighbour(provider: LocalProvider) -> Sandbox:
    return await provider.create(SandboxSpec(LIMITS))


async def ends_at(sandbox: Sandbox, script: str, bound: str) -> None:
    """The script never ends by itself; the sandbox does, and says why, now and later."""
    process = await sandbox.exec(["python3", "-I", "-S", "-c", f"{script}\ninput()"])
    async with asyncio.timeout(60):
        with pytest.raises(SandboxGone, match=bound):
            await process.wait()
    with pytest.raises(SandboxGone, match=bound):
        await sandbox.exec(["true"])


# -- processes and descriptors -----------------------------------------------------------------------

BOMB = """
import os
full = False
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        if not full:
            os.write(1, b"full")
        full = True
"""


async def test_a_bomb_of_processes_takes_nothing_from_the_neighbour(
    sandbox: Sandbox, neighbour: Sandbox
) -> None:
    """It doubles as the classic one, each in a session of its own, so that nothing ends them together."""
    bomb = await sandbox.exec(["python3", "-I", "-S", "-c", BOMB])
    assert (await anext(bomb.stdout())).startswith(b"full")
    many = await asyncio.gather(*(neighbour.exec(["cat"]) for _ in range(LIMITS.processes // 2)))
    assert await sh(neighbour, "echo up") == "up\n"
    for each in many:
        await each.write_eof()
    assert [await each.wait() for each in many] == [0] * len(many)
    await sandbox.terminate()
    assert not await sandbox.alive()


async def test_orphans_are_buried_so_that_they_take_nobodys_place(sandbox: Sandbox) -> None:
    orphan = "import os\nfor _ in range(300):\n if os.fork() == 0:\n  os.fork()\n  os._exit(0)\n os.wait()"
    done = await python(sandbox, orphan)
    assert (done.code, done.stderr) == (0, "")
    assert await sh(sandbox, "grep -l '^State:.Z' /proc/[0-9]*/status") == ""


OPEN = """
import os
kept = []
for _ in range(3): os.fork()
try:
    while True: kept.append(open("/dev/null"))
except OSError as error:
    os.write(1, f"{len(kept)} {error.errno}\\n".encode())
"""


async def test_open_files_stop_at_their_bound_and_are_few_for_the_host(
    provider: LocalProvider, sandbox: Sandbox, neighbour: Sandbox
) -> None:
    script = (
        "n = []\ntry:\n while True: n.append(open('/dev/null'))\nexcept OSError as e: print(len(n), e.errno)"
    )
    most = most_open_files(LIMITS)
    flood = f"import os\nfor _ in range(3): os.fork()\n{script}"
    done = await python(sandbox, flood)
    assert done.stdout.split() == [str(most - 3).encode(), b"24"] * 8  # EMFILE, and not the host's ENFILE
    assert most * LIMITS.processes <= max(
        int(Path("/proc/sys/fs/file-max").read_text()) // 4, 1024 * LIMITS.processes
    )
    assert f"{most} a program" in [bound.value for bound in provider.bounds(LIMITS)]
    assert await sh(neighbour, "cat /etc/hostname") == "sandbox\n"


WATCHERS = """
import ctypes
libc = ctypes.CDLL(None)
n = 0
while n < 100_000 and libc.inotify_init() >= 0: n += 1
print(n, flush=True)
input()
"""


async def test_watchers_of_files_are_left_for_the_neighbour_and_the_host(
    sandbox: Sandbox, neighbour: Sandbox
) -> None:
    """A user has few of them, and of an ordinary user's bot the sandboxes are that user, too."""
    flood = await sandbox.exec(["python3", "-I", "-S", "-c", WATCHERS])
    taken = int(await anext(flood.stdout()))
    assert 0 < taken <= int(Path("/proc/sys/user/max_inotify_instances").read_text())
    other = await neighbour.exec(["python3", "-I", "-S", "-c", WATCHERS])
    assert int(await anext(other.stdout())) > 0
    ours = ctypes.CDLL(None).inotify_init()
    assert ours >= 0
    os.close(ours)


# -- memory ------------------------------------------------------------------------------------------

MEMORY = {
    "its own": "data = []\nwhile True: data.append(b'x' * 1048576)",
    "files of no folder": (
        "import os\nfiles = []\nwhile True:\n"
        " files.append(os.memfd_create('m'))\n os.write(files[-1], bytes(1048576))"
    ),
    "empty files": "n = 0\nwhile True:\n open(f'/tmp/{n}', 'w').close()\n n += 1",
    "shared segments": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\nwhile True:\n"
        " there = libc.shmat(libc.shmget(0, 1 << 20, 0o1600), None, 0)\n"
        " ctypes.memset(ctypes.c_void_p(there), 1, 1 << 20)"
    ),
    "sockets nobody reads": (
        "import socket\nkept = []\nwhile True:\n kept.append(socket.socketpair())\n"
        " kept[-1][1].setblocking(False)\n"
        " try:\n  while True: kept[-1][1].send(bytes(4096))\n except BlockingIOError: pass"
    ),
}
SMALL = replace(LIMITS, memory_mib=64)


@pytest.mark.parametrize("kind", MEMORY)
async def test_memory_of_whatever_kind_stops_at_its_bound(
    provider: LocalProvider, neighbour: Sandbox, kind: str
) -> None:
    """The eater is ended, or the sandbox where its end frees nothing; either is told with the bound."""
    if not is_hard(provider, "memory"):
        pytest.skip("no control group for memory can be made here")
    sandbox = await provider.create(SandboxSpec(SMALL))
    try:
        done = await python(sandbox, MEMORY[kind])
        said = f"{done.code} {done.stderr}"
    except SandboxGone as gone:
        said = str(gone)
    assert "bound of 64 MiB of memory" in said
    assert await sh(neighbour, "echo up") == "up\n"


@pytest.mark.parametrize("kind", ["its own", "files of no folder", "empty files"])
async def test_without_control_groups_memory_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(local, "find", lambda parent: None)  # as on a machine that lets us make none
    monkeypatch.setattr(watch, "MEMORY_SECONDS", 0.05)
    async with a_provider(tmp_path / "data") as provider:
        assert not is_hard(provider, "memory")
        sandbox = await provider.create(SandboxSpec(SMALL))
        neighbour = await provider.create(SandboxSpec(LIMITS))
        await ends_at(sandbox, MEMORY[kind], "bound of 64 MiB of memory")
        assert await sh(neighbour, "echo up") == "up\n"


# -- the disk ----------------------------------------------------------------------------------------

# In steps, and with an end, so that it is harmless even where nobody looks.
SLOWLY = "import os, time\nkept = []\nfor n in range(400):\n time.sleep(0.01)\n"
DISK = {
    "large files": ("open(f'{n}', 'wb').write(bytes(1 << 20))", "20 MiB of disk"),
    "files of no folder": (
        "kept.append(open('file', 'wb', 0)); os.unlink('file'); kept[-1].write(bytes(1 << 20))",
        "20 MiB of disk",
    ),
    "empty files": ("for m in range(10): open(f'{n}-{m}', 'w')", "1280 files"),
    "folders in folders": ("for m in range(10): os.mkdir('d'); os.chdir('d')", "1280 files"),
}


@pytest.mark.parametrize("kind", DISK)
async def test_a_disk_that_fills_fast_is_looked_at_before_it_is_time(
    provider: LocalProvider, neighbour: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    script, bound = DISK[kind]
    if "files" in bound and os.statvfs(tmp_path).f_files == 0:
        pytest.skip("the file system here makes room for files as it goes, and counts none")
    monkeypatch.setattr(watch, "DISK_SECONDS", 3600)
    monkeypatch.setattr(watch, "GLANCE_SECONDS", 0.05)
    monkeypatch.setattr(watch, "FEWEST_FILES", 100)
    sandbox = await provider.create(SandboxSpec(replace(LIMITS, disk_mib=20)))
    await ends_at(sandbox, f"{SLOWLY} {script}", f"bound of {bound}")
    assert await sh(neighbour, "echo up > file; cat file") == "up\n"
    await sandbox.terminate()
    assert not (tmp_path / "data" / "sandboxes" / sandbox.id).exists()


# -- the watchers themselves -------------------------------------------------------------------------

NAMED = "import ctypes; ctypes.CDLL(None).prctl(15, b'\\xff) \\xfe', 0, 0, 0); print('named', flush=True)"


async def name_a_process_badly(sandbox: Sandbox) -> Process:
    """It goes by a name that is no text, for all of the host to see."""
    named = await sandbox.exec(["python3", "-I", "-S", "-c", f"{NAMED}; input()"])
    assert await anext(named.stdout()) == b"named\n"
    return named


async def test_a_name_that_is_no_text_blinds_no_watcher_of_the_disk(
    provider: LocalProvider, neighbour: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "DISK_SECONDS", 0.05)
    await name_a_process_badly(neighbour)
    for itself in ("", NAMED):
        sandbox = await provider.create(SandboxSpec(replace(LIMITS, disk_mib=20)))
        await ends_at(sandbox, f"{itself}\n{SLOWLY} {DISK['large files'][0]}", "bound of 20 MiB of disk")
    assert await neighbour.alive()


async def test_a_name_that_is_no_text_blinds_no_watcher_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "find", lambda parent: None)  # as on a machine that lets us make no groups
    monkeypatch.setattr(watch, "MEMORY_SECONDS", 0.05)
    async with a_provider(tmp_path / "data") as provider:
        await name_a_process_badly(await provider.create(SandboxSpec(LIMITS)))
        sandbox = await provider.create(SandboxSpec(SMALL))
        await ends_at(sandbox, f"{NAMED}\n{MEMORY['its own']}", "bound of 64 MiB of memory")


async def test_a_program_with_a_name_that_is_no_text_can_be_ended(sandbox: Sandbox) -> None:
    named = await name_a_process_badly(sandbox)
    await named.kill()
    assert await named.wait() == 128 + 9
    assert await sh(sandbox, "echo up") == "up\n"


@pytest.mark.parametrize("part", ["free", "nameless_mib"])
async def test_a_watcher_that_fails_ends_its_sandbox_and_says_so(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    def fails(_: object) -> NoReturn:
        raise ValueError("something nobody thought of")

    monkeypatch.setattr(watch, "DISK_SECONDS", 0.05)
    sandbox = await provider.create(SandboxSpec(LIMITS))
    process = await sandbox.exec(["cat"])
    monkeypatch.setattr(watch, part, fails)
    with pytest.raises(SandboxGone, match="could not be watched any more"):
        await process.wait()
    assert f"sandbox {sandbox.id} cannot be watched" in caplog.text
    assert "something nobody thought of" in caplog.text


# -- logs --------------------------------------------------------------------------------------------

LOG = """
import fcntl, os
for stream in (1, 2):
    try: fcntl.fcntl(stream, 1031, 1 << 28)  # F_SETPIPE_SZ
    except PermissionError: fcntl.fcntl(stream, 1031, 1 << 20)
    os.set_blocking(stream, False)
    written = 0
    try:
        while True: written += os.write(stream, b"x" * 4096)
    except BlockingIOError: open(f"written-{stream}", "w").write(str(written))
"""


async def test_what_nobody_reads_is_not_taken_from_a_program(sandbox: Sandbox) -> None:
    """However large it asks its pipes to be, it soon has to wait."""
    process = await sandbox.exec(["python3", "-I", "-S", "-c", LOG])
    assert await process.wait() == 0
    written = (await sh(sandbox, "cat written-1; echo; cat written-2")).split()
    assert [0 < int(each) <= 1 << 20 for each in written] == [True, True]


async def test_of_an_endless_log_the_beginning_is_kept(sandbox: Sandbox, neighbour: Sandbox) -> None:
    endless = ["/bin/sh", "-c", "yes >&2 & exec yes"]
    flood = asyncio.create_task(run(sandbox, endless, timeout_seconds=1))
    assert await sh(neighbour, "echo up") == "up\n"
    done = await flood
    assert (done.code, len(done.stdout), len(done.stderr)) == (-1, 1 << 20, 1 << 20)
