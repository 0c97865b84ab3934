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
from collections.abc import Callable, Iterator

KEPT_BYTES = 16_000
TELL_SECONDS = 0.3
TICK_SECONDS = 0.05
BEAT_SECONDS = 15.0  # a sign of life while there is nothing to tell
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
    told, news = time.monotonic(), False
    for chunk in _output(process, stop):
        tail.feed(chunk)
        news = news or bool(chunk)
        if time.monotonic() - told >= (TELL_SECONDS if news else BEAT_SECONDS):
            tell(tail.text())
            told, news = time.monotonic(), False


def _output(process: subprocess.Popen[bytes], stop: threading.Event) -> Iterator[bytes]:
    """What it prints until it has ended, and b"" whenever nothing came for a moment.

    The end of the program counts and not that of its output: it may close that early, and what it left in
    the background may hold it open, or write on forever.
    """
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    deadline = time.monotonic() + MAX_SECONDS
    is_open = True
    while process.poll() is None:
        if stop.is_set():
            raise Stopped
        if time.monotonic() > deadline:
            raise TimeoutError
        chunk = _read(pipe, TICK_SECONDS) if is_open else None
        is_open = is_open and chunk != b""
        if not is_open:
            stop.wait(TICK_SECONDS)
        yield chunk or b""
    last = time.monotonic() + GRACE_SECONDS
    while is_open and time.monotonic() < last and (rest := _read(pipe, 0)):
        yield rest


def _read(pipe: int, seconds: float) -> bytes | None:
    """Some output, b"" at its end, None when there is none yet."""
    ready, _, _ = select.select([pipe], [], [], seconds)
    return os.read(pipe, 65536) if ready else None


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
