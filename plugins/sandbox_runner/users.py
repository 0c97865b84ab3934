"""One host user for each sandbox, so that sandboxes are strangers to each other on the host too."""

from __future__ import annotations

import fcntl
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from bot import SandboxError

LOCKS = Path("/run/threadsmith/users")


@dataclass(frozen=True, slots=True)
class UserLease:
    """A user id nobody else runs a sandbox as, on this machine, until it is released."""

    user: int
    descriptor: int

    def release(self) -> None:
        os.close(self.descriptor)


def is_nobody(user: int) -> bool:
    """No account of this machine has the id."""
    try:
        pwd.getpwuid(user)
    except KeyError:
        return True
    return False


def lease(first: int, count: int) -> UserLease:
    """A free one of the range. The lock on its file ends with this process, however that ends."""
    LOCKS.mkdir(mode=0o700, parents=True, exist_ok=True)
    for user in filter(is_nobody, range(first, first + count)):
        descriptor = os.open(LOCKS / str(user), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return UserLease(user, descriptor)
    raise SandboxError(
        f"All {count} sandbox users from {first} on are in use. "
        "Raise sandbox_users in [sandbox_runner], or end some sessions."
    )
