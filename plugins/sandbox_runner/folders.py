"""The host's folders that one sandbox is given, read-only, besides those that all sandboxes may read."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from bot import SandboxError
from plugins.sandbox_runner import layout

PLACE = re.compile(r"/opt/[A-Za-z0-9][A-Za-z0-9._-]*")  # where nothing else of a sandbox is


def checked(
    folders: Mapping[str, Path], base: layout.Base, private: Path, user: int | None
) -> dict[str, Path]:
    """SandboxError with what to do for one that cannot be given to a sandbox that runs as `user`."""
    given = {place: source.resolve() for place, source in folders.items()}
    for place, source in given.items():
        check_place(place, base)
        check_source(source, private)
        check_readable(source, user)
    return given


def check_place(place: str, base: layout.Base) -> None:
    if not PLACE.fullmatch(place):
        raise SandboxError(f"A folder cannot be put at {place!r} in a sandbox, only at /opt/NAME.")
    for shared in base.folders:
        if Path(place).is_relative_to(shared) or Path(shared).is_relative_to(place):
            raise SandboxError(
                f"A folder cannot be put at {place} in a sandbox: {shared} of the host is there already. "
                "In read_only of [sandbox_runner], name the folders below it that are needed instead."
            )


def check_source(source: Path, private: Path) -> None:
    if not source.is_dir():
        raise SandboxError(f"The folder {source}, which a sandbox is to read, is not there.")
    if source.is_relative_to(private.resolve()) or not layout.is_shareable(source, private):
        raise SandboxError(
            f"The folder {source} cannot be given to a sandbox: it is a home, the bot's data or its "
            "environment, or holds one of them. Move what is needed to a folder of its own."
        )


def check_readable(source: Path, user: int | None) -> None:
    """Of what lies deeper the program will say it; a set-up that hid its files began at the top."""
    hidden = next((path for path in (source, *source.iterdir()) if not is_readable(path, user)), None)
    if hidden is not None:
        raise SandboxError(
            f"{hidden} cannot be read by the user that a sandbox runs as, only by its owner. "
            f"Let everybody read it: chmod -R go+rX {source}"
        )


def is_readable(path: Path, user: int | None) -> bool:
    """Whether a sandbox may do what the owner may, but for writing."""
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        return True
    if user is None:
        return os.access(path, os.R_OK)
    return (state.st_mode >> 6) & 0o5 & ~state.st_mode == 0
