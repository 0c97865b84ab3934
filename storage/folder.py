"""The data folder: what lies where, and the lock that makes one process its owner."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from storage.creation import flush_folder, flush_name
from storage.errors import StorageError, explaining_os

_SOCKET_PATH_BYTES = 107  # the kernel's limit for a Unix socket's path


class DataFolder:
    """All paths below `path`. Whoever opens a database in it must hold the lock first."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    @property
    def sessions(self) -> Path:
        return self.path / "sessions"

    @property
    def mirrors(self) -> Path:
        return self.path / "mirrors"

    @property
    def images(self) -> Path:
        return self.path / "images"

    @property
    def plugins(self) -> Path:
        """Below it each plugin has a folder of its own name."""
        return self.path / "plugins"

    @property
    def state_path(self) -> Path:
        return self.path / "state.db"

    @property
    def index_path(self) -> Path:
        return self.path / "index.db"

    @property
    def lock_path(self) -> Path:
        return self.path / "lock"

    @property
    def admin_socket(self) -> Path:
        """Raises StorageError when the folder's path is too long for a socket."""
        socket = self.path / "admin.sock"
        if len(os.fsencode(socket)) > _SOCKET_PATH_BYTES:
            raise StorageError(
                f"is too long for a socket ({_SOCKET_PATH_BYTES} bytes at most)",
                socket,
                "Choose a data folder with a shorter path.",
            )
        return socket

    def session_path(self, session_id: str) -> Path:
        """Derived from the id alone. Raises ValueError for an id that could leave the folder."""
        if not session_id.isalnum() or not session_id.isascii() or len(session_id) < 3:
            raise ValueError(f"not a session id: {session_id!r}")
        return self.sessions / session_id[:2] / f"{session_id}.db"

    def create(self) -> None:
        """Make the folders, for the owner only, and have their names on the disk. Raises StorageError."""
        with explaining_os(self.path):
            missing = [folder for folder in self.path.parents if not folder.exists()]
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.sessions, self.mirrors, self.images, self.plugins):
                folder.mkdir(mode=0o700, exist_ok=True)
            flush_folder(self.path)
            for folder in [self.path, *missing]:
                flush_name(folder)

    def acquire(self) -> None:
        """Become the owner, creating the folders. Raises StorageError, naming the owner if there is one."""
        self.create()
        with explaining_os(self.lock_path):
            handle = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._take(handle)
            except BaseException:
                os.close(handle)
                raise
        self._lock = handle

    def _take(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            what = f"is in use by process {holder}"
            fix = "Stop that bot first, or choose another data folder."
            raise StorageError(what, self.path, fix) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go. The lock file stays: removing it would let two owners in. Safe to call twice."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    @property
    def held(self) -> bool:
        return self._lock is not None
