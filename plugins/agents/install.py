"""Fetch the programs of agents: each into a folder of its own, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot import GATEWAY_URL, UserError
from plugins.agents.plain import NO_KEY, fill

NPM_CI = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
SAY_SECONDS = 2.0

_HALF = ".new-"
_SHOWN_LINES = 12
_CODE = re.compile(r"^npm (?:error|ERR!) code (\w+)", re.MULTILINE)
_LOGIN = re.compile(r"(?<=://)[^\s/@]+@")
_AWAY = {"ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EIDLETIMEOUT"}
_CODES = dict.fromkeys(_AWAY, "the package registry cannot be reached: see that the network is there") | {
    "E404": "the package registry does not have it: `npm config get registry` says which one was asked",
    "EINTEGRITY": "what the package registry sent is not what was asked for, so it was thrown away",
    "ENOSPC": "the disk is full",
}


@dataclass(frozen=True, slots=True)
class Program:
    """What `command` makes in a new folder that has `files` in it; the folder is `folder` afterwards."""

    name: str
    folder: Path
    command: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def there(self) -> bool:
        return self.folder.is_dir()


def own_program(name: str, command: Sequence[str], folder: Path) -> Program:
    """That of a configured agent. Another command is another folder, so that a change is fetched anew."""
    mark = hashlib.blake2b("\0".join(command).encode(), digest_size=4).hexdigest()
    return Program(name, folder / f"{name}-{mark}", tuple(command))


def install(program: Program, say: Callable[[str], None]) -> bool:
    """Fetch it; False when it was there already. UserError says why not, and nothing is left behind."""
    if program.there:
        return False
    place = program.folder.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _alone(place):
            if program.there:
                return False
            _fetch(program, place, say)
    except OSError as error:
        reason = (error.strerror or "it failed").lower()
        raise UserError(f"{program.name} cannot be installed into {place}: {reason}.") from None
    return True


def _fetch(program: Program, place: Path, say: Callable[[str], None]) -> None:
    made = Path(tempfile.mkdtemp(prefix=_HALF, dir=place))
    try:
        for name, text in program.files.items():
            (made / name).write_text(text)
        _run(program, made, say)
        _open_to_all(made)
        made.rename(program.folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """One at a time; what one that was killed left is removed."""
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in place.glob(f"{_HALF}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _run(program: Program, folder: Path, say: Callable[[str], None]) -> None:
    values = {"folder": str(folder), "gateway": GATEWAY_URL, "no_key": NO_KEY}
    command = [fill(part, values) for part in program.command]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,  # so that it can be ended with all it started
            )
        except FileNotFoundError:
            raise UserError(_missing(command[0])) from None
        try:
            while _works(process):
                say(f"  {time.monotonic() - started:.0f} s, {_mib(folder)} MiB so far")
        finally:
            _end(process)
        if process.returncode != 0:
            said.seek(0)
            raise UserError(_failed(program, said.read()))


def _works(process: subprocess.Popen[bytes]) -> bool:
    """Wait a moment; False once it has ended."""
    try:
        process.wait(SAY_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """It and all it started, when we are interrupted."""
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.wait()


def _mib(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) >> 20


def _missing(command: str) -> str:
    if command in ("npm", "npx", "node"):
        return f"{command} is not there. Install Node.js 20 or newer: sudo apt-get install nodejs npm"
    return f"{command} is not there; install it first."


def _failed(program: Program, said: str) -> str:
    """What it said last, with no login in an address; what npm's codes mean is told in words."""
    code = _CODE.search(said)
    if code is not None and code[1] in _CODES:
        return f"{program.name} was not installed: {_CODES[code[1]]} ({code[1]})."
    last = "\n".join(f"  {line}" for line in _LOGIN.sub("", said).splitlines()[-_SHOWN_LINES:])
    return f"{program.name} was not installed: {program.command[0]} failed.\n{last}".rstrip()


def _open_to_all(folder: Path) -> None:
    """A sandbox runs as another user, who reads what the installer's umask may have kept from others."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        runs = 0o111 if path.is_dir() or mode & 0o100 else 0
        path.chmod((mode | 0o444 | runs) & ~0o7022)
