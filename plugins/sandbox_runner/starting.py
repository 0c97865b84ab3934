"""Start a sandbox's processes, and hold what ends them for certain."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bot import Limits, SandboxError, SandboxGone
from plugins.sandbox_runner import layout, seccomp
from plugins.sandbox_runner.control import Control
from plugins.sandbox_runner.launch import REFUSED_NAMESPACE, REFUSED_OVERLAY
from plugins.sandbox_runner.trees import tail

END_SECONDS = 20.0
LAST_WORDS_SECONDS = 2.0

NO_NAMESPACES = (
    "The kernel refused a user namespace, without which no sandbox can be made. On Ubuntu 24.04 and later: "
    "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or give bwrap and Python an AppArmor "
    "profile with `userns`. On Debian 10 and older: `sudo sysctl -w kernel.unprivileged_userns_clone=1`. "
    "In Docker: start the bot's container with `--security-opt seccomp=unconfined --security-opt "
    "apparmor=unconfined --cap-add SYS_ADMIN`."
)


class OverlayRefused(SandboxError):
    """The kernel or the file system of the data folder takes no overlay."""


@dataclass(frozen=True, slots=True)
class Started:
    """Bubblewrap, and a descriptor of process 1 that cannot come to mean another process."""

    process: asyncio.subprocess.Process
    first: int
    control: Control
    listener: socket.socket

    def kill(self) -> None:
        """The kernel then ends everything in its process namespace, however it was started."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.first, signal.SIGKILL)

    async def gone(self, emptied: asyncio.Event) -> None:
        """Wait for the end of all of it, and let go. SandboxError when the kernel holds on."""
        self.kill()
        try:
            async with asyncio.timeout(END_SECONDS):
                await emptied.wait()
                await self.process.wait()
        except TimeoutError:
            raise SandboxError("A sandbox does not end: the kernel holds a process of it.") from None
        os.close(self.first)


async def start(
    user: int | None, ops: Sequence[str], base: layout.Base, given: Mapping[str, Path], limits: Limits
) -> Started:
    """Run bubblewrap on the stage that `ops` describe and wait for process 1 to answer."""
    async with AsyncExitStack() as undo:  # whatever goes wrong, nothing keeps running
        host, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control = Control(host)
        undo.callback(control.close, "it did not start")
        with ExitStack() as inherited:
            inherited.callback(inside.close)
            told, info = os.pipe()
            inherited.callback(os.close, info)
            said = undo.enter_context(os.fdopen(told, "rb"))
            rules = filled_pipe(seccomp.program())
            inherited.callback(os.close, rules)
            numbers = (inside.fileno(), info, rules)
            process = await spawn(
                layout.launch(user, ops, layout.bubblewrap(base, given, limits, *numbers)), numbers
            )
            undo.push_async_callback(end, process)
        first = await first_process(process, control, said)
        undo.pop_all()
        said.close()
        return Started(process, first, control, control.take_listener())


async def spawn(argv: Sequence[str], inherited: Sequence[int]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": layout.PATH, "LC_ALL": "C.UTF-8"},
        pass_fds=inherited,
    )


async def first_process(process: asyncio.subprocess.Process, control: Control, said: IO[bytes]) -> int:
    """A descriptor of process 1, once it answers; else why it does not. `said` is bubblewrap's own report."""
    try:
        await control.ready()
        report = json.loads(os.read(said.fileno(), 4096))
        return os.pidfd_open(report["child-pid"])
    except (SandboxGone, ProcessLookupError):
        raise failure(*await last_words(process)) from None
    except TimeoutError:
        raise SandboxError("A sandbox started, but its process 1 does not answer.") from None


async def last_words(process: asyncio.subprocess.Process) -> tuple[int, str]:
    """The exit code of a launch that failed, and what it said."""
    assert process.stderr is not None
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), LAST_WORDS_SECONDS)
    await end(process)
    return await process.wait(), await tail(process.stderr)


async def end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def filled_pipe(data: bytes) -> int:
    """A descriptor from which these bytes can be read once; far fewer than a pipe holds."""
    descriptor, end = os.pipe()
    os.write(end, data)
    os.close(end)
    return descriptor


def failure(code: int, said: str) -> SandboxError:
    """What went wrong and how to put it right."""
    if code == REFUSED_NAMESPACE or "namespace" in said or "setting up uid map" in said:
        return SandboxError(f"{NO_NAMESPACES} ({said})")
    if code == REFUSED_OVERLAY:
        return OverlayRefused(f"This file system takes no overlay ({said}).")
    if "become user" in said:
        return SandboxError(
            f"The sandbox's user does not exist here ({said}). Set sandbox_user in [sandbox_runner] "
            "to the first of a range of free user ids that this container maps."
        )
    return SandboxError(f"A sandbox could not be started: {said or f'bwrap ended with {code}'}")
