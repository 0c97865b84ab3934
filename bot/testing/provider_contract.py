"""What every provider of sandboxes must do, as tests that anyone's provider can be put through.

    from bot.testing import ProviderContract

    class TestMine(ProviderContract):
        @pytest.fixture
        async def provider(self):
            provider = MyProvider(...)
            yield provider
            await provider.close()

Needed inside a sandbox: a POSIX shell with the usual small tools, and Python 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.domain import Limits, Provider, Sandbox, SandboxSpec, SnapshotId
from bot.errors import SandboxError, SandboxGone
from bot.testing.inside import LIMITS, SPEC, shell, until
from bot.testing.way_out_contract import WayOutContract


class ProviderContract(WayOutContract):
    """Derive from it and give it a `provider` fixture."""

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        raise NotImplementedError("give the class a fixture named provider")
        yield

    @pytest.fixture
    async def sandbox(self, provider: Provider) -> AsyncIterator[Sandbox]:
        sandbox = await provider.create(SPEC)
        yield sandbox
        await sandbox.terminate()

    # -- programs ------------------------------------------------------------------------------

    async def test_output_errors_and_exit_code_come_out(self, sandbox: Sandbox) -> None:
        done = await shell(sandbox, "echo out; echo err >&2; exit 3")
        assert (done.code, done.stdout, done.stderr) == (3, b"out\n", "err\n")

    async def test_a_signal_is_told_as_128_and_its_number(self, sandbox: Sandbox) -> None:
        assert (await shell(sandbox, "kill -TERM $$")).code == 128 + 15

    async def test_input_goes_in_until_its_end(self, sandbox: Sandbox) -> None:
        process = await sandbox.exec(["cat"])
        await process.write(b"one ")
        await process.write(b"two")
        await process.write_eof()
        assert b"".join([chunk async for chunk in process.stdout()]) == b"one two"
        assert await process.wait() == 0

    async def test_a_conversation_needs_no_end_of_input(self, sandbox: Sandbox) -> None:
        process = await sandbox.exec(["/bin/sh", "-c", 'while read -r word; do echo "heard $word"; done'])
        for word in (b"a", b"b"):
            await process.write(word + b"\n")
            await until(process, b"heard " + word)
        await process.kill()

    async def test_megabytes_pass_unchanged_both_ways(self, sandbox: Sandbox) -> None:
        data = bytes(range(256)) * 16 * 256
        process = await sandbox.exec(["cat"])

        async def feed() -> None:
            for at in range(0, len(data), 100_003):
                await process.write(data[at : at + 100_003])
            await process.write_eof()

        feeding = asyncio.create_task(feed())
        received = b"".join([chunk async for chunk in process.stdout()])
        await feeding
        assert received == data

    async def test_a_program_that_floods_waits_for_its_reader(self, sandbox: Sandbox) -> None:
        process = await sandbox.exec(["/bin/sh", "-c", "yes | head -c 300000000; echo done >&2"])
        await until(process, b"y\n")
        assert (await shell(sandbox, "echo still here")).stdout == b"still here\n"
        await process.kill()
        assert b"done" not in b"".join([chunk async for chunk in process.stderr()])

    async def test_many_programs_run_at_once(self, sandbox: Sandbox) -> None:
        done = await asyncio.gather(*(shell(sandbox, f"echo {n}; exit {n}") for n in range(20)))
        assert [(each.code, each.stdout) for each in done] == [(n, f"{n}\n".encode()) for n in range(20)]

    async def test_it_starts_in_the_workspace_with_what_it_was_given(self, sandbox: Sandbox) -> None:
        done = await shell(sandbox, 'pwd; echo "$HOME"; echo "$GREETING"', env={"GREETING": "a=b c"})
        assert done.stdout.decode().splitlines() == [sandbox.workspace, sandbox.home, "a=b c"]

    async def test_a_relative_folder_is_below_the_workspace(self, sandbox: Sandbox) -> None:
        await shell(sandbox, "mkdir -p deep/er")
        assert (await shell(sandbox, "pwd", cwd="deep/er")).stdout.decode().strip() == (
            f"{sandbox.workspace}/deep/er"
        )

    async def test_a_program_that_is_not_there_is_named(self, sandbox: Sandbox) -> None:
        with pytest.raises(SandboxError, match="no-such-program"):
            await sandbox.exec(["no-such-program"])

    async def test_a_folder_that_is_not_there_is_named(self, sandbox: Sandbox) -> None:
        with pytest.raises(SandboxError, match="/no/such/folder"):
            await sandbox.exec(["true"], cwd="/no/such/folder")

    async def test_writing_to_a_program_that_ended_is_a_broken_pipe(self, sandbox: Sandbox) -> None:
        process = await sandbox.exec(["true"])
        await process.wait()
        with pytest.raises(BrokenPipeError):
            await process.write(b"x" * 1_000_000)

    # -- ending a program ----------------------------------------------------------------------

    async def test_at_its_time_limit_a_program_ends_with_minus_one(self, sandbox: Sandbox) -> None:
        process = await sandbox.exec(["/bin/sh", "-c", "trap '' TERM; sleep 1000"], timeout_seconds=0.2)
        assert await process.wait() == -1

    async def test_kill_ends_what_the_program_started(self, sandbox: Sandbox) -> None:
        process = await sandbox.exec(["/bin/sh", "-c", "sleep 4321 & sleep 4321 & echo up; wait"])
        await until(process, b"up")
        await process.kill()
        await process.kill()
        assert await process.wait() == 128 + 9
        assert (await shell(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).stdout.count(b"4321") == 0

    async def test_a_kill_ends_streams_that_a_daemon_holds(self, sandbox: Sandbox) -> None:
        process = await sandbox.exec(["/bin/sh", "-c", "(setsid sleep 1000 &); echo up; sleep 1000"])
        await until(process, b"up")
        await process.kill()
        async with asyncio.timeout(10):
            assert [chunk async for chunk in process.stderr()] == []

    # -- what is inside ------------------------------------------------------------------------

    async def test_a_new_sandbox_is_empty_and_writable(self, sandbox: Sandbox) -> None:
        done = await shell(
            sandbox, f"ls -A . {sandbox.home}; touch here {sandbox.home}/there && echo written"
        )
        assert done.stdout.endswith(b"written\n"), done.stderr
        assert not {"here", "there"} & set(done.stdout.decode().split())

    async def test_nothing_of_the_bots_environment_is_inside(
        self, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("THREADSMITH_TEST_MARK", "mark-7351")
        sandbox = await provider.create(SPEC)
        done = await shell(sandbox, "env; cat /proc/[0-9]*/environ 2>/dev/null")
        await sandbox.terminate()
        assert b"PATH=" in done.stdout
        assert b"mark-7351" not in done.stdout

    async def test_two_sandboxes_share_nothing(self, provider: Provider) -> None:
        one, other = await asyncio.gather(provider.create(SPEC), provider.create(SPEC))
        await shell(one, "touch mine ~/mine /tmp/mine")
        process = await one.exec(["sleep", "8642"])
        done = await shell(other, "ls -A . ~ /tmp; cat /proc/[0-9]*/cmdline")
        assert b"mine" not in done.stdout
        assert b"8642" not in done.stdout
        await process.kill()
        await asyncio.gather(one.terminate(), other.terminate())

    # -- snapshots -----------------------------------------------------------------------------

    async def test_a_snapshot_brings_everything_back(self, provider: Provider, sandbox: Sandbox) -> None:
        await shell(
            sandbox,
            "mkdir -p src 'a b'; echo code > src/code; chmod 750 src/code; ln src/code hard;"
            "ln -s src/code link; ln -s /nowhere broken; printf x > 'a b/ü';"
            "mkdir shut; chmod 555 shut; echo note > ~/.note",
        )
        look = "stat -c '%n %A %h' src/code hard 'a b/ü' shut; readlink link broken; cat src/code ~/.note"
        before = await shell(sandbox, look)
        restored = await provider.create(SandboxSpec(LIMITS, image=await sandbox.snapshot()))
        after = await shell(restored, look)
        await restored.terminate()
        assert (before.code, after.code) == (0, 0), after.stderr
        assert after.stdout == before.stdout

    async def test_a_snapshot_is_a_moment_and_serves_many(self, provider: Provider, sandbox: Sandbox) -> None:
        await shell(sandbox, "echo one > file")
        spec = SandboxSpec(LIMITS, image=await sandbox.snapshot())
        await shell(sandbox, "echo two > file")
        first, second = await asyncio.gather(provider.create(spec), provider.create(spec))
        await shell(first, "echo three > file")
        seen = [(await shell(each, "cat file")).stdout for each in (sandbox, first, second)]
        assert seen == [b"two\n", b"three\n", b"one\n"]
        await asyncio.gather(first.terminate(), second.terminate())

    async def test_folders_can_be_renamed_new_or_restored(self, provider: Provider, sandbox: Sandbox) -> None:
        await shell(sandbox, "mkdir -p a/b; echo x > a/b/c; mv a moved")
        restored = await provider.create(SandboxSpec(LIMITS, image=await sandbox.snapshot()))
        done = await shell(restored, "mv moved again && mv again/b again/d && cat again/d/c")
        await restored.terminate()
        assert done.stdout == b"x\n", done.stderr

    async def test_what_was_deleted_stays_deleted(self, provider: Provider, sandbox: Sandbox) -> None:
        await shell(sandbox, "mkdir d; touch d/gone kept")
        middle = await provider.create(SandboxSpec(LIMITS, image=await sandbox.snapshot()))
        await shell(middle, "rm -r d; mkdir d; touch d/new")
        last = await provider.create(SandboxSpec(LIMITS, image=await middle.snapshot()))
        assert (await shell(last, "ls . d")).stdout.split() == [b".:", b"d", b"kept", b"d:", b"new"]
        await asyncio.gather(middle.terminate(), last.terminate())

    async def test_a_discarded_snapshot_is_gone(self, provider: Provider, sandbox: Sandbox) -> None:
        snapshot = await sandbox.snapshot()
        await provider.discard(snapshot)
        await provider.discard(snapshot)
        with pytest.raises(SandboxError, match="snapshot"):
            await provider.create(SandboxSpec(LIMITS, image=snapshot))

    @pytest.mark.parametrize("name", ["", "../../etc/passwd", "a/b", "0" * 24])
    async def test_an_unknown_snapshot_is_an_error(self, provider: Provider, name: str) -> None:
        with pytest.raises(SandboxError, match="snapshot"):
            await provider.create(SandboxSpec(LIMITS, image=SnapshotId(name)))

    # -- its end -------------------------------------------------------------------------------

    async def test_a_terminated_sandbox_is_gone_for_everyone(self, provider: Provider) -> None:
        sandbox = await provider.create(SPEC)
        assert await sandbox.alive()
        assert sandbox.id in await provider.list()
        process = await sandbox.exec(["sleep", "1000"])
        waiting = asyncio.create_task(process.wait())
        await asyncio.gather(sandbox.terminate(), sandbox.terminate())
        with pytest.raises(SandboxGone):
            await waiting
        with pytest.raises(SandboxGone):
            await sandbox.exec(["true"])
        with pytest.raises(SandboxGone):
            await sandbox.snapshot()
        assert not await sandbox.alive()
        assert sandbox.id not in await provider.list()

    async def test_at_the_end_of_its_life_it_says_so(self, provider: Provider) -> None:
        sandbox = await provider.create(SandboxSpec(Limits(512, 1, 512, 128, wall_seconds=1)))
        process = await sandbox.exec(["sleep", "1000"])
        with pytest.raises(SandboxGone, match="1 s"):
            await process.wait()
        assert not await sandbox.alive()
        await sandbox.terminate()

    async def test_close_terminates_what_is_left(self, provider: Provider) -> None:
        sandbox = await provider.create(SPEC)
        await provider.close()
        assert not await sandbox.alive()
        assert await provider.list() == []

    async def test_a_well_provider_answers_a_ping(self, provider: Provider) -> None:
        await provider.ping()

    async def test_every_limit_has_a_row_in_the_table_of_bounds(self, provider: Provider) -> None:
        rows = {bound.what: bound for bound in provider.bounds(LIMITS)}
        assert {"memory", "processors", "disk", "processes", "life"} <= rows.keys()
        assert all(row.value and row.how for row in rows.values())
