"""The real bot between the world of `crash_world` and a data folder, on the loop of `crash_loop`.

Built by `bot.app` as ever. What is put in its place is only what reaches outside: the HTTP session that
slack_sdk speaks through, PyGithub's connection, the git program, the sandbox, and the socket that delivers.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import aiohttp
from crash_git import GitStandIn
from crash_sandbox import SandboxPlugin
from crash_world import API, OTHER, REPOSITORY, Delivery, Outside
from github.Requester import Requester
from slack_bolt.async_app import AsyncBoltRequest
from sqlite_utils import Database

import bot.app
import storage.engine
from bot.app import Bot
from bot.config import parse
from bot.git import Mirrors
from bot.playground import people
from bot.plugin_loading import BUILT_IN
from bot.plugins import Plugins
from bot.slack.edge import SlackEdge
from storage import DataFolder

Hit = Callable[[str], None]
_WITHOUT = tuple(name for name in BUILT_IN if "sandbox_runner" not in name)
_SECRETS = {"BOT": "xoxb-1", "APP": "xapp-1", "HUB": "ghp_1"}


@dataclass(frozen=True)
class Fault:
    """The call numbered `at` fails: refused (with a 5xx), limited (429), or lost (done, but unanswered)."""

    at: int
    kind: str


class Wires:
    """Everything between one boot and the world. `hit` is called at each point at which a bot may die."""

    def __init__(self, world: Outside, hit: Hit) -> None:
        self.world = world
        self.hit = hit
        self.databases: dict[str, Database] = {}
        self.commits = 0  # of all databases
        self.calls = 0  # to the outside, those that only read included
        self.fault: Fault | None = None
        self.redelivery_seconds = 0.0
        self.connected = False  # whether this boot has looked around
        self.news = asyncio.Event()  # the world may have something to deliver

    def outside(self, what: str, act: Callable[[], Any], intent: str = "") -> None:
        """A write outside: a point before it, and one after it. `intent` is the kind of its effect."""
        if intent and not self.sending(intent):
            self.world.wrong.append(f"{what}: its intent was not on the disk")
        self.hit(f"before {what}")
        act()
        self.hit(f"after {what}")

    def call(self) -> str:
        """One more call begins: the kind of failure it meets, "" for none."""
        self.calls += 1
        return self.fault.kind if self.fault is not None and self.fault.at == self.calls else ""

    def heard(self, text: str) -> None:
        if self._pushing(text):
            self.world.wrong.append(f"the agent was asked {text!r} again behind its push")
        self.outside(f"the agent is asked {text}", lambda: self.world.runs.append(text))

    def sending(self, kind: str) -> bool:
        """Whether an effect of this kind is under way, as the disk has it."""
        sql = "SELECT count(*) FROM effects WHERE state = 'sending' AND kind = ?"
        return any(db.conn.execute(sql, (kind,)).fetchone()[0] for db in self._sessions())

    def _pushing(self, text: str) -> bool:
        """Whether this prompt's push was begun, as the disk has it."""
        sql = (
            "SELECT count(*) FROM effects e JOIN prompts p ON e.key = 'push:' || p.id"
            " WHERE e.kind = 'git.push' AND p.text = ?"
        )
        return any(db.conn.execute(sql, (text,)).fetchone()[0] for db in self._sessions())

    def _sessions(self) -> list[Database]:
        return [db for path, db in self.databases.items() if "/sessions/" in path]


class WireHttp:
    """What slack_sdk needs of an aiohttp session."""

    closed = False

    def __init__(self, wires: Wires) -> None:
        self._wires = wires

    async def __aenter__(self) -> WireHttp:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    def request(self, verb: str, url: str, **given: Any) -> WireAnswer:
        sent = given.get("json") or given.get("params") or given.get("data") or {}
        fault = self._wires.call()
        if fault in _SLACK_REFUSALS:
            return WireAnswer(*_SLACK_REFUSALS[fault])
        body, act = self._wires.world.slack(url.rpartition("/api/")[2], dict(sent))
        if act is not None:
            method = url.rpartition("/")[2]
            self._wires.outside(method, act, "thread.post" if method == "chat.postMessage" else "")
        return WireAnswer({"ok": True, **body}, lost=fault == "lost")


_SLACK_REFUSALS: dict[str, tuple[dict[str, Any], int]] = {
    "refused": ({"ok": False, "error": "internal_error"}, 500),
    "limited": ({"ok": False, "error": "ratelimited"}, 429),
}


class WireAnswer:
    content_type = "application/json"

    def __init__(self, body: dict[str, Any], status: int = 200, lost: bool = False) -> None:
        self._body = body
        self._lost = lost
        self.status = status
        self.headers = {"Retry-After": "1"} if status == 429 else {}

    async def __aenter__(self) -> WireAnswer:
        await asyncio.sleep(0.05)  # others have their turn while an answer is on its way
        if self._lost:
            raise aiohttp.ServerDisconnectedError
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def json(self) -> dict[str, Any]:
        return self._body


class WireEdge(SlackEdge):
    """Hears what the world has to deliver, again after each start what was never acknowledged."""

    wires: Wires

    async def start(self) -> None:
        self._delivering = asyncio.create_task(self._deliver())

    async def stop(self) -> None:
        self._delivering.cancel()
        await asyncio.gather(self._delivering, return_exceptions=True)

    async def _look_around(self) -> None:
        await self._backfill.run()
        self.wires.world.connected = self.wires.connected = True

    async def _deliver(self) -> None:
        looking = asyncio.create_task(self._look_around())
        try:
            await self._tell_all()
        finally:
            looking.cancel()

    async def _tell_all(self) -> None:
        told: set[str] = set()
        if self.wires.world.deliveries:
            await asyncio.sleep(self.wires.redelivery_seconds)
        while True:
            for each in list(self.wires.world.deliveries):
                if not each.acknowledged and each.id not in told:
                    told.add(each.id)
                    await self._tell(each)
            await self.wires.news.wait()
            self.wires.news.clear()

    async def _tell(self, delivery: Delivery) -> None:
        body = json.loads(json.dumps(delivery.body))
        response = await self.app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=body))
        if response.status == 200:
            self.wires.outside(f"ack {delivery.id}", lambda: setattr(delivery, "acknowledged", True))


class WireBot(Bot):
    """Without the servers that listen, which nobody calls here."""

    wires: Wires

    async def _start_web(self) -> None:
        self.web = SimpleNamespace(url="nowhere")  # type: ignore[assignment]  # only its address is logged

    async def _start_admin(self) -> None:
        pass

    async def _mirrors(self, folder: DataFolder) -> Mirrors:
        git = GitStandIn(lambda: self.wires.world.remote, self.wires.outside, self.wires.call)
        mirrors = Mirrors(folder.mirrors, git=git)
        mirrors.sweep()
        return mirrors


@contextmanager
def wired(data: Path, world: Outside, hit: Hit, limits: dict[str, int], asks: bool) -> Iterator[WireBot]:
    """A bot that is ready to start on this folder and in this world."""
    wires = Wires(world, hit)
    plugins = Plugins(_WITHOUT)
    plugins_of_ours = SandboxPlugin(wires.heard)
    settings = parse(_table(data, limits, asks), "the run's settings", plugins, environment=_SECRETS)
    plugins.register(plugins_of_ours, "stand_in_sandboxes")
    made = WireBot(settings, plugins)
    made.wires = wires
    edge = type("Edge", (WireEdge,), {"wires": wires})
    with ExitStack() as stack:
        stack.enter_context(patch.object(bot.app, "_http", lambda: WireHttp(wires)))
        stack.enter_context(patch.object(bot.app, "SlackEdge", edge))
        stack.enter_context(_noticed_commits(wires))
        stack.enter_context(_wired_github(wires))
        yield made


@contextmanager
def _noticed_commits(wires: Wires) -> Iterator[None]:
    """Every commit of every database is a point; nothing about it is changed."""
    opened = storage.engine.open_connection

    def noticed(path: Path) -> Database:
        db = opened(path)
        execute = db.execute

        def counted(sql: str, parameters: Any = None) -> sqlite3.Cursor:
            cursor = execute(sql, parameters)
            if sql == "COMMIT":
                wires.commits += 1
                wires.hit(f"after a commit to {path.parent.name if path.stem not in _ALONE else path.stem}")
            return cursor

        db.execute = counted  # type: ignore[method-assign, assignment]  # to count, not to change
        wires.databases[str(path)] = db
        return db

    with patch.object(storage.engine, "open_connection", noticed):
        yield


_ALONE = ("state", "index")


_GITHUB_REFUSALS = {"refused": 502, "limited": 429}


@contextmanager
def _wired_github(wires: Wires) -> Iterator[None]:
    class Connection:
        host = "nowhere"

        def __init__(self, *args: Any, **options: Any) -> None:
            pass

        def request(self, verb: str, url: str, body: Any, headers: Any, stream: bool = False) -> None:
            fault = wires.call()
            status, answer, act = wires.world.github(verb, url, body or "")
            if fault in _GITHUB_REFUSALS:
                status, answer, act = _GITHUB_REFUSALS[fault], {"message": fault}, None
            if act is not None:
                kind = "pull_request" if verb == "POST" else "pull_request.update"
                wires.outside(f"{verb} {url.partition('?')[0].removeprefix(API)}", act, kind)
            if fault == "lost":
                raise ConnectionResetError(fault)
            self._answer = SimpleNamespace(
                status=status,
                getheaders=lambda: [("content-type", "application/json")],
                read=lambda: json.dumps(answer),
            )

        def getresponse(self) -> Any:
            return self._answer

        def close(self) -> None:
            pass

    Requester.injectConnectionClasses(Connection, Connection)  # type: ignore[arg-type]  # as PyGithub's tests do
    try:
        yield
    finally:
        Requester.resetConnectionClasses()


def _table(data: Path, limits: dict[str, int], asks: bool) -> dict[str, Any]:
    """`asks`: no channel belongs to a repository, so the bot has to ask which one is meant."""
    ada, us = people.ADA, people.BOT
    return {
        "data": str(data),
        "limits": {"lease_idle_seconds": 5, **limits},
        "slack": {"bot_token": {"env": "BOT"}, "app_token": {"env": "APP"}},
        "git": {"bot_name": "Threadsmith", "bot_email": "bot@example.com"},
        "repositories": [
            {"name": REPOSITORY, "channels": [] if asks else ["general"]},
            {"name": OTHER},
        ],
        "pr_creator": {
            "github_url": "https://example.com",
            "api_url": f"https://example.com{API}",
            "bot": {"login": us.github, "id": us.github_id, "token": {"env": "HUB"}},
            "people": {ada.id: {"login": ada.github, "id": ada.github_id, "token": {"env": "HUB"}}},
        },
    }
