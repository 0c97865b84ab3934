"""What a sandbox costs beside the bare tools: start, exec, snapshot, restore."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from rows import row

from bot import Limits, Sandbox, SandboxSpec
from bot.sandbox_io import run as run_inside
from plugins.sandbox_runner.local import LocalProvider
from plugins.sandbox_runner.settings import Settings

ROUNDS, QUICK = 20, 5
SPEC = SandboxSpec(Limits(memory_mib=1024, disk_mib=1024))
BARE = "bwrap --unshare-all --die-with-parent --ro-bind /usr /usr --proc /proc --dev /dev"
FILES = """
for d in $(seq 20); do
  mkdir -p d$d; for f in $(seq 20); do head -c 4096 /dev/urandom > d$d/$f; done
done"""


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """One of each in turns; 400 files of 4 KiB are copied."""
    return asyncio.run(measure(rounds))


async def measure(rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        provider = LocalProvider(Path(folder, "data"), Settings.model_validate({}))
        await provider.ping()
        try:
            return report(await turns(provider, Path(folder), rounds))
        finally:
            await provider.close()


async def turns(provider: LocalProvider, folder: Path, rounds: int) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {}
    source = folder / "source"
    source.mkdir()
    subprocess.run(["/bin/sh", "-c", FILES], cwd=source, check=True)
    full = await provider.create(SPEC)
    await run_inside(full, ["/bin/sh", "-c", FILES])
    for turn in range(rounds):
        clock = Clock(took)
        await bare()
        clock.lap("bwrap true")
        sandbox = await provider.create(SPEC)
        await true(sandbox)
        clock.lap("cold sandbox")
        await true(sandbox)
        clock.lap("exec")
        await sandbox.terminate()
        clock.lap("terminate")
        await asyncio.to_thread(copy, source, folder / f"copy{turn}")
        clock.lap("cp -a")
        snapshot = await full.snapshot()
        clock.lap("snapshot")
        restored = await provider.create(SandboxSpec(SPEC.limits, image=snapshot))
        await true(restored)
        clock.lap("restore")
        await restored.terminate()
        shutil.rmtree(folder / f"copy{turn}")
        await provider.discard(snapshot)
    return took


class Clock:
    """Times the steps between its laps."""

    def __init__(self, took: dict[str, list[float]]) -> None:
        self.took, self.last = took, time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.took.setdefault(name, []).append((now - self.last) * 1000)
        self.last = time.perf_counter()


async def bare() -> None:
    links = [part for name in ("bin", "lib", "lib64") for part in ("--symlink", f"usr/{name}", f"/{name}")]
    process = await asyncio.create_subprocess_exec(*BARE.split(), *links, "true")
    assert await process.wait() == 0


async def true(sandbox: Sandbox) -> None:
    assert await (await sandbox.exec(["true"])).wait() == 0


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def report(took: dict[str, list[float]]) -> dict[str, Any]:
    p50 = {name: statistics.median(laps) for name, laps in took.items()}
    return {
        "rounds": len(took["exec"]),
        "rows": [
            row(
                "cold sandbox",
                p50["cold sandbox"],
                p50["bwrap true"],
                "made, and `true` run; baseline: bwrap true",
            ),
            row("exec in a sandbox", p50["exec"], note="true"),
            row("end of a sandbox", p50["terminate"]),
            row("snapshot, 400 files", p50["snapshot"], p50["cp -a"], "baseline: cp -a"),
            row("restore, 400 files", p50["restore"], p50["cp -a"], "a new sandbox from it; baseline: cp -a"),
        ],
    }
