"""The agents plugin: which agents there are, and that its settings let no secret into a sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bot import AgentRecipe, PluginContext
from plugins.agents import Plugin
from plugins.agents.settings import Settings


class Registered:
    def __init__(self) -> None:
        self.recipes: list[AgentRecipe] = []

    def add(self, recipe: AgentRecipe) -> None:
        self.recipes.append(recipe)


def registered(tmp_path: Path, table: dict[str, object]) -> list[AgentRecipe]:
    plugin = Plugin()
    settings = plugin.config_schema().model_validate(table, strict=False)
    plugin.setup(PluginContext(settings=settings, repositories=(), data=tmp_path, epoch=1))
    agents = Registered()
    plugin.register_agents(agents)
    return agents.recipes


def test_out_of_the_box_there_is_the_scripted_agent(tmp_path):
    (recipe,) = registered(tmp_path, {})
    assert recipe.name == "scripted"
    assert "not a model" in recipe.description
    assert all(not path.startswith("/") and ".." not in path for path in recipe.files)
    assert ".threadsmith/scripted_agent.py" in recipe.files


def test_a_configured_agent_is_registered_and_the_default_comes_first(tmp_path):
    own = {"command": ["opencode", "acp"], "env": {"OPENCODE_PURE": "1"}, "description": "The real one."}
    recipes = registered(tmp_path, {"default": "opencode", "custom": {"opencode": own}})
    assert [recipe.name for recipe in recipes] == ["opencode", "scripted"]
    assert recipes[0].command == ("opencode", "acp")
    assert recipes[0].env == {"OPENCODE_PURE": "1"}


SECRET = "sk-live-abcdefgh12345678"


@pytest.mark.parametrize(
    "own",
    [
        {"command": ["a"], "env": {"ANTHROPIC_API_KEY": "x"}},
        {"command": ["a"], "env": {"GITHUB_TOKEN": "x"}},
        {"command": ["a"], "env": {"DB_PASSWORD": "x"}},
        {"command": ["a"], "env": {"OPENCODE_AUTH_CONTENT": "x"}},
        {"command": ["a"], "env": {"apikey": "x"}},
        {"command": ["a"], "env": {"MODEL": {"env": "OPENAI_MODEL"}}},
        {"command": ["a"], "env": {"MODEL": {"file": "/run/secrets/model"}}},
        {"command": ["a"], "env": {"MODEL": SECRET}},
        {"command": ["a"], "env": {"CONFIG": '{"apiKey":"' + SECRET + '"}'}},
        {"command": ["a"], "env": {"PROXY": "http://bob:hunter2hunter2@proxy.example.com"}},
        {"command": ["a"], "env": {"HEADER": "Bearer abcdef"}},
        {"command": ["a", "--key", SECRET]},
        {"command": ["a", {"env": "KEY"}]},
    ],
)
def test_a_secret_is_refused_wherever_it_is_put_and_never_shown(own):
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"custom": {"mine": own}}, strict=False)
    found = caught.value.errors(include_input=False)
    assert {error["type"] for error in found} == {"secret"}
    assert "gateway" in found[0]["ctx"]["fix"]
    shown = str(caught.value) + str(found)
    assert "hunter2" not in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    "env",
    [
        {"KEYBOARD": "x"},
        {"TOKENIZER": "x"},
        {"AUTHOR": "x"},
        {"MONKEY": "sky-blue"},
        {"SKIP": "task-12345678"},
    ],
)
def test_what_only_sounds_like_a_secret_is_let_through(env):
    settings = Settings.model_validate({"custom": {"mine": {"command": ["a"], "env": env}}}, strict=False)
    assert settings.custom["mine"].env == env


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"default": "opencode"}, "default"),
        ({"custom": {"scripted": {"command": ["a"]}}}, "free name"),
        ({"custom": {"Bad Name": {"command": ["a"]}}}, "free name"),
        ({"custom": {"mine": {"command": ["a"], "env": {"A B": "x"}}}}, "environment variable"),
        ({"custom": {"mine": {"command": []}}}, "at least 1"),
        ({"custom": {"mine": {}}}, "required"),
        ({"custom": {"mine": {"command": ["a"], "evn": {}}}}, "not permitted"),
        ({"opencode": {"command": ["a"]}}, "not permitted"),
    ],
)
def test_other_mistakes_are_told(table, expected):
    with pytest.raises(ValidationError, match=expected):
        Settings.model_validate(table, strict=False)
