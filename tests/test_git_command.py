"""Running git on the host: clean, bounded, and with credentials that nobody else ever sees."""

import asyncio
import base64
import os
from pathlib import Path

import pytest
from git_kit import git

from bot.domain import GitAccess
from bot.errors import GitError
from bot.git import FailureKind, Git, GitFailure, scrub
from bot.git.process import Bounds, KernelLimits, started
from storage import Secret

TOKEN = "ghp_verysecretverysecret42"
BASIC = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()


class Server:
    """A bare HTTP server that answers with what it is told, and keeps what it heard."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.heard: list[str] = []
        self.processes: list[str] = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def _serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heard.append(head.decode())
                if "Authorization" in self.heard[-1]:
                    self.processes += visible_of_children()
                answer = self.answers.pop(0)
                if not answer:
                    await reader.read()  # say nothing until the other side goes away
                    break
                writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def visible_of_children() -> list[str]:
    """Arguments and environment of every process below this one, as the same user could read them."""
    seen = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpid() in ancestors(int(folder.name)):
                seen.append(
                    (folder / "cmdline").read_text("latin-1") + (folder / "environ").read_text("latin-1")
                )
        except (OSError, ValueError):
            continue
    return seen


def ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()[1])
        found.append(pid)
    return found


ASK = '401 no\r\nWWW-Authenticate: Basic realm="x"'


def access(server: Server, token: str = TOKEN) -> GitAccess:
    return GitAccess(f"{server.url}/acme/web.git", "x-access-token", Secret(token, "env TOKEN"))


async def ls_remote(there: GitAccess, **more) -> None:
    await Git().run("ls-remote", "--", there.url, access=there, **more)


@pytest.mark.proof("canary")
async def test_a_token_reaches_the_server_and_is_in_no_argument_or_environment_meanwhile():
    async with Server(ASK, "404 no") as server:
        with pytest.raises(GitFailure):
            await ls_remote(access(server))
    assert BASIC in server.heard[1]
    assert len(server.processes) >= 2  # git and its http helper
    assert not any(TOKEN in one or BASIC in one for one in server.processes)


async def test_a_redirect_is_not_followed_and_gets_no_token():
    async with Server() as other, Server(ASK) as server:
        server.answers.append(
            f"302 there\r\nLocation: {other.url}/acme/web.git/info/refs?service=git-upload-pack"
        )
        with pytest.raises(GitFailure) as caught:
            await ls_remote(access(server))
    assert other.heard == []
    assert caught.value.kind is FailureKind.NOT_FOUND
    assert "renamed" in str(caught.value)


async def test_another_address_of_the_same_server_gets_no_token():
    async with Server(ASK, ASK) as server:
        there = access(server)
        with pytest.raises(GitFailure):
            await Git().run("ls-remote", "--", f"{server.url}/acme/other.git", access=there)
    assert not any("Authorization" in one for one in server.heard)


async def test_a_token_is_not_left_in_the_repository(tmp_path):
    await Git().run("init", "--quiet", "--bare", str(tmp_path / "r.git"))
    async with Server(ASK, "404 no") as server:
        with pytest.raises(GitFailure):
            await Git().run(
                "fetch", "--", access(server).url, git_dir=tmp_path / "r.git", access=access(server)
            )
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not any(TOKEN.encode() in path.read_bytes() for path in files)


async def test_a_server_that_says_nothing_is_given_up_and_nothing_keeps_running():
    async with Server("") as server:
        with pytest.raises(GitFailure) as caught:
            await ls_remote(access(server), bounds=Bounds(seconds=0.5))
        assert caught.value.kind is FailureKind.TIMED_OUT
        assert not [one for one in visible_of_children() if server.url in one]


@pytest.mark.parametrize("status", ["500 broken", "503 busy", "429 slow"])
async def test_a_server_in_trouble_is_unreachable(status):
    async with Server(status) as server:
        with pytest.raises(GitFailure) as caught:
            await ls_remote(access(server))
    assert caught.value.kind is FailureKind.UNREACHABLE


async def test_a_refusal_is_forbidden():
    async with Server(ASK, "403 no") as server:
        with pytest.raises(GitFailure) as caught:
            await ls_remote(access(server))
    assert caught.value.kind is FailureKind.FORBIDDEN


@pytest.mark.parametrize(
    "url",
    [
        "http://git.example.com/a/b.git",
        "file:///etc",
        "/etc",
        "ssh://git@example.com/a/b",
        "git@example.com:a/b",
        "ext::sh -c id",
        "https://user:pw@example.com/a/b",
        "https://example.com/a/b?x=1",
        "https://example.com/a b",
        "--upload-pack=id",
    ],
)
async def test_only_plain_https_addresses_are_spoken_to(url):
    with pytest.raises(GitError) as caught:
        await ls_remote(GitAccess(url, "x-access-token", Secret(TOKEN)))
    assert "pw@" not in str(caught.value)


async def test_plain_http_is_allowed_where_it_was_said():
    Git(plain_http_hosts=frozenset({"git.internal"})).check_url("http://git.internal/a/b.git")


async def test_a_credential_with_a_line_break_is_refused_without_being_shown():
    async with Server() as server:
        with pytest.raises(GitError, match="env TOKEN") as caught:
            await ls_remote(access(server, TOKEN + "\nhost=evil"))
    assert TOKEN not in str(caught.value)


async def test_configuration_hooks_and_variables_of_the_host_do_not_matter(tmp_path, monkeypatch):
    evil = tmp_path / "evil"
    evil.write_text("#!/bin/sh\ntouch " + str(tmp_path / "ran") + "\n")
    evil.chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[core]\n  fsmonitor = {evil}\n  hooksPath = {tmp_path}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "ran"))
    assert (await Git().run("config", "--get", "core.fsmonitor")).text == "false"
    assert (await Git().run("config", "--get", "core.hooksPath")).text == "/dev/null"
    assert not (tmp_path / "ran").exists()


async def test_too_much_output_is_stopped(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "big").write_bytes(b"x" * 300_000)
    name = git(tmp_path, "hash-object", "-w", "big")
    with pytest.raises(GitFailure) as caught:
        await Git().run(
            "cat-file", "blob", name, git_dir=tmp_path / ".git", bounds=Bounds(output_bytes=100_000)
        )
    assert caught.value.kind is FailureKind.TOO_LARGE


async def test_the_end_of_a_block_ends_the_whole_group_and_frees_its_pipes():
    script = "sleep 600 & echo $!; exec sleep 600"
    async with started(["/bin/sh", "-c", script], env={"PATH": "/bin:/usr/bin"}, bounds=Bounds()) as job:
        child = int(await job.process.stdout.readline())
    # Reading its pipes to their end has already shown that nobody holds them; the zombie may wait for init.
    assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text("latin-1")


@pytest.mark.parametrize(
    ("limits", "script"),
    [
        (KernelLimits(memory_mib=64), "x = bytearray(200 << 20)"),
        (KernelLimits(file_mib=1), "open(__import__('sys').argv[1], 'wb').write(bytes(2 << 20))"),
        (KernelLimits(cpu_seconds=1), "while True: pass"),
    ],
)
async def test_the_kernel_holds_a_limited_command_to_its_limits(tmp_path, limits, script):
    argv = ["python3", "-S", "-c", script, str(tmp_path / "out")]
    async with started(argv, env={"PATH": os.environ["PATH"]}, bounds=Bounds(kernel=limits)) as job:
        await asyncio.gather(job.output(), job.listen(), job.feed(b""))
        assert await job.wait() != 0
        assert job.stopped_by == ""


async def test_giving_up_a_command_ends_it():
    async with Server("") as server:
        running = asyncio.create_task(ls_remote(access(server)))
        while not server.heard:
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not [one for one in visible_of_children() if server.url in one]


@pytest.mark.parametrize(
    "text",
    [
        f"fatal: unable to access 'https://x-access-token:{TOKEN}@github.com/'",
        "remote: bad token ghp_abcdefghijklmnop1234",
        "github_pat_11AAAAAAA0abcdefghijkl_more was used",
        f"> Authorization: Basic {BASIC}",
        f"sent {BASIC} to it",
        "https://me:hunter2@example.com/x",
    ],
)
def test_error_texts_are_scrubbed_of_every_form_of_a_secret(text):
    cleaned = scrub(text, [TOKEN])
    assert "[secret]" in cleaned
    for secret in (TOKEN, BASIC, "hunter2", "ghp_abc", "0abcdefghijkl"):
        assert secret not in cleaned
