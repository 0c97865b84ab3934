"""What the contract of providers makes its sandboxes of, and how it runs programs in them."""

from __future__ import annotations

from bot.domain import Limits, Process, Sandbox, SandboxSpec
from bot.sandbox_io import Completed, run

LIMITS = Limits(memory_mib=512, cores=1, disk_mib=512, processes=128, wall_seconds=300)
SPEC = SandboxSpec(LIMITS)


async def shell(sandbox: Sandbox, script: str, **options: object) -> Completed:
    """Run a shell script to its end."""
    return await run(sandbox, ["/bin/sh", "-c", script], **options)  # type: ignore[arg-type]  # passed on


async def until(process: Process, said: bytes) -> None:
    """Read stdout until these bytes came."""
    seen = b""
    async for chunk in process.stdout():
        seen += chunk
        if said in seen:
            return
    raise AssertionError(f"{said!r} never came, but {seen!r}")
