"""Runs git on a bare repository: clean environment, time and output limits, never a shell."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Collection, Mapping
from pathlib import Path

TIME_LIMIT_SECONDS = 60.0
OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024

# Nothing of the person who runs the playground may change what git does or whom it takes them for.
CLEAN_ENVIRONMENT: Mapping[str, str] = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LITERAL_PATHSPECS": "1",
}


class GitError(Exception):
    """git failed: `code` is its exit status, the text is what it wrote to stderr."""

    def __init__(self, command: str, code: int, text: str) -> None:
        super().__init__(f"git {command} failed with {code}: {text.strip() or 'no message'}")
        self.code = code


def git_program() -> str:
    """The full path of git. Raises GitError when it is not installed."""
    found = shutil.which("git")
    if found is None:
        raise GitError("", 127, "git is not installed; install the package 'git'")
    return found


def kill_group(process: asyncio.subprocess.Process) -> None:
    """End a process and all it started (each gets its own session)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Git:
    """git, bound to one bare repository."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def __call__(
        self,
        command: str,
        *arguments: str,
        stdin: bytes = b"",
        ok: Collection[int] = (0,),
        environment: Mapping[str, str] | None = None,
        seconds: float = TIME_LIMIT_SECONDS,
    ) -> bytes:
        """Output of `git COMMAND ...`. Raises GitError for other exit codes than `ok`, or past a limit."""
        code, output, errors = await self.run(
            command, *arguments, stdin=stdin, environment=environment, seconds=seconds
        )
        if code not in ok:
            raise GitError(command, code, errors)
        return output

    async def run(
        self,
        command: str,
        *arguments: str,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        seconds: float = TIME_LIMIT_SECONDS,
    ) -> tuple[int, bytes, str]:
        """Exit code, output and messages, for commands whose code is an answer."""
        process = await asyncio.create_subprocess_exec(
            git_program(),
            f"--git-dir={self.path}",
            command,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**CLEAN_ENVIRONMENT, **({} if environment is None else environment)},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(seconds):
                return await _talk(process, stdin)
        except TimeoutError:
            raise GitError(command, -1, f"took longer than {seconds:g} s") from None
        finally:
            if process.returncode is None:
                kill_group(process)
                await process.wait()


async def _talk(process: asyncio.subprocess.Process, stdin: bytes) -> tuple[int, bytes, str]:
    assert process.stdin and process.stdout and process.stderr
    _, output, errors = await asyncio.gather(
        _feed(process.stdin, stdin), _read(process.stdout), _read(process.stderr)
    )
    return await process.wait(), output, errors.decode("utf-8", "replace")


async def _feed(pipe: asyncio.StreamWriter, data: bytes) -> None:
    # git may stop reading early; its exit code tells whether that mattered.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.write(data)
        await pipe.drain()
    pipe.close()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await pipe.wait_closed()


async def _read(pipe: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := await pipe.read(_CHUNK_BYTES):
        size += len(chunk)
        if size > OUTPUT_LIMIT_BYTES:
            raise GitError("", -1, f"wrote more than {OUTPUT_LIMIT_BYTES} bytes")
        parts.append(chunk)
    return b"".join(parts)
