"""One owner for a playground's folder and the ports it chose: held by the kernel, gone with the process."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from storage import StorageError

_LEAVE_SECONDS = 15.0
_LOOK_SECONDS = 0.1


class Claim:
    """This process's hold on a folder, until `release` or the end of the process."""

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    def release(self) -> None:
        """Let go. The file stays: removing it would let two owners in. Safe to call twice."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def __del__(self) -> None:
        self.release()


def claim(folder: Path) -> Claim | None:
    """Hold the folder; None where this process or its parent holds it. StorageError when another does."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        os.close(handle)
        if holder in (str(os.getpid()), str(os.getppid())):
            return None
        what = f"is in use by another demo or playground, process {holder or 'unknown'}"
        raise StorageError(
            what, folder, "Stop that one first, or choose another folder with --data."
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return Claim(handle)


def private_folder(path: Path) -> None:
    """Make a folder that only we can enter. StorageError where somebody else made it, or a link, first."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StorageError("is not a folder of yours", path, "Choose another folder with --data.")
    path.chmod(0o700)


def is_free(port: int) -> bool:
    """Whether nobody listens there now."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def must_be_free(folder: Path, ports: Iterable[int], *, ours: bool) -> None:
    """StorageError naming the port that is taken, or the lock of a bot in the folder that still runs.

    `ours`: the folder was used on these ports before; what is in the way may be ending, and is waited for.
    """
    end = time.monotonic() + (_LEAVE_SECONDS if ours else 0)
    while (trouble := _in_the_way(folder, ports)) is not None:
        if time.monotonic() >= end:
            raise trouble
        time.sleep(_LOOK_SECONDS)


def _in_the_way(folder: Path, ports: Iterable[int]) -> StorageError | None:
    taken = next((port for port in ports if not is_free(port)), None)
    if taken is not None:
        fix = "Stop the program that listens there, or choose others: --port N takes N, N+1 and N+2."
        return StorageError(f"cannot be started, as port {taken} on 127.0.0.1 is in use", folder, fix)
    if _is_held(folder / "bot" / "lock"):
        return StorageError("is in use by a bot that still runs", folder / "bot", "Stop that bot first.")
    return None


def _is_held(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def reserve(first: int) -> Claim | None:
    """A hold on the ports from `first` on, which are about to be used; None when another process has it.

    Between looking for free ports and listening on them lies the start of a process; a second demo that looks
    meanwhile must not find the same. An abstract address needs no file and ends with the socket.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mark, suppress(OSError):
        mark.bind(f"\0threadsmith-playground-{first}")
        return Claim(mark.detach())
    return None
