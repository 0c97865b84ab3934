"""What the sandbox tests share: a provider of their own, and eyes on the host's processes."""

from __future__ import annotations

import importlib.util
import os
import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType

from bot import Limits, Sandbox, SandboxSpec
from bot.sandbox_io import Completed, run
from plugins.sandbox_runner.local import LocalProvider
from plugins.sandbox_runner.settings import Settings

ATTACKS = Path(__file__).parent / "data" / "attacks.py"
LIMITS = Limits(memory_mib=512, cores=1, disk_mib=256, processes=64, wall_seconds=300)


def load(program: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(program.stem, program)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


attacks = load(ATTACKS)


@asynccontextmanager
async def a_provider(data: Path, **settings: object) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(data, Settings.model_validate(settings))
    try:
        yield provider
    finally:
        await provider.close()


@asynccontextmanager
async def a_sandbox(data: Path, limits: Limits = LIMITS) -> AsyncIterator[Sandbox]:
    async with a_provider(data) as provider:
        yield await provider.create(SandboxSpec(limits))


async def sh(sandbox: Sandbox, script: str) -> str:
    """What a shell script says, errors included."""
    done = await run(sandbox, ["/bin/sh", "-c", f"exec 2>&1; {script}"])
    return done.stdout.decode(errors="replace")


async def python(sandbox: Sandbox, script: str) -> Completed:
    return await run(sandbox, ["python3", "-I", "-S", "-c", script])


def is_hard(provider: LocalProvider, what: str) -> bool:
    return next(bound.hard for bound in provider.bounds(LIMITS) if bound.what == what)


def pidfds_of(mark: str) -> list[int]:
    """Descriptors of the host's processes that have this mark in their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(os.pidfd_open(int(entry.name)))
    return found


def wait_for_pidfds(mark: str, count: int, seconds: float = 20.0) -> list[int]:
    """Those of exactly this many processes; AssertionError when there are not that many in time."""
    end = time.monotonic() + seconds
    while len(found := pidfds_of(mark)) != count:
        for each in found:
            os.close(each)
        assert time.monotonic() < end, f"{len(found)} processes with {mark!r}, not {count}"
    return found


def all_ended(pidfds: list[int], seconds: float = 20.0) -> bool:
    """Wait for the end of these processes; False when one goes on. Closes the descriptors."""
    try:
        return all(select.select([each], [], [], seconds)[0] for each in pidfds)
    finally:
        for each in pidfds:
            os.close(each)
