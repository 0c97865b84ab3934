"""The whole bot as a fixture: the real one, in a playground of its own, spoken to as people do.

    async def test_ping(botty):
        assert await botty.command("ping") == "pong"

`botty` is ready in a fraction of a second; everything is real (Slack's and GitHub's wires, SQLite, git, a
sandbox), on loopback. Override `botty_settings` to change the configuration, or name the folder of your
plugin files in pytest's settings as `threadsmith_plugins`. A plugin's sandbox provider is held to
`ProviderContract`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from bot.testing.botty import Botty, Post, Thread
    from bot.testing.provider_contract import ProviderContract

__all__ = ["Botty", "Post", "ProviderContract", "Thread"]

_HOMES = {
    "Botty": "bot.testing.botty",
    "Post": "bot.testing.botty",
    "Thread": "bot.testing.botty",
    "ProviderContract": "bot.testing.provider_contract",
}


def __getattr__(name: str) -> Any:
    """Everything is imported when it is first asked for: pytest loads this module in every run there is."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(name)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("threadsmith_plugins", "folder of the plugin files that `botty` loads", default="")


@pytest.fixture
def botty_settings() -> dict[str, Any]:
    """Override it: configuration tables laid over the playground's own."""
    return {}


@pytest.fixture
def botty_observer() -> Callable[[str, str, dict[str, Any]], None] | None:
    """Override it: called with every answer and event of the playground's Slack (kind, name, payload)."""
    return None


@pytest_asyncio.fixture
async def botty(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    botty_settings: dict[str, Any],
    botty_observer: Callable[[str, str, dict[str, Any]], None] | None,
) -> AsyncIterator[Botty]:
    """The whole bot in a fresh playground."""
    from bot.playground.household import household
    from bot.testing.botty import Botty

    folder = request.config.getini("threadsmith_plugins")
    changes = dict(botty_settings)
    if folder:
        changes["plugins"] = {"folder": str(request.config.rootpath / folder), **changes.get("plugins", {})}
    place = Botty(household(tmp_path / "household", port=0), changes)
    if botty_observer is not None:
        place.playground.slack.workspace.observers.append(botty_observer)
    try:
        await place.start()
        yield place
    finally:
        await place.close()
