"""A sandbox stays within its bounds; what hits one ends cleanly and says which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox_kit import LIMITS, a_provider, is_hard, python, sh

from bot import Sandbox, SandboxError, SandboxGone, SandboxSpec
from bot.sandbox_io import run
from plugins.sandbox_runner import local, trees, watch
from plugins.sandbox_runner.local import LocalProvider, owner
from plugins.sandbox_runner.trees import Tree

EAT = "data = []\nwhile True: data.append(b'x' * 1048576)"


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[LocalProvider]:
    async with a_provider(tmp_path / "data") as provider:
        yield provider


@pytest.fixture
async def sandbox(provider: LocalProvider) -> Sandbox:
    return await provider.create(SandboxSpec(LIMITS))


@pytest.mark.proof("inside")
async def test_a_fork_bomb_stops_at_the_bound_of_processes(sandbox: Sandbox) -> None:
    bomb = (
        "import os, time\nn = 0\ntry:\n  while True:\n    if os.fork() == 0: time.sleep(1000)\n    n += 1\n"
    )
    process = await sandbox.exec(
        ["python3", "-c", f"{bomb}except OSError: print(n, flush=True); time.sleep(1000)"]
    )
    born = int(await anext(process.stdout()))
    assert LIMITS.processes // 2 < born < LIMITS.processes
    with pytest.raises(SandboxError, match="bound on processes"):
        await asyncio.gather(*(sandbox.exec(["sleep", "1000"]) for _ in range(LIMITS.processes)))
    await process.kill()
    await process.wait()
    assert await sandbox.alive()


@pytest.mark.proof("inside")
async def test_where_the_kernel_bounds_memory_only_the_eater_ends(
    provider: LocalProvider, sandbox: Sandbox
) -> None:
    if not is_hard(provider, "memory"):
        pytest.skip("no control group for memory can be made here")
    done = await python(sandbox, EAT)
    assert done.code == 128 + 9
    assert f"bound of {LIMITS.memory_mib} MiB of memory" in done.stderr
    assert await sh(sandbox, "echo still here") == "still here\n"


@pytest.mark.proof("inside")
async def test_files_in_tmp_count_as_memory(sandbox: Sandbox) -> None:
    said = await sh(sandbox, "for n in 1 2; do head -c 200M /dev/zero > /tmp/$n; done; du -sm /tmp")
    assert "No space left" in said
    assert int(said.split()[-2]) <= LIMITS.memory_mib // 2


@pytest.mark.proof("inside")
async def test_the_disk_is_watched(provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "DISK_SECONDS", 0.05)
    sandbox = await provider.create(SandboxSpec(replace(LIMITS, disk_mib=20)))
    process = await sandbox.exec(
        ["/bin/sh", "-c", "for n in 1 2 3; do head -c 10M /dev/zero > $n; done; cat"]
    )
    with pytest.raises(SandboxGone, match="bound of 20 MiB of disk"):
        await process.wait()


@pytest.mark.proof("inside")
async def test_files_are_counted_even_when_they_are_empty(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take no space, but of a disk's supply of files the host needs some, too."""
    monkeypatch.setattr(watch, "DISK_SECONDS", 0.05)
    monkeypatch.setattr(watch, "FEWEST_FILES", 100)
    sandbox = await provider.create(SandboxSpec(replace(LIMITS, disk_mib=16)))
    process = await sandbox.exec(["python3", "-c", "for n in range(1100): open(f'{n}', 'w')\ninput()"])
    with pytest.raises(SandboxGone, match="bound of 1024 files"):
        await process.wait()


HIDE = {
    "folders": "for n in 1 2 3; do mkdir d$n; head -c 10M /dev/zero > d$n/f; chmod 000 d$n; done; cat",
    "the workspace": "head -c 15M /dev/zero > a; head -c 15M /dev/zero > b; chmod 000 . a b; cat",
}


@pytest.mark.proof("inside")
@pytest.mark.parametrize("what", HIDE)
async def test_what_its_owner_cannot_read_counts_as_well_and_is_removed(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    monkeypatch.setattr(watch, "DISK_SECONDS", 0.05)
    sandbox = await provider.create(SandboxSpec(replace(LIMITS, disk_mib=20)))
    process = await sandbox.exec(["/bin/sh", "-c", HIDE[what]])
    with pytest.raises(SandboxGone, match="bound of 20 MiB of disk"):
        await process.wait()
    await sandbox.terminate()
    assert not (tmp_path / "data" / "sandboxes" / sandbox.id).exists()


@pytest.mark.proof("inside")
async def test_hidden_files_are_counted_even_when_they_are_empty(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "DISK_SECONDS", 0.05)
    monkeypatch.setattr(watch, "FEWEST_FILES", 100)
    sandbox = await provider.create(SandboxSpec(replace(LIMITS, disk_mib=16)))
    make = "import os\nos.mkdir('d')\nfor n in range(1100): open(f'd/{n}', 'w')\nos.chmod('d', 0)\ninput()"
    process = await sandbox.exec(["python3", "-c", make])
    with pytest.raises(SandboxGone, match="bound of 1024 files"):
        await process.wait()


async def test_a_snapshot_holds_what_its_owner_cannot_read(provider: LocalProvider, sandbox: Sandbox) -> None:
    assert await sh(sandbox, "mkdir d; echo x > d/f; chmod 000 d/f d") == ""
    restored = await provider.create(SandboxSpec(LIMITS, image=await sandbox.snapshot()))
    seen = "stat -c %a d; chmod 700 d; stat -c %a d/f; cat d/f; chmod 600 d/f; cat d/f"
    assert (await sh(restored, seen)).splitlines() == ["0", "0", "cat: d/f: Permission denied", "x"]


COMES_AND_GOES = """
import os
open("here", "w")
print("up", flush=True)
while True:
    os.mkdir("folder")
    for n in range(50): open(f"folder/{n}", "w")
    for n in range(50): os.unlink(f"folder/{n}")
    os.rmdir("folder")
"""


async def test_files_that_vanish_while_they_are_counted_end_nothing(tmp_path: Path) -> None:
    async with a_provider(tmp_path / "data") as provider:
        sandbox = await provider.create(SandboxSpec(LIMITS))
        busy = await sandbox.exec(["python3", "-I", "-S", "-c", COMES_AND_GOES])
        await anext(busy.stdout())
        (folder,) = (tmp_path / "data" / "sandboxes").iterdir()
        tree = Tree(folder, owner(folder / "tree"))
        for _ in range(20):
            mib, files = await tree.used()
            assert (mib <= 1, 0 < files <= 60) == (True, True)
        assert await sandbox.alive()


@pytest.mark.proof("inside")
async def test_a_disk_that_cannot_be_counted_ends_the_sandbox_and_says_so(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "DISK_SECONDS", 0.05)
    sandbox = await provider.create(SandboxSpec(LIMITS))
    process = await sandbox.exec(["cat"])
    monkeypatch.setattr(trees, "COUNT", 'echo "du: fts_read failed: No such file or directory"; echo 1')
    with pytest.raises(SandboxGone, match="on the disk could not be counted"):
        await process.wait()
    assert "fts_read failed" in caplog.text


@pytest.mark.proof("inside")
async def test_one_file_cannot_outgrow_the_disk(provider: LocalProvider) -> None:
    sandbox = await provider.create(SandboxSpec(replace(LIMITS, disk_mib=16)))
    done = await run(sandbox, ["/bin/sh", "-c", "head -c 40M /dev/zero > big"])
    assert done.code != 0
    assert await sh(sandbox, "stat -c %s big") == f"{16 << 20}\n"


@pytest.mark.proof("inside")
async def test_a_snapshot_cannot_outgrow_the_disk(provider: LocalProvider, tmp_path: Path) -> None:
    sandbox = await provider.create(SandboxSpec(replace(LIMITS, disk_mib=16)))
    await sh(sandbox, "head -c 12M /dev/urandom > one; head -c 12M /dev/urandom > two")
    with pytest.raises(SandboxError, match="snapshot"):
        await sandbox.snapshot()
    assert list((tmp_path / "data" / "snapshots").iterdir()) == []
    await sh(sandbox, "rm one two; truncate -s 15M hole")
    snapshot = await sandbox.snapshot()
    assert (tmp_path / "data" / "snapshots" / f"{snapshot}.tar").stat().st_size < 1 << 20


async def test_arguments_beyond_their_bound_are_refused_with_advice(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="stdin"):
        await sandbox.exec(["echo", "x" * 200_000])
    assert (await run(sandbox, ["echo", "x" * 100_000])).stdout == b"x" * 100_000 + b"\n"


@pytest.mark.parametrize("argv", [[], [""], ["echo", "a\0b"]])
async def test_a_program_that_cannot_be_named_is_refused(sandbox: Sandbox, argv: list[str]) -> None:
    with pytest.raises(SandboxError):
        await sandbox.exec(argv)


@pytest.mark.proof("inside")
async def test_a_kill_after_the_end_still_ends_what_was_started(sandbox: Sandbox) -> None:
    process = await sandbox.exec(["/bin/sh", "-c", "sleep 7531 >/dev/null 2>&1 & echo up"])
    assert await process.wait() == 0
    assert "7531" in await sh(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    await process.kill()
    assert "7531" not in await sh(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


async def test_a_start_that_is_given_up_leaves_no_program(sandbox: Sandbox) -> None:
    starting = asyncio.create_task(sandbox.exec(["sleep", "6420"]))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert "6420" not in await sh(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


async def test_a_stream_has_one_reader_at_a_time(sandbox: Sandbox) -> None:
    process = await sandbox.exec(["sleep", "1000"])

    async def read() -> list[bytes]:
        return [chunk async for chunk in process.stdout()]

    both = asyncio.gather(read(), read(), return_exceptions=True)
    await sh(sandbox, "true")  # by when both wait
    await process.kill()
    first, second = await both
    assert first == []
    assert isinstance(second, RuntimeError)


async def test_a_stream_ends_though_a_silent_child_holds_it(sandbox: Sandbox) -> None:
    process = await sandbox.exec(["/bin/sh", "-c", "sleep 1000 & echo up"])
    async with asyncio.timeout(20):
        assert b"".join([chunk async for chunk in process.stdout()]) == b"up\n"


async def test_more_sandboxes_than_users_are_refused_with_advice(tmp_path: Path) -> None:
    async with a_provider(tmp_path / "data", sandbox_user=64900, sandbox_users=1) as provider:
        await provider.ping()
        sandbox = await provider.create(SandboxSpec(LIMITS))
        if local.os.geteuid() != 0:
            pytest.skip("only root's sandboxes have users of their own")
        with pytest.raises(SandboxError, match="sandbox_users"):
            await provider.create(SandboxSpec(LIMITS))
        await sandbox.terminate()
        await provider.create(SandboxSpec(LIMITS))


async def test_git_and_node_rename_folders(provider: LocalProvider, sandbox: Sandbox) -> None:
    make = (
        "git init -q . && git config user.email a@example.com && git config user.name a && "
        "mkdir -p src/deep && echo x > src/deep/file && git add . && git commit -qm one"
    )
    rename = "fs.renameSync('moved/deep', 'again')"
    move = f'git mv src moved && node -e "{rename}" && git add -A && cat again/file && git status --short'
    for tool in ("git", "node"):
        if not Path("/usr/bin", tool).exists():
            pytest.skip(f"{tool} is not in /usr/bin")
    assert await sh(sandbox, make) == ""
    restored = await provider.create(SandboxSpec(LIMITS, image=await sandbox.snapshot()))
    for each in (sandbox, restored):
        assert (await sh(each, move)).splitlines() == ["x", "R  src/deep/file -> again/file"]
