"""The host's end of a supervisor's socket.

Programs in the sandbox run as the supervisor's own user, so every word from it is treated as hostile: records
of one fixed size, one descriptor taken, with the first of them and if it is the listener, and what does not
fit what was asked ends the sandbox.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from errno import EAGAIN
from typing import Protocol

from bot import SandboxError, SandboxGone
from plugins.sandbox_runner.egress import taken
from plugins.sandbox_runner.supervisor import EXITED, FAILED, KILL, READY, REPLY, REQUEST, START, STARTED

MAX_REQUEST_BYTES = 128 * 1024
ANSWER_SECONDS = 15.0
ONE_DESCRIPTOR = socket.CMSG_LEN(array.array("i").itemsize)  # CMSG_SPACE would be room for two
AT_A_TIME = 64  # records read before the loop's other work gets its turn


class Watcher(Protocol):
    """Who is told how a started program ended."""

    def exited(self, code: int) -> None: ...


class Control:
    """Requests to the supervisor, one answer each. `ended` says why the talk ended, once it did."""

    def __init__(self, host: socket.socket) -> None:
        self._socket = host
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self._last = 0
        self._listener: socket.socket | None = None
        self._hello: asyncio.Future[int] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[int]] = {0: self._hello}
        self._running: dict[int, Watcher] = {}
        self._turn = asyncio.Lock()
        self._free = asyncio.Event()
        host.setblocking(False)
        self._loop.add_reader(host, self._readable)

    async def ready(self) -> None:
        """Wait until process 1 runs. TimeoutError, or SandboxGone when it never did."""
        await asyncio.wait_for(self._hello, ANSWER_SECONDS)

    def take_listener(self) -> socket.socket:
        """What came with the first record; whoever takes it closes it."""
        listener, self._listener = self._listener, None
        assert listener is not None, "once, after ready()"
        return listener

    async def start(
        self,
        watcher: Watcher,
        argv: Sequence[str],
        cwd: str,
        env: Mapping[str, str],
        streams: Sequence[int],
    ) -> int:
        """Start a program on three descriptors and return its number."""
        body = encode(argv, cwd, env)
        if self.ended.done():
            raise SandboxGone("The sandbox is gone.")
        self._last += 1
        number = self._last
        answer = self._answers[number] = self._loop.create_future()
        self._running[number] = watcher
        try:
            await asyncio.wait_for(
                self._ask(REQUEST.pack(START, number) + body, answer, streams), ANSWER_SECONDS
            )
        except TimeoutError:
            await self.kill(number)
            raise SandboxError(
                f"The sandbox did not start {argv[0]!r} within {ANSWER_SECONDS:.0f} s."
            ) from None
        except asyncio.CancelledError:  # nobody will ever hold it
            await self.kill(number)
            raise
        trouble = answer.result()
        if trouble:
            raise SandboxError(explain(argv[0], cwd, trouble))
        return number

    async def _ask(self, message: bytes, answer: asyncio.Future[int], streams: Sequence[int]) -> None:
        await self._send(message, streams)
        await asyncio.wait([answer])

    async def kill(self, number: int) -> None:
        """End a program and what it started; one that ended may have left some of that behind."""
        if not self.ended.done():
            await self._send(REQUEST.pack(KILL, number))

    async def _send(self, message: bytes, streams: Sequence[int] = ()) -> None:
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))] if streams else []
        async with self._turn:
            while True:
                try:
                    self._socket.sendmsg([message], extra)
                except BlockingIOError:
                    await self._writable()
                except OSError:
                    raise SandboxGone("The sandbox is gone.") from None
                else:
                    return

    async def _writable(self) -> None:
        self._free.clear()
        self._loop.add_writer(self._socket, self._free.set)
        await self._free.wait()
        if not self.ended.done():
            self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        for _ in range(AT_A_TIME):
            try:
                data = self._receive()
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data or not self._record(data):
                self.close("its process 1 ended" if not data else "its process 1 broke the protocol")
                return

    def _receive(self) -> bytes:
        """One record; a bad one when it came with descriptors that nobody asked for, which are closed."""
        room = 0 if self._hello.done() else ONE_DESCRIPTOR
        data, extra, flags, _ = self._socket.recvmsg(REPLY.size + 1, room, socket.MSG_CMSG_CLOEXEC)
        for _, _, descriptor in extra:
            self._listener = taken(*struct.unpack("=i", descriptor))
        return b"?" if flags & socket.MSG_CTRUNC else data

    def _record(self, data: bytes) -> bool:
        """Take one answer; False when nobody asked for it."""
        if len(data) != REPLY.size:
            return False
        kind, number, value = REPLY.unpack(data)
        if kind == READY and self._listener is None:
            return False
        if kind == EXITED:
            return number not in self._answers and self._exit(number, value)
        if number not in self._answers or kind not in ((STARTED, FAILED) if number else (READY,)):
            return False
        answer = self._answers.pop(number)
        if kind == FAILED:
            self._running.pop(number, None)
        if not answer.done():
            answer.set_result(value if kind == FAILED else 0)
        return True

    def _exit(self, number: int, value: int) -> bool:
        watcher = self._running.pop(number, None)
        if watcher is None or not 0 <= value <= 255:
            return False
        watcher.exited(value)
        return True

    def close(self, why: str) -> None:
        """Stop talking; process 1 ends when it sees that. Safe to call twice."""
        if self.ended.done():
            return
        self.ended.set_result(why)
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        if self._listener is not None:
            self._listener.close()
        self._free.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(SandboxGone(f"The sandbox is gone: {why}."))
                answer.exception()  # seen here, should nobody be waiting for it


def encode(argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> bytes:
    fields = [cwd, str(len(argv)), *argv, *(f"{name}={value}" for name, value in env.items())]
    if not argv or not argv[0]:
        raise SandboxError("There is no program to start: the argument list is empty.")
    if any("\0" in field for field in fields) or any("=" in name or not name for name in env):
        raise SandboxError("Arguments and environment of a program cannot hold NUL, nor names '='.")
    body = b"\0".join(os.fsencode(field) for field in fields)
    if len(body) > MAX_REQUEST_BYTES:
        raise SandboxError(
            f"Arguments and environment take {len(body)} bytes, at most {MAX_REQUEST_BYTES} are taken; "
            "send long input through stdin."
        )
    return body


def explain(program: str, cwd: str, trouble: int) -> str:
    """A negative errno is about the working directory, a positive one about the program."""
    reason = os.strerror(abs(trouble)) if -4096 < trouble < 4096 else "unknown reason"
    if trouble == EAGAIN:
        reason = "the sandbox's bound on processes is reached"
    if trouble < 0:
        return f"Cannot start {program!r} in {cwd!r}: {reason}."
    return f"Cannot start {program!r}: {reason}."
