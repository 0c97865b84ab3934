"""The socket between command line and bot: its owner's alone, and nothing said to it harms the bot."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from bot import admin
from bot.admin import AdminServer, ask
from bot.errors import UserError
from storage import StorageError


async def greet(arguments: dict[str, Any]) -> Any:
    return {"hello": arguments["name"]}


async def refuse(arguments: dict[str, Any]) -> Any:
    raise UserError("Not today.")


async def unreadable(arguments: dict[str, Any]) -> Any:
    raise StorageError("is damaged", Path("x.db"), "Restore it.")


async def explode(arguments: dict[str, Any]) -> Any:
    raise RuntimeError("ghp_not-for-people")


COMMANDS = {"greet": greet, "refuse": refuse, "unreadable": unreadable, "explode": explode}


@pytest.fixture
async def path(tmp_path: Path) -> Any:
    path = tmp_path / "admin.sock"
    path.touch()  # a dead bot's
    server = AdminServer(path, COMMANDS)
    await server.start()
    yield path
    await server.stop()
    assert not path.exists()


async def test_only_its_owner_can_open_it(path: Path) -> None:
    """0600 from the first moment, and nobody else's files are affected by how it is made."""
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    other = path.with_name("other")
    other.touch()
    assert stat.S_IMODE(other.stat().st_mode) & 0o600 == 0o600


async def test_it_answers_many_at_once(path: Path) -> None:
    answers = await asyncio.gather(*(ask(path, "greet", {"name": n}) for n in range(20)))
    assert answers == [{"hello": n} for n in range(20)]


async def test_what_people_may_read_is_passed_on_and_nothing_else(path: Path) -> None:
    """A refusal and a damaged file in their own words; a breakdown without its details."""
    with pytest.raises(UserError, match=r"Not today\."):
        await ask(path, "refuse", {})
    with pytest.raises(UserError, match=r"x\.db is damaged\. Restore it\."):
        await ask(path, "unreadable", {})
    with pytest.raises(UserError, match="its log has the details") as broken:
        await ask(path, "explode", {})
    assert "ghp_" not in str(broken.value)
    with pytest.raises(UserError, match="does not know this command"):
        await ask(path, "dance", {})


@pytest.mark.parametrize(
    "line", [b"\n", b"not json\n", b"[]\n", b'{"command": ["greet"]}\n', b'{"command": 5}\n']
)
async def test_what_is_no_question_is_refused(path: Path, line: bytes) -> None:
    """And the next question is answered."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    assert "error" in json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    assert await ask(path, "greet", {"name": "Ada"}) == {"hello": "Ada"}


async def test_someone_who_hangs_up_harms_nobody(path: Path) -> None:
    _, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b'{"command"')
    writer.close()
    await writer.wait_closed()
    assert await ask(path, "greet", {"name": "Ada"}) == {"hello": "Ada"}


async def test_no_bot_is_told_from_a_bot_that_fails(tmp_path: Path) -> None:
    """So that a command then takes the files itself."""
    with pytest.raises(ConnectionError):
        await ask(tmp_path / "none.sock", "greet", {})
    dead = tmp_path / "dead.sock"
    server = await asyncio.start_unix_server(lambda *_: None, str(dead))
    server.close()
    await server.wait_closed()
    with pytest.raises(ConnectionError):
        await ask(dead, "greet", {})


async def test_a_silent_visitor_is_hung_up_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks nothing is not waited for."""
    monkeypatch.setattr(admin, "_TALK_SECONDS", 0.05)
    reader, writer = await asyncio.open_unix_connection(str(path))
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_it_closes_though_somebody_is_connected_and_something_runs(tmp_path: Path) -> None:
    """Neither a silent visitor nor a command that never answers keeps the bot from ending."""
    begun = asyncio.Event()

    async def forever(arguments: dict[str, Any]) -> Any:
        begun.set()
        await asyncio.Event().wait()

    server = AdminServer(tmp_path / "admin.sock", {"forever": forever})
    await server.start()
    silent_reader, silent = await asyncio.open_unix_connection(str(tmp_path / "admin.sock"))
    reader, busy = await asyncio.open_unix_connection(str(tmp_path / "admin.sock"))
    busy.write(b'{"command": "forever"}\n')
    await begun.wait()
    await asyncio.wait_for(server.stop(), 30)
    for left, writer in ((silent_reader, silent), (reader, busy)):
        assert await left.read() == b""
        writer.close()


async def test_making_it_changes_no_process_wide_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other threads make files at the same time."""

    def never(mask: int) -> int:
        raise AssertionError("the umask is everybody's")

    monkeypatch.setattr("os.umask", never)
    server = AdminServer(tmp_path / "admin.sock", {})
    await server.start()
    assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o600
    await server.stop()
