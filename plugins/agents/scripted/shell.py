"""Runs a command of a request, streaming what it prints, and ends it with all it started."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable

KEPT_BYTES = 16_000
TELL_SECONDS = 0.3
MAX_SECONDS = 1_800.0
GRACE_SECONDS = 0.5  # the client waits 2 s for a cancelled turn


class Stopped(Exception):
    """The turn was cancelled while a step was at work."""


class Tail:
    """The last bytes of an output."""

    def __init__(self) -> None:
        self.data = b""
        self.cut = False

    def feed(self, chunk: bytes) -> None:
        self.data += chunk
        self.cut = self.cut or len(self.data) > KEPT_BYTES
        self.data = self.data[-KEPT_BYTES:]

    def text(self) -> str:
        return ("…" if self.cut else "") + self.data.decode("utf-8", "replace").rstrip()


def run(command: str, cwd: str, stop: threading.Event, tell: Callable[[str], None]) -> tuple[int, str]:
    """The exit code (-n: signal n) and the end of the output. `tell` gets that end as it grows.

    Raises Stopped when `stop` was set, and TimeoutError after MAX_SECONDS; nothing is left running.
    """
    shell = shutil.which("bash") or "/bin/sh"
    process = subprocess.Popen(
        [shell, "-c", command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    tail = Tail()
    try:
        _follow(process, tail, stop, tell)
    finally:
        _end(process)
    return process.returncode, tail.text()


def _follow(
    process: subprocess.Popen[bytes], tail: Tail, stop: threading.Event, tell: Callable[[str], None]
) -> None:
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    deadline = time.monotonic() + MAX_SECONDS
    told = time.monotonic()
    news = False
    while True:
        if stop.is_set():
            raise Stopped
        if time.monotonic() > deadline:
            raise TimeoutError
        ended = process.poll() is not None
        chunk = _read(pipe, 0.0 if ended else 0.05)
        if chunk:
            tail.feed(chunk)
            news = True
        elif ended or chunk == b"":  # ended: what it left in the background may hold the pipe open
            break
        if news and time.monotonic() - told >= TELL_SECONDS:
            tell(tail.text())
            told, news = time.monotonic(), False
    _wait(process, stop, deadline)


def _read(pipe: int, seconds: float) -> bytes | None:
    """Some output, b"" at its end, None when there is none yet."""
    ready, _, _ = select.select([pipe], [], [], seconds)
    return os.read(pipe, 65536) if ready else None


def _wait(process: subprocess.Popen[bytes], stop: threading.Event, deadline: float) -> None:
    """A program may close its output long before it ends."""
    while process.poll() is None:
        if stop.wait(0.05):
            raise Stopped
        if time.monotonic() > deadline:
            raise TimeoutError


def _end(process: subprocess.Popen[bytes]) -> None:
    """End its whole group, whether or not the shell itself is still there."""
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    _signal(process, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
