"""The bot's own server: whether it lives, whether it is ready, and what plugins mount."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from session_kit import shows, until

from bot.config_models import WebSettings
from bot.errors import UserError
from bot.testing import Botty
from bot.web.server import WebServer

GOOD = """
from aiohttp import web
from bot import Commands, Routes, Services, hookimpl

async def hello(request):
    return web.json_response({"hello": request.match_info["name"]})

async def explode(request):
    raise RuntimeError("ghp_not-for-people")

@hookimpl
def register_routes(routes: Routes) -> None:
    routes.add("GET", "/hello/{name}", hello)
    routes.add("GET", "/explode", explode)
"""
STEALS = """
from bot import Routes, hookimpl

async def mine(request):
    raise AssertionError

@hookimpl
def register_routes(routes: Routes) -> None:
    routes.add("GET", "/ready", mine)
"""
SICK = """
from bot import Services, hookimpl

async def start(): pass
async def stop(): raise RuntimeError("no")
async def ping(): raise RuntimeError("ghp_not-for-people")
async def fail(): raise RuntimeError("no")

@hookimpl
def register_services(services: Services) -> None:
    services.add("sick", start=start, stop=stop, ping=ping)
    services.add("lame", start=fail, stop=stop)
"""


@pytest.fixture
def botty_settings(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "good.py").write_text(GOOD)
    (folder / "steals.py").write_text(STEALS)
    (folder / "sick.py").write_text(SICK)
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    return {"plugins": {"folder": str(folder)}}


async def get(botty: Botty, path: str, method: str = "GET") -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.request(method, botty.bot.web.url + path) as answer:
        return answer.status, await answer.json()


async def test_broken_plugins_are_named_and_stop_nothing(botty: Botty) -> None:
    """One that cannot load, one that wants what is ours, one whose services neither start, ping nor stop."""
    await until(botty, botty.bot.slack.connected)
    status, ready = await get(botty, "/ready")
    assert (status, ready["ready"]) == (503, False)
    assert ready["parts"]["slack"] == ready["parts"]["storage"] == ready["parts"]["sandbox_runner"] == "ok"
    assert ready["parts"]["sick"] == "failed: RuntimeError"
    notices = " | ".join(ready["notices"])
    for words in (
        "plugin broken is left out",
        "plugin steals failed in register_routes",
        "service lame cannot",
    ):
        assert words in notices
    assert "ghp_" not in str(ready)
    thread = await botty.say('create a.txt with "a"')
    assert await shows(botty, thread, "Done.")


async def test_it_lives_and_serves_the_routes_of_plugins(botty: Botty) -> None:
    """Errors are JSON, and an exception shows nothing of itself."""
    assert await get(botty, "/live") == (200, {"live": True})
    assert await get(botty, "/hello/ada") == (200, {"hello": "ada"})
    assert (await get(botty, "/nowhere"))[0] == 404
    assert set((await get(botty, "/nowhere"))[1]) == {"error", "detail"}
    assert (await get(botty, "/live", "POST"))[0] == 405
    status, answer = await get(botty, "/explode")
    assert (status, answer["error"]) == (500, "internal server error")
    assert "ghp_" not in str(answer)


async def test_a_port_that_is_taken_is_an_error_with_a_way_out(botty: Botty) -> None:
    """And what listens there goes on."""
    port = int(botty.bot.web.url.rpartition(":")[2])

    async def nothing() -> dict[str, int]:
        return {}

    second = WebServer(WebSettings(port=port), {}, nothing, list, [])
    with pytest.raises(UserError, match=f"Cannot listen on 127.0.0.1:{port}.*web.port"):
        await second.start()
    assert (await get(botty, "/live"))[0] == 200


async def test_a_part_is_asked_once_however_many_want_to_know() -> None:
    """The page needs no sign-in, and a ping may call a code host each time."""
    asked, now = [], asyncio.Event()

    async def ping() -> None:
        asked.append(1)
        await now.wait()

    async def nothing() -> dict[str, int]:
        return {}

    server = WebServer(WebSettings(port=0), {"host": ping}, nothing, list, [])
    await server.start()
    try:
        async with aiohttp.ClientSession() as http:

            async def ready() -> Any:
                async with http.get(f"{server.url}/ready") as answer:
                    return await answer.json()

            waiting = [asyncio.create_task(ready()) for _ in range(5)]
            async with asyncio.timeout(30):
                while not asked:
                    await asyncio.sleep(0)
            now.set()
            answers = await asyncio.gather(*waiting, ready())
        assert [answer["parts"] for answer in answers] == [{"host": "ok"}] * 6
        assert len(asked) == 1
    finally:
        await server.stop()
