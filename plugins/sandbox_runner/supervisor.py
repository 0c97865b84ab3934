"""Process 1 of a sandbox: starts, reaps and kills programs for the host. Standard library alone.

    python -I -S supervisor.py SOCKET PROCESSES FILE_BYTES

SOCKET is an inherited SOCK_SEQPACKET descriptor. The first word on it is READY, and with it (SCM_RIGHTS) a
listener on GATEWAY in this network namespace. A socket belongs to the namespace it was made in, so the host
accepts what is connected to here, and nothing of ours has to run in between. Then the host sends one request
a message, the answers are fixed records `!BIi` (kind, id, value):

    START id + stdin, stdout, stderr (SCM_RIGHTS) + NUL-separated cwd, argument count, arguments, environment
        -> STARTED id 0, or FAILED id errno (negative when the working directory was at fault)
    KILL id    ends its session and all that descends from it
        -> EXITED id code (128+n for signal n), always and once for each that STARTED

When the host's end closes, this process ends, and with it everything in its process namespace. Being
process 1 it cannot be killed or stopped from inside; being undumpable (and ptrace being filtered) it cannot
be read or robbed of its socket by programs that run as the same user.
"""

# Importing pathlib would be half of this script's start-up time; executing programs is its purpose.
# ruff: noqa: PTH123, PTH208, S606

from __future__ import annotations

import ctypes
import os
import resource
import select
import struct
import sys

TYPE_CHECKING = False  # importing typing for it would be a third of this script's start-up time
if TYPE_CHECKING:
    import signal
    import socket
    from collections.abc import Callable
    from typing import NoReturn
else:  # what the public modules wrap: these import in no time, those take 8 ms of each start
    import _signal as signal
    import _socket as socket

START, KILL = 1, 2
READY, STARTED, FAILED, EXITED = 10, 11, 12, 13
GATEWAY = ("127.0.0.1", 3128)  # that no program can bind: it is taken before the first one runs
WAITING, BUFFER_BYTES = 128, 256 * 1024  # connections not accepted yet; what the host's end of one may hold
REQUEST = struct.Struct("!BI")
REPLY = struct.Struct("!BIi")
MAX_REQUEST = 160 * 1024
PR_SET_DUMPABLE = 4
KILL_LOOKS, KILL_PAUSE_SECONDS = 200, 0.002
OOM_SCORE = "500"  # when memory is short the programs go first, not this process

libc = ctypes.CDLL(None)


class Supervisor:
    def __init__(self, descriptor: int) -> None:
        self.host = socket.socket(fileno=descriptor)
        self.started: dict[int, int] = {}  # process id -> the host's id, until it is reaped
        self.leaders: dict[int, int] = {}  # the host's id -> process id, which is also its session's
        self.wakes, wake = os.pipe()
        os.set_blocking(self.wakes, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def run(self, listener: socket.socket) -> None:
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", listener.fileno()))]
        self.host.sendmsg([REPLY.pack(READY, 0, 0)], extra)
        listener.close()  # no program can be started before, so none ever inherits it
        poll = select.poll()
        poll.register(self.host, select.POLLIN)
        poll.register(self.wakes, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self.wakes in ready:
                os.read(self.wakes, 4096)
            self.reap()
            if self.host.fileno() in ready and not self.serve():
                return

    def reply(self, kind: int, number: int, value: int) -> None:
        self.host.send(REPLY.pack(kind, number, value))

    def serve(self) -> bool:
        """Answer one request; False once the host is gone."""
        data, extra, _, _ = self.host.recvmsg(MAX_REQUEST, socket.CMSG_SPACE(12), socket.MSG_CMSG_CLOEXEC)
        if not data:
            return False
        kind, number = REQUEST.unpack_from(data)
        if kind == START:
            self.start(number, data[REQUEST.size :], struct.unpack("=3i", extra[0][2]))
        elif kind == KILL:
            self.kill(number)
        return True

    def start(self, number: int, body: bytes, streams: tuple[int, ...]) -> None:
        cwd, count, *rest = body.split(b"\0")
        arguments, environment = rest[: int(count)], rest[int(count) :]
        told, tell = os.pipe()
        child, trouble = self.fork(lambda: self.become(cwd, arguments, environment, streams, tell))
        for descriptor in (*streams, tell):
            os.close(descriptor)
        answer = os.read(told, 4)  # ends at exec, with nothing said when that worked
        os.close(told)
        if answer:
            (trouble,) = struct.unpack("=i", answer)
        if trouble:
            self.reply(FAILED, number, trouble)
            return
        self.started[child] = number
        self.leaders[number] = child
        self.reply(STARTED, number, 0)

    def fork(self, become: Callable[[], NoReturn]) -> tuple[int, int]:
        """The child's process id, or an errno."""
        try:
            child = os.fork()
        except OSError as error:
            return 0, error.errno or 1
        if child == 0:
            become()
        return child, 0

    def become(
        self,
        cwd: bytes,
        arguments: list[bytes],
        environment: list[bytes],
        streams: tuple[int, ...],
        tell: int,
    ) -> NoReturn:
        """In the child: turn into the program, or say why not. Never returns."""
        blame = -1
        try:
            self.host.close()
            libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # makes the next file ours; the socket is closed already
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write(OOM_SCORE)
            os.setsid()
            for place, stream in enumerate(streams):
                os.dup2(stream, place)
            for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # as Python leaves them
                signal.signal(ignored, signal.SIG_DFL)
            os.chdir(cwd)
            blame = 1
            variables = dict(line.split(b"=", 1) for line in environment)
            os.execvpe(arguments[0], arguments, variables)
        except OSError as error:
            os.write(tell, struct.pack("=i", blame * (error.errno or 1)))
        finally:
            os._exit(127)

    def reap(self) -> None:
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if child == 0:
                return
            number = self.started.pop(child, None)
            if number is not None:
                code = os.waitstatus_to_exitcode(status)
                self.reply(EXITED, number, code if code >= 0 else 128 - code)

    def kill(self, number: int) -> None:
        leader = self.leaders.get(number)
        if leader is None:
            return
        known = {leader} & self.started.keys()  # once reaped, its number may be somebody else's
        for _ in range(KILL_LOOKS):  # what forks while it is being killed is caught the next time round
            doomed = family(leader, known)
            for process in doomed:
                kill_one(process)
            if not doomed - {leader}:
                return
            select.select([], [], [], KILL_PAUSE_SECONDS)  # so that whoever asks next finds them gone


def family(leader: int, known: set[int]) -> set[int]:
    """The living of a session, and what descends from it, by process id."""
    parents, found = {}, set(known)
    for name in os.listdir("/proc"):
        if name.isdigit():
            state, parent, session = facts(name)
            if state not in ("Z", "X"):
                parents[int(name)] = parent
                if session == leader and int(name) != leader:
                    found.add(int(name))
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def facts(process: str) -> tuple[str, int, int]:
    """State, parent and session; a name in parentheses, which may hold anything, comes before them."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return "X", 0, 0
    return fields[0].decode(), int(fields[1]), int(fields[3])


def kill_one(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def listen() -> socket.socket:
    """Without SO_REUSEADDR or SO_REUSEPORT, so that the address is not to be shared with anybody."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):  # of every connection, else each grows by megabytes
        listener.setsockopt(socket.SOL_SOCKET, buffer, BUFFER_BYTES)
    listener.bind(GATEWAY)
    listener.listen(WAITING)
    return listener


def main(arguments: list[str]) -> None:
    descriptor, processes, file_bytes = (int(argument) for argument in arguments)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.set_inheritable(descriptor, False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    supervisor = Supervisor(descriptor)
    listener = listen()
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    supervisor.run(listener)


if __name__ == "__main__":
    main(sys.argv[1:])
