"""The socket between the command line and the bot: only its owner may, and nothing said to it harms the bot."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize("line", [b"\n", b"not json\n", b"[]\n", b'{"command": ["greet"]}\n', b'{"command": 5}\n'])
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
