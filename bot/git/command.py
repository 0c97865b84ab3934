"""Runs git on the host: clean environment, no configuration but ours, no hooks, bounded, secrets in a pipe.

Credentials. The token goes into a pipe that only this one git process and its children inherit, and git
is told of a helper for the exact address that reads it: `credential.<url>.helper = !cat /dev/fd/N`. Nothing
of it is in an argument, an address, the environment or a file; a redirect or another address gets none of
it; once read it is gone. (An askpass program would need a file and the environment, an extra header is
seen in `ps`.)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from bot.domain import GitAccess
from bot.errors import GitError
from bot.git.failures import FailureKind, GitFailure, last_words, remote_failure, scrub
from bot.git.process import Bounds, Job, started

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

ENVIRONMENT = {
    "PATH": PATH,
    "HOME": "/nonexistent",
    "LC_ALL": "C",  # its words are read by failures.classify
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}

CONFIG: Mapping[str, str] = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.askPass": "",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    # Small windows, and big blobs as streams: a limit on memory is then about the work, not the mirror.
    "core.packedGitWindowSize": "16m",
    "core.packedGitLimit": "256m",
    "core.bigFileThreshold": "8m",
    # Packs are flushed anyway; a ref that a power cut left empty would break every later fetch.
    "core.fsync": "reference",
    "credential.helper": "",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "transfer.unpackLimit": "1",  # always one pack, never thousands of loose files
    "transfer.fsckObjects": "true",
    # Mistakes of old git versions that real histories carry and that harm nobody.
    "fetch.fsck.badTimezone": "ignore",
    "fetch.fsck.missingSpaceBeforeDate": "ignore",
    "fetch.fsck.zeroPaddedFilemode": "ignore",
}


@dataclass(frozen=True, slots=True)
class Output:
    """What a command said and how it ended (one of the codes that were called fine)."""

    code: int
    stdout: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", "replace").strip()


@dataclass(frozen=True, slots=True)
class Git:
    """The one way to run git on the host. Only `plain_http_hosts` are spoken to without TLS."""

    program: str = "git"
    plain_http_hosts: frozenset[str] = LOOPBACK

    async def run(
        self,
        *args: str,
        git_dir: Path | None = None,
        what: str = "",
        stdin: bytes | IO[bytes] = b"",
        env: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
        access: GitAccess | None = None,
        bounds: Bounds | None = None,
        ok: tuple[int, ...] = (0,),
    ) -> Output:
        """Run it to its end. GitFailure (scrubbed) when it ends otherwise than `ok` or hits a bound.

        `what` begins the error's text: "Fetching acme/web failed". `stdin` is bytes or an open file.
        """
        bounds = Bounds() if bounds is None else bounds
        piped = stdin if isinstance(stdin, bytes) else None
        with _credential(access) as (secret_config, fds):
            settings = {**CONFIG, **(config or {}), **secret_config}
            async with started(
                self._argv(args, git_dir),
                env=self._environment(settings, access, env),
                bounds=bounds,
                stdin=None if isinstance(stdin, bytes) else stdin,
                fds=fds,
            ) as job:
                feeding = job.feed(piped) if piped is not None else asyncio.sleep(0)
                stdout, stderr, _ = await asyncio.gather(job.output(), job.listen(), feeding)
                code = await job.wait()
        if job.stopped_by or code not in ok:
            raise _failure(what or f"git {args[0]}", job, code, stderr, access)
        return Output(code, stdout)

    async def stream(
        self, *args: str, git_dir: Path, stdin: bytes = b"", what: str = "", bounds: Bounds | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Its standard output in chunks, no faster than they are taken. GitFailure after it, as for `run`."""
        bounds = Bounds() if bounds is None else bounds
        environment = self._environment(CONFIG, None, None)
        async with started(self._argv(args, git_dir), env=environment, bounds=bounds) as job:
            sides = asyncio.gather(job.listen(), job.feed(stdin))
            try:
                async with aclosing(job.chunks()) as chunks:
                    async for chunk in chunks:
                        yield chunk
                stderr, _ = await sides
                code = await job.wait()
            finally:
                job.stop("end")
                sides.cancel()
                with suppress(asyncio.CancelledError):
                    await sides
        if job.stopped_by or code != 0:
            raise _failure(what or f"git {args[0]}", job, code, stderr, None)

    def check_url(self, url: str) -> None:
        """GitError unless it is https, or http to a host where that is allowed, with no credential in it."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        plain = parts.scheme == "http" and host in self.plain_http_hosts
        if not (parts.scheme == "https" or plain) or not host:
            raise GitError(f"{scrub(url)!r} is not an https:// address; git is only spoken over https.")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise GitError(
                f"{scrub(url)!r} must be a plain address without user, password, query or fragment."
            )
        if any(ord(c) <= 0x20 or ord(c) == 0x7F for c in url):
            raise GitError("A git address must not hold spaces or control characters.")

    def _argv(self, args: tuple[str, ...], git_dir: Path | None) -> list[str]:
        where = [] if git_dir is None else [f"--git-dir={git_dir}"]
        return [self.program, "--no-pager", *where, *args]

    def _environment(
        self, config: Mapping[str, str], access: GitAccess | None, more: Mapping[str, str] | None
    ) -> dict[str, str]:
        """Configuration in variables, not `-c`: it reaches git's children, and `ps` stays readable."""
        if access is not None:
            self.check_url(access.url)
        protocol = "none" if access is None else urlsplit(access.url).scheme
        numbered = {
            name: value
            for i, (key, setting) in enumerate(config.items())
            for name, value in ((f"GIT_CONFIG_KEY_{i}", key), (f"GIT_CONFIG_VALUE_{i}", setting))
        }
        counted = {"GIT_CONFIG_COUNT": str(len(config)), "GIT_ALLOW_PROTOCOL": protocol}
        return {**ENVIRONMENT, **counted, **numbered, **(more or {})}


@contextmanager
def _credential(access: GitAccess | None) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """The helper's configuration and the pipe it reads, filled and already closed on our side."""
    if access is None or not access.password:
        yield {}, ()
        return
    answer = f"username={access.username}\npassword={access.password.reveal()}\n"
    if answer.count("\n") != 2 or "\0" in answer:
        raise GitError(
            f"The credential for {access.url} ({access.password}) holds a line break; put it in again."
        )
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(answer.encode())  # far smaller than a pipe holds, so this never waits
        helper = f'!f() {{ test "$1" = get && cat /dev/fd/{reader}; }}; f'
        yield {f"credential.{access.url}.helper": helper}, (reader,)
    finally:
        os.close(reader)


def _failure(what: str, job: Job, code: int, stderr: str, access: GitAccess | None) -> GitFailure:
    if job.stopped_by == "time":
        text = f"{what}: took longer than {job.bounds.seconds:g} seconds and was stopped. Try again."
        return GitFailure(text, FailureKind.TIMED_OUT)
    if job.stopped_by == "output":
        return GitFailure(f"{what}: gave more than {job.bounds.output_bytes} bytes.", FailureKind.TOO_LARGE)
    if access is not None:
        return remote_failure(what, stderr, access)
    if code < 0:
        return GitFailure(
            f"{what}: git was ended by signal {-code}, its limits were hit.", FailureKind.TOO_LARGE
        )
    return GitFailure(f"{what}: git ended with {code}. Git said: {last_words(scrub(stderr))}")
