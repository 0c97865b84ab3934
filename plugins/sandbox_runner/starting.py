"""Start a sandbox's processes, and hold what ends them for certain."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from bot import Limits, SandboxError, SandboxGone
from plugins.sandbox_runner import layout, seccomp
from plugins.sandbox_runner.control import Control
from plugins.sandbox_runner.launch import REFUSED_NAMESPACE, REFUSED_OVERLAY
from plugins.sandbox_runner.trees import tail

END_SECONDS = 20.0

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


async def start(user: int | None, ops: Sequence[str], base: layout.Base, limits: Limits) -> Started:
    """Run bubblewrap on the stage that `ops` describe and wait for process 1 to answer."""
    with ExitStack() as inherited:
        host, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inherited.callback(inside.close)
        told, info = os.pipe()
        seccomp_filter = filled_pipe(seccomp.program())
        inherited.callback(os.close, info)
        inherited.callback(os.close, seccomp_filter)
        numbers = (inside.fileno(), info, seccomp_filter)
        control = Control(host)
        process = await asyncio.create_subprocess_exec(
            *layout.launch(user, ops, layout.bubblewrap(base, limits, *numbers)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": layout.PATH, "LC_ALL": "C.UTF-8"},
            pass_fds=numbers,
        )
    return await settle(process, control, told)


async def settle(process: asyncio.subprocess.Process, control: Control, told: int) -> Started:
    """Wait for process 1, or find out why there is none. Whatever goes wrong, nothing keeps running."""
    try:
        await control.ready()
        first = os.pidfd_open(json.loads(os.read(told, 4096))["child-pid"])
        return Started(process, first, control)
    except (SandboxGone, TimeoutError, ProcessLookupError, ValueError, KeyError):
        control.close("it did not start")
        with suppress(ProcessLookupError):
            process.kill()
        assert process.stderr is not None
        raise failure(await process.wait(), await tail(process.stderr)) from None
    except BaseException:
        control.close("its start was given up")
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    finally:
        os.close(told)


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
            f"The sandbox's user does not exist here ({said}). Set sandbox_user in [plugins.sandbox_runner] "
            "to the first of a range of free user ids that this container maps."
        )
    return SandboxError(f"A sandbox could not be started: {said or f'bwrap ended with {code}'}")
