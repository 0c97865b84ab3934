"""Questions of a running turn: asked with buttons in its thread, answered by people, closed with its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asking_kit import command, labels, press, puppet_settings, question, told

from bot.testing import Botty


@pytest.fixture
def botty_settings(tmp_path: Path) -> dict[str, Any]:
    return puppet_settings(tmp_path / "plugins")


async def test_a_permission_is_asked_with_buttons_and_the_answer_reaches_the_agent(botty: Botty) -> None:
    thread = await told(botty, command("npm test"))
    post = await question(botty, thread)
    assert labels(post) == ["Allow once", "Allow always", "Reject"]
    assert "npm test" in post.everything
    assert "Only people who take part in this thread can answer" in post.everything
    await press(botty, post, thread, "Allow once")
    final = await thread.final()
    assert '"optionId": "once"' in final.everything
    closed = next(each for each in await thread.by_bot() if each.ts == post.ts)
    assert closed.actions == []
    assert f"Allow once*, said <@{botty.person('ada')}>" in closed.everything
    assert await thread.status() != "processing"
