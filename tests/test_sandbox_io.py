"""Files and commands through a sandbox's pipes: all is read, a bounded part kept, errors have words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sandbox_kit import a_sandbox

from bot import Sandbox, SandboxError
from bot.sandbox_io import check, output, run, write_files

MIB = 1024 * 1024


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with a_sandbox(tmp_path / "provider") as sandbox:
        yield sandbox


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


async def test_what_goes_in_comes_out(sandbox: Sandbox) -> None:
    """From bytes and from a stream, larger than any pipe; the exit code and both outputs."""
    done = await run(sandbox, shell("cat; echo oops >&2; exit 3"), stdin=b"x" * 300_000)
    assert (done.code, done.stdout, done.stderr) == (3, b"x" * 300_000, "oops\n")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"y" * 100_000

    done = await run(sandbox, shell("wc -c; pwd; echo $WHO"), stdin=pieces(), cwd="/tmp", env={"WHO": "me"})
    assert done.stdout.split() == [b"500000", b"/tmp", b"me"]


async def test_a_flood_is_read_to_its_end_and_kept_to_a_megabyte(sandbox: Sandbox) -> None:
    """The program is never blocked by us, and our memory is not its to fill."""
    done = await run(sandbox, shell("head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2"))
    assert (done.code, len(done.stdout), len(done.stderr)) == (0, MIB, MIB)


async def test_a_program_that_reads_nothing_is_no_error(sandbox: Sandbox) -> None:
    """It needed no more; its exit code tells whether that was right."""
    assert (await run(sandbox, shell("exec 0<&-; sleep 0.2; exit 0"), stdin=b"x" * MIB)).code == 0


async def test_a_failure_says_what_was_being_done_and_why(sandbox: Sandbox) -> None:
    """With the end of what the program said; a time limit is one too."""
    with pytest.raises(SandboxError, match=r"could not count to three \(exit code 4\)\. no such number"):
        await check(sandbox, shell("echo no such number >&2; exit 4"), "count to three")
    with pytest.raises(SandboxError, match="could not wait"):
        await check(sandbox, shell("sleep 60"), "wait", timeout_seconds=0.3)


async def test_files_are_written_as_they_are(sandbox: Sandbox) -> None:
    """With the folders above them, whatever their names and contents."""
    files = {"a b/c.txt": b"\x00\xff", "-n": b"dash", "deep/er/$(x)": b"", "big": b"z" * MIB}
    await write_files(sandbox, f"{sandbox.home}/new folder", files)
    for name, content in files.items():
        done = await run(sandbox, ["cat", "--", f"{sandbox.home}/new folder/{name}"])
        assert done.stdout == content
    await write_files(sandbox, f"{sandbox.home}/new folder", {"-n": b"again"})
    assert (await run(sandbox, ["cat", "--", f"{sandbox.home}/new folder/-n"])).stdout == b"again"


async def test_output_comes_as_it_is_made_and_ends_with_the_verdict(sandbox: Sandbox) -> None:
    """All bytes, beyond a megabyte too; then an error when the program failed."""
    got = bytearray()
    async for chunk in output(sandbox, shell("head -c 3000000 /dev/zero"), "give", 30.0):
        got += chunk
    assert len(got) == 3_000_000
    with pytest.raises(SandboxError, match=r"could not give \(exit code 7\)\. why"):
        async for chunk in output(sandbox, shell("echo part; echo why >&2; exit 7"), "give", 30.0):
            assert chunk == b"part\n"


async def test_whoever_stops_reading_ends_the_program(sandbox: Sandbox) -> None:
    """A cancelled run and an abandoned stream leave nothing running."""
    mark = "sleep 4242"
    stream = output(sandbox, shell(f"echo x; exec {mark}"), "give", 60.0)
    assert await anext(stream)
    await stream.aclose()
    task = asyncio.create_task(run(sandbox, shell(f"exec {mark}")))
    while not await _runs(sandbox, mark):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    while await _runs(sandbox, mark):
        await asyncio.sleep(0)


async def _runs(sandbox: Sandbox, mark: str) -> bool:
    """Whether a process with these arguments is there."""
    script = "for each in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $each; echo; done 2>/dev/null"
    lines = (await run(sandbox, shell(script))).stdout.decode().splitlines()
    return any(line.strip() == mark for line in lines)
