"""plugins/agents/README.md: every TOML block of it loads, and becomes agents that can be started."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from bot.config import Settings, parse
from bot.domain import AgentRecipe
from bot.plugins import Plugins
from bot.registries import AgentRegistry

PAGE = Path(__file__).parent.parent / "plugins/agents/README.md"
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
SLACK = {"bot_token": {"env": "BOT_TOKEN"}, "app_token": {"env": "APP_TOKEN"}}
ENVIRONMENT = dict.fromkeys(re.findall(r'env = "(\w+)"', PAGE.read_text()), "x") | {
    "BOT_TOKEN": "xoxb-1",
    "APP_TOKEN": "xapp-1",
}


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """As if one stood below the other in a file."""
    result = dict(one)
    for key, value in other.items():
        known = result.get(key)
        if isinstance(known, dict):
            value = merged(known, value)
        elif isinstance(known, list):
            value = [*known, *value]
        result[key] = value
    return result


def loaded(table: dict[str, Any]) -> tuple[Settings, Plugins]:
    plugins = Plugins()
    base = {"slack": SLACK, "plugins": {"disabled": ["pr_creator"]}}
    return parse(base | table, "README.md", plugins, environment=ENVIRONMENT), plugins


async def recipes(tmp_path: Path, table: dict[str, Any]) -> dict[str, AgentRecipe]:
    settings, plugins = loaded(table)
    await plugins.setup(settings.sections, (), tmp_path, 1, settings.gateway.known_models())
    agents = AgentRegistry()
    plugins.call_sync("register_agents", agents=agents)
    return dict(agents.recipes)


def whole() -> dict[str, Any]:
    table: dict[str, Any] = {}
    for block in BLOCKS:
        table = merged(table, tomllib.loads(block))
    return table


def test_every_block_loads_by_itself():
    assert len(BLOCKS) >= 9
    for block in BLOCKS:
        loaded(tomllib.loads(block))


async def test_all_blocks_together_are_the_agents_that_the_page_is_about(tmp_path):
    found = await recipes(tmp_path, whole())
    headings = {each.lower() for each in re.findall(r"^#{2,3} ([A-Z]?\w+)", PAGE.read_text(), re.MULTILINE)}
    assert {name for name in found if name != "scripted"} <= headings
    assert found.keys() == {"scripted", "opencode", "qwen", "claude", "codex", "gemini"}


async def test_whoever_has_a_program_to_install_is_started_from_it(tmp_path):
    for recipe in (await recipes(tmp_path, whole())).values():
        if recipe.name != "scripted":
            assert recipe.folder is not None, recipe.name
            assert any("/opt/agent/node_modules/" in part for part in recipe.command), recipe.name


async def test_no_recipe_brings_a_key(tmp_path):
    """Each says where its model is at the gateway, and nothing of where that is outside."""
    for recipe in (await recipes(tmp_path, whole())).values():
        told = str([recipe.command, recipe.env, recipe.files, recipe.options])
        assert "example.com" not in told
        assert recipe.name == "scripted" or "http://127.0.0.1:3128/routes/" in told, recipe.name


def test_licences_are_said_for_each():
    sections = re.split(r"^#{2,3} ", PAGE.read_text(), flags=re.MULTILINE)
    for section in sections:
        if "install = [" in section or "agents install opencode" in section:
            assert "Licence: " in section, section[:40]
