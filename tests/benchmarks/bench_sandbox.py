"""What a sandbox costs beside the bare tools: start, exec, snapshot, restore."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bot import Limits, Sandbox, SandboxSpec
from bot.sandbox_io import run as run_inside
from plugins.sandbox_runner.local import LocalProvider
from plugins.sandbox_runner.settings import Settings

SPEC = SandboxSpec(Limits(memory_mib=1024, disk_mib=1024))
BARE = "bwrap --unshare-all --die-with-parent --ro-bind /usr /usr --proc /proc --dev /dev"
FILES = """
for d in $(seq 20); do
  mkdir -p d$d; for f in $(seq 20); do head -c 4096 /dev/urandom > d$d/$f; done
done"""


def run(rounds: int = 20) -> dict[str, float]:
    """`p50_ms` in milliseconds, `ratio` to the baseline measured in turns; 400 files of 4 KiB are copied."""
    return asyncio.run(measure(rounds))


async def measure(rounds: int) -> dict[str, float]:
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


BASELINES = {"cold sandbox": "bwrap true", "snapshot": "cp -a", "restore": "cp -a"}


def report(took: dict[str, list[float]]) -> dict[str, float]:
    found = {f"{name} p50_ms": statistics.median(laps) for name, laps in took.items()}
    for name, baseline in BASELINES.items():
        pairs = zip(took[name], took[baseline], strict=True)
        found[f"{name} ratio"] = statistics.median(mine / its for mine, its in pairs)
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    for name, value in run(int(sys.argv[1]) if len(sys.argv) > 1 else 20).items():
        print(f"{name:24} {value:9.2f}")


if __name__ == "__main__":
    main()
