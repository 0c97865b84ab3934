"""The session's own MCP server: an agent's way to its thread, through the script in a real sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asking_kit import closed, press, puppet_settings, question, told

from bot.testing import Botty, Thread


@pytest.fixture
def botty_settings(tmp_path: Path) -> dict[str, Any]:
    return puppet_settings(tmp_path / "plugins", "allow")


def call(name: str, **arguments: Any) -> list[Any]:
    """The operation that calls one of the session's tools, by the MCP server the agent was given."""
    return ["mcp", {"id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}]


async def said(thread: Thread) -> str:
    return (await thread.final()).everything


async def test_an_agent_asks_its_thread_and_is_told_the_answer(botty: Botty) -> None:
    thread = await told(botty, call("ask", question="Which side?", options=["left", "right"]))
    post = await question(botty, thread, "Which side?")
    await press(botty, post, thread, "right")
    assert '"text": "right"' in await said(thread)
    assert "*right*, said" in (await closed(botty, thread, post)).everything
