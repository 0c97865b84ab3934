"""Every secret of a household bears a mark; wherever anything of it could have gone, it is looked for."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import os
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from leak_scan import Scanner, disguised, forms
from sandbox_kit import a_sandbox, sh

from bot.playground import people
from bot.playground.household import Household, household
from bot.sandbox_io import run, write_files

pytestmark = pytest.mark.proof("canary")

SCANNER = Path(__file__).with_name("leak_scan.py")
STOREFRONT = "acme/storefront"
WEB, ADA, BEN = "C0WEBFRONT", people.ADA.id, people.BEN.id
SECONDS = 100
Json = dict[str, Any]
Record = Callable[[str, object], None]

# Where a secret is at rest by right, and why. Anything else is a leak.
AT_REST = {
    "secrets": "the household's own, one file each, 0600: what the bot's configuration refers to",
    "secret-prefix": "the mark itself, which is no secret, for the playground's next start",
    "playground/slack.db": "the playground is Slack here: its verification token and response addresses",
    "playground/slack.db-wal": "the same file's journal",
}


def new_mark() -> str:
    return f"Canary{secrets.token_hex(6)}Q"


# -- a bot at work -------------------------------------------------------------------------------


class Town:
    """Playground and bot as two processes, as the demo starts them, the bot with everything logged."""

    def __init__(self, home: Household, http: aiohttp.ClientSession, folder: Path) -> None:
        self.home, self.http, self.folder = home, http, folder
        self.running: dict[str, asyncio.subprocess.Process] = {}
        self.threads: list[str] = []

    async def start(self, name: str, *arguments: str, url: str) -> None:
        log = self.home.folder / "logs" / f"{name}.log"
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        with log.open("ab") as out:
            self.running[name] = await asyncio.create_subprocess_exec(
                *[sys.executable, "-X", "dev", "-W", "ignore", "-m", "bot", *arguments],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, "TMPDIR": str(temporary)},
            )
        async with asyncio.timeout(SECONDS):
            while True:
                with suppress(aiohttp.ClientError):
                    async with self.http.get(url) as response:
                        if response.status < 500:
                            return
                await asyncio.sleep(0.05)

    async def start_playground(self) -> None:
        arguments = ("playground", "--data", str(self.home.folder), "--quiet")
        await self.start("playground", *arguments, url=f"{self.home.slack_url}/")

    async def start_bot(self) -> None:
        await self.start(
            "bot", "run", "-vv", "--config", str(self.home.config), url=f"{self.home.bot_url}/live"
        )

    async def end(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self.running.pop(name)
        with suppress(ProcessLookupError):
            process.send_signal(number)
        await asyncio.wait_for(process.wait(), SECONDS)

    async def control(self, http_method: str, action: str, **arguments: Any) -> Any:
        options: Json = {"params": arguments} if http_method == "GET" else {"json": arguments}
        headers = {"X-Playground-Token": self.home.secrets["control_token"]}
        url = f"{self.home.slack_url}/control/{action}"
        async with self.http.request(http_method, url, headers=headers, **options) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return answer

    async def say(self, text: str, thread: str | None = None, user: str = ADA) -> str:
        more = {} if thread is None else {"thread_ts": thread}
        said = await self.control(
            "POST", "message", channel=WEB, user=user, text=f"@threadsmith {text}", **more
        )
        if thread is None:
            self.threads.append(said["ts"])
        return str(said["ts"])

    async def shows(self, thread: str, words: str) -> None:
        """Returns once the thread has these words in it."""
        async with asyncio.timeout(SECONDS):
            while words not in json.dumps(await self.control("GET", "thread", channel=WEB, ts=thread)):
                await asyncio.sleep(0.05)

    async def idle(self) -> None:
        answer = await self.control("GET", "idle", timeout=str(SECONDS))
        assert answer["idle"], answer


@asynccontextmanager
async def town(folder: Path, mark: str) -> AsyncIterator[Town]:
    home = household(folder / "house", port=0, prefix=mark)
    async with aiohttp.ClientSession() as http:
        place = Town(home, http, folder)
        try:
            await place.start_playground()
            yield place
        finally:
            for name in list(place.running):
                await place.end(name)


class Watch:
    """Looks at the processes below some of ours all the time, from a thread of its own."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._over = threading.Event()
        self._seen: set[tuple[int, bytes]] = set()
        self.roots: set[int] = set()
        self.programs: set[str] = set()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.004):
            todo = list(self.roots)
            while todo:
                pid = todo.pop()
                todo += children(pid)
                self._look(pid)

    def _look(self, pid: int) -> None:
        with suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            if (pid, arguments) in self._seen:
                return
            self._seen.add((pid, arguments))
            self._scanner.look(f"arguments of {arguments[:60]!r}", arguments)
            self._scanner.look(
                f"environment of {arguments[:60]!r}", Path(f"/proc/{pid}/environ").read_bytes()
            )
            self.programs.add(Path(f"/proc/{pid}/comm").read_text("latin-1").strip())


def children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            yield from map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())


async def work(place: Town, mark: str, start: float) -> None:
    """Turns that succeed, fail, are stopped, wait, are cut off, and meet every kind of refusal."""
    scan = SCANNER.read_text()
    await place.control(
        "POST",
        "commit",
        repository=STOREFRONT,
        branch="main",
        user=ADA,
        files={"leak_scan.py": scan},
    )
    inside = f"python3 leak_scan.py {disguised(mark)} {start} > report.json; tail -c 300 report.json"
    curious = (
        "env; git config -l; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'; ls -la / /proc/self/fd"
    )
    first = await place.say(f"run `{inside}` then run `{curious}`")
    failing = await place.say('create b.txt with "b" then run `cat /proc/*/maps; false`')
    denied = await place.say('create c.txt with "c"', user=BEN)
    await place.idle()
    for method, kind in (
        ("git-receive-pack", "server_error"),
        ("POST /repos/*/pulls", "lost_reply"),
        ("chat.*", "server_error"),
        ("*", "disconnect"),
    ):
        await place.control("POST", "fault", method=method, kind=kind, times=1)
    await place.say('create d.txt with "d"', first)
    await place.say('create e.txt with "e"', first)
    stopped = await place.say("wait 60 seconds")
    await place.shows(stopped, "Wait 60 seconds")
    await place.say("stop", stopped)
    await place.control("POST", "command", channel=WEB, user=ADA, command="/threadsmith", text="sessions")
    await place.idle()
    cut_off = await place.say('create f.txt with "f" then wait 2 seconds')
    await place.shows(cut_off, "Wait 2 seconds")
    await place.end("bot", signal.SIGKILL)
    await place.start_bot()
    await place.idle()
    assert failing != denied


async def seen_outside(place: Town, scanner: Scanner) -> None:
    """What people, scripts and strangers are shown: threads, channels, pull requests, the bot's server."""
    for ts in place.threads:
        thread = await place.control("GET", "thread", channel=WEB, ts=ts)
        for message in thread["messages"]:
            scanner.look("a message", json.dumps(message))
    for answer in await place.control("GET", "thread", channel=WEB), await place.control("GET", "requests"):
        for each in answer["messages"] if isinstance(answer, dict) else answer:
            scanner.look("a message or a call", json.dumps(each))
    for pull in await place.control("GET", "pulls"):
        for key, value in pull.items():
            scanner.look(f"{key} of a pull request", json.dumps(value))
    for path in ("live", "ready", "none", "api/sessions", "ready?token=x", "%2e%2e/secrets", "metrics"):
        for method in ("GET", "POST", "OPTIONS"):
            async with place.http.request(method, f"{place.home.bot_url}/{path}") as response:
                scanner.look(f"{method} /{path} of the bot", repr(response.headers) + await response.text())


def at_rest(home: Household, scanner: Scanner) -> None:
    """Every file below the household but those that are secret by right, rows and git objects one by one."""
    allowed = {home.folder / name for name in AT_REST}
    scanner.tree(home.folder, skip=lambda path: path in allowed)
    for database in home.folder.rglob("*.db"):
        if database not in allowed:
            rows_of(database, scanner)
    for head in home.folder.rglob("HEAD"):
        if (head.parent / "objects").is_dir():
            scanner.git(head.parent)


def rows_of(database: Path, scanner: Scanner) -> None:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as file:
        tables = [name for (name,) in file.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in file.execute(f'select * from "{table}"'):
                scanner.look(f"a row of {table} in {database.name}", b"\n".join(map(_cell, row)))


def _cell(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


async def test_a_bot_at_work_leaves_no_secret_anywhere(tmp_path: Path, record_property: Record) -> None:
    """In sandboxes, processes, logs at their loudest, databases, messages, pull requests, git objects."""
    mark, start = new_mark(), time.time() - 1
    scanner, watched = Scanner(mark, start), Scanner(mark, start)
    async with town(tmp_path, mark) as place:
        wrong = place.home.folder / "secrets" / "github.ben-sample"
        wrong.write_text(f"ghp_{mark}{secrets.token_hex(20)}")  # revoked, as far as GitHub knows
        with Watch(watched) as watch:
            await place.start_bot()
            watch.roots |= {place.running["bot"].pid, place.running["playground"].pid}
            await work(place, mark, start)
        await seen_outside(place, scanner)
        pulls = await place.control("GET", "pulls")
        for name in list(place.running):
            await place.end(name)
    at_rest(place.home, scanner)
    scanner.tree(tmp_path / "tmp")
    scanner.tree(Path("/run/threadsmith"))
    inside = [
        json.loads(found) for pull in pulls for found in re.findall(r'\+(\{"places".*\})', pull["diff"])
    ]
    [report] = inside[:1]
    assert report["hits"] == []
    assert report["places"] > 100
    assert scanner.hits == []
    assert watched.hits == []
    assert {"git", "git-remote-http", "bwrap"} <= watch.programs
    log = (place.home.folder / "logs/bot.log").read_text()
    assert "DEBUG" in log
    assert "was not accepted" in log
    assert len(pulls) >= 3
    record_property("cases", report["places"] + scanner.places + watched.places)


async def test_every_secret_bears_the_mark_and_nothing_but_its_place_holds_it(tmp_path: Path) -> None:
    """Those made at the start, and those made later: tickets, forms, addresses for answers, trigger ids."""
    mark = new_mark()
    async with town(tmp_path, mark) as place:
        home, http = place.home, place.http
        files = [path.read_text() for path in (home.folder / "secrets").iterdir()]
        assert len(files) == 5 + 4
        assert all(mark in secret for secret in files)
        assert set(files) == set(home.secrets.values())
        headers = {"Authorization": f"Bearer {home.secrets['app_token']}"}
        async with http.post(f"{home.slack_url}/api/apps.connections.open", headers=headers) as response:
            opened = await response.json()
        assert f"ticket={mark}" in opened["url"]
        async with http.ws_connect(opened["url"]) as socket:
            await place.control("POST", "command", channel=WEB, user=ADA, command="/threadsmith", text="x")
            await socket.receive_json()
            payload = (await socket.receive_json())["payload"]
        assert all(mark in payload[name] for name in ("token", "trigger_id", "response_url"))
        page = f"{home.github_url}/?token={home.secrets['pages_token']}"
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as browser, browser.get(page) as response:
            assert re.search(rf'name="token" value="{mark}', await response.text())
        assert all(mark in cookie.value for cookie in jar)
    for name in AT_REST:
        path = home.folder / name
        parts = list(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
        held = b"".join(part.read_bytes() for part in parts)
        assert mark.encode() in held or not parts, name


# -- the scanner finds what there is to find -----------------------------------------------------


@pytest.mark.parametrize("how", forms("x"))
def test_the_scanner_finds_each_form_wherever_it_begins(how: str) -> None:
    """A secret of a usual shape, written in that way by others' code, with anything before and after."""
    mark = new_mark()
    writers: dict[str, Callable[[str], bytes]] = {
        "plain": str.encode,
        "upper case": lambda text: text.upper().encode(),
        "lower case": lambda text: text.lower().encode(),
        "reversed": lambda text: text[::-1].encode(),
        "hex": lambda text: text.encode().hex().encode(),
        "HEX": lambda text: text.encode().hex().upper().encode(),
        "hex with spaces": lambda text: text.encode().hex(" ").encode(),
        "UTF-16, little": lambda text: text.encode("utf-16-le"),
        "UTF-16, big": lambda text: text.encode("utf-16-be"),
        "JSON": lambda text: "".join(f"\\u{ord(c):04x}" for c in text).encode(),
        "JSON, upper case": lambda text: "".join(f"\\u{ord(c):04X}" for c in text).encode(),
        "Python": lambda text: "".join(f"\\x{ord(c):02x}" for c in text).encode(),
        "HTML": lambda text: "".join(f"&#{ord(c)};" for c in text).encode(),
        "HTML, hex": lambda text: "".join(f"&#x{ord(c):x};" for c in text).encode(),
        "URL": lambda text: "".join(f"%{ord(c):02X}" for c in text).encode(),
        "URL, lower case": lambda text: "".join(f"%{ord(c):02x}" for c in text).encode(),
        "URL, twice": lambda text: "".join(f"%25{ord(c):02X}" for c in text).encode(),
    }
    encode = base64.urlsafe_b64encode if "url" in how else base64.b64encode
    write = writers.get(how, lambda text: encode(text.encode()))
    for before in ("", "x", "xy", "x-access-token:", "xoxb-", "Bearer xapp-", "é{"):
        scanner = Scanner(mark)
        scanner.look("here", b"\x00..." + write(f"{before}{mark}0123456789abcdef") + b"...\xff")
        assert scanner.hits, (how, before)
    clean = Scanner(mark)
    clean.look("here", write(f"xoxb-{new_mark()}0123456789abcdef"))
    assert clean.hits == []


def archives(secret: bytes) -> dict[str, bytes]:
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", secret)
    with tarfile.open(fileobj=tarred, mode="w:gz") as tar:
        entry = tarfile.TarInfo("a.txt")
        entry.size = len(secret)
        tar.addfile(entry, io.BytesIO(secret))
    return {
        "gz": gzip.compress(secret),
        "zlib": zlib.compress(secret),
        "zip": zipped.getvalue(),
        "tgz": tarred.getvalue(),
        "b64": base64.b64encode(b"ab" + secret),
        "plain": secret,
    }


def test_the_scanner_finds_what_is_planted_on_the_host(tmp_path: Path) -> None:
    """Files and their names, links, archives, rows and journals of databases, git's objects and settings."""
    mark = new_mark()
    secret = f"ghp_{mark}{secrets.token_hex(20)}"
    planted = tmp_path / "house"
    for kind, content in archives(secret.encode()).items():
        (planted / kind).mkdir(parents=True)
        (planted / kind / "file").write_bytes(content)
    (planted / "name").mkdir()
    (planted / "name" / secret).touch()
    (planted / "link").mkdir()
    (planted / "link" / "file").symlink_to(secret)
    for folder in sorted(planted.iterdir()):
        scanner = Scanner(mark, time.time() - 60)
        scanner.tree(folder)
        assert scanner.hits, folder
    old = Scanner(mark, time.time() + 60)
    old.tree(planted)
    assert not [hit for hit in old.hits if not hit.startswith("link")]

    database = tmp_path / "a.db"
    with closing(sqlite3.connect(database)) as file:
        file.execute("pragma journal_mode = wal")
        file.execute("create table t (a, b)")
        file.execute("insert into t values (1, ?)", (json.dumps({"x": secret}),))
        file.commit()
        raw, rows = Scanner(mark), Scanner(mark)
        raw.file(database.with_name("a.db-wal"))
        rows_of(database, rows)
        assert raw.hits and rows.hits

    for where in ("loose", "packed", "config"):
        folder = tmp_path / where
        git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
        if where == "config":
            subprocess.run([*git, "config", "http.extraHeader", f"x: {secret}"], check=True)
        else:
            subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", secret], check=True)
        if where == "packed":
            subprocess.run([*git, "gc", "-q"], check=True)
        scanner = Scanner(mark)
        scanner.git(folder / ".git")
        assert scanner.hits, where


@pytest.mark.parametrize("where", ["argument", "environment", "grandchild"])
def test_the_watch_sees_what_a_process_was_started_with(where: str) -> None:
    """Also one that a child of ours started."""
    mark = new_mark()
    secret = f"ghp_{mark}"
    sleep = ["sleep", "60"]
    command = {
        "argument": [sys.executable, "-c", "input()", secret],
        "environment": [sys.executable, "-c", "input()"],
        "grandchild": ["/bin/sh", "-c", f"TOKEN={secret} {' '.join(sleep)} & read x; kill $!"],
    }[where]
    env = {**os.environ, **({"TOKEN": secret} if where == "environment" else {})}
    scanner = Scanner(mark)
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, env=env) as process,
        Watch(scanner) as watch,
    ):
        watch.roots.add(process.pid)
        end = time.monotonic() + SECONDS
        while not scanner.hits and time.monotonic() < end:
            time.sleep(0.01)
        assert process.stdin
        process.stdin.close()
    assert scanner.hits


async def test_the_scan_inside_of_a_sandbox_finds_what_is_planted_there(tmp_path: Path) -> None:
    """One of each in one sandbox; and nothing where nothing is."""
    mark, start = new_mark(), time.time() - 1
    secret = f"xoxb-{mark}0123456789"
    ask = ["python3", "leak_scan.py", disguised(mark), str(start)]
    async with a_sandbox(tmp_path) as sandbox:
        await write_files(sandbox, "/workspace", {"leak_scan.py": SCANNER.read_bytes()})
        clean = json.loads((await run(sandbox, ask, cwd="/workspace")).stdout)
        assert clean["hits"] == []
        assert clean["places"] > 50
        await write_files(sandbox, "/workspace", archives(secret.encode()))
        await write_files(sandbox, "/home/agent", {".netrc": b"password " + secret.encode()})
        await sh(
            sandbox,
            f"echo {secret[::-1]} > /tmp/t; echo {secret.encode().hex()} > /dev/shm/s; ln -s {secret} /run/l",
        )
        git = "git -c user.name=a -c user.email=a@example.com"
        await sh(sandbox, f"cd /workspace; git init -q r; cd r; {git} commit -q --allow-empty -m {secret}")
        loud = await sandbox.exec(["sleep", "600"], env={"TOKEN": secret})
        named = await sandbox.exec(["/bin/sh", "-c", "sleep 600; :", secret])
        found = json.loads((await run(sandbox, ask, cwd="/workspace")).stdout)
        await loud.kill()
        await named.kill()
    places = " ".join(found["hits"])
    wanted = [*(f"/workspace/{kind}:" for kind in archives(b"")), "/home/agent/.netrc", "/tmp/t: reversed"]
    wanted += ["/dev/shm/s: hex", "link /run/l", "git cat-file of", "/environ: plain", "/cmdline: plain"]
    assert [each for each in wanted if each not in places] == []
