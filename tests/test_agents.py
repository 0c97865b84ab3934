"""The agents plugin: which agents there are, and that its settings let no secret into a sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bot import AgentRecipe, ConfigError, Mistake, Model, ModelProtocol, PluginContext
from bot.config import parse
from bot.plugins import Plugins
from plugins.agents import Plugin
from plugins.agents.settings import Settings

SMALL = Model(
    "small", ModelProtocol.OPENAI, "one", "http://127.0.0.1:3128/routes/one", 1, 1, 2, 128_000, 8192
)
LARGE = Model(
    "maker/large", ModelProtocol.ANTHROPIC, "two", "http://127.0.0.1:3128/routes/two", 3, 1, 9, 200_000, 999
)


class Registered:
    def __init__(self) -> None:
        self.recipes: list[AgentRecipe] = []

    def add(self, recipe: AgentRecipe) -> None:
        self.recipes.append(recipe)


def registered(tmp_path: Path, table: dict[str, Any], *models: Model) -> list[AgentRecipe]:
    plugin = Plugin()
    settings = Settings.model_validate(table, strict=False)
    own_data = tmp_path / "data/plugins/agents"
    plugin.setup(PluginContext(settings=settings, repositories=(), data=own_data, epoch=1, models=models))
    agents = Registered()
    plugin.register_agents(agents)
    return agents.recipes


def refused(tmp_path: Path, table: dict[str, Any], *models: Model) -> dict[str, Mistake]:
    with pytest.raises(ConfigError) as caught:
        registered(tmp_path, table, *models)
    return {each.key: each for each in caught.value.mistakes}


def mistakes(table: dict[str, Any]) -> dict[str, Mistake]:
    """As `threadsmith check` names them."""
    slack = {"bot_token": {"env": "A"}, "app_token": {"env": "A"}}
    environment = {"A": "xoxb-1"}
    with pytest.raises(ConfigError) as caught:
        parse({"slack": slack, "agents": table}, "config.toml", Plugins(), environment=environment)
    return {each.key: each for each in caught.value.mistakes}


# -- which there are -------------------------------------------------------------------------------


def test_out_of_the_box_there_is_the_scripted_agent(tmp_path):
    (recipe,) = registered(tmp_path, {})
    assert recipe.name == "scripted"
    assert "not a model" in recipe.description
    assert all(not path.startswith("/") and ".." not in path for path in recipe.files)
    assert ".threadsmith/scripted_agent.py" in recipe.files


def test_a_configured_agent_is_registered_and_the_default_comes_first(tmp_path):
    own = {"command": ["mine", "acp"], "env": {"MINE_PURE": "1"}, "description": "The real one."}
    recipes = registered(tmp_path, {"default": "mine", "mine": own})
    assert [recipe.name for recipe in recipes] == ["mine", "scripted"]
    assert recipes[0].command == ("mine", "acp")
    assert recipes[0].env == {"MINE_PURE": "1"}


def test_opencode_is_there_once_a_model_is(tmp_path):
    assert [recipe.name for recipe in registered(tmp_path, {}, SMALL)] == ["scripted", "opencode"]


def test_opencode_as_the_default_without_a_model_says_what_to_add(tmp_path):
    mistake = refused(tmp_path, {"default": "opencode"})["agents.opencode.model"]
    assert "[[gateway.models]]" in mistake.fix


def test_opencode_knows_all_models_and_nobody_else_s(tmp_path):
    table = {"default": "opencode", "opencode": {"model": "maker/large", "permissions": "ask"}}
    recipe = registered(tmp_path, table, SMALL, LARGE)[0]
    config = json.loads(recipe.env["OPENCODE_CONFIG_CONTENT"])
    assert recipe.model == config["model"] == config["small_model"] == "two/maker/large"
    assert config["enabled_providers"] == ["one", "two"] == list(config["provider"])
    options = {name: each["options"] for name, each in config["provider"].items()}
    assert options["one"] == {"baseURL": SMALL.url, "apiKey": "not-a-key"}
    assert options["two"] == {"baseURL": f"{LARGE.url}/v1", "apiKey": "not-a-key"}
    assert config["provider"]["one"]["npm"] == "@ai-sdk/openai-compatible"
    assert config["provider"]["two"]["npm"] == "@ai-sdk/anthropic"
    assert config["provider"]["two"]["models"]["maker/large"]["limit"] == {"context": 200_000, "output": 999}
    assert (config["permission"]["edit"], config["permission"]["webfetch"]) == ("ask", "deny")


# -- what is filled in -----------------------------------------------------------------------------

FULL = {
    "command": ["run", "--model={model}", "{folder}/bin"],
    "env": {
        "BASE_URL": "{model_url}",
        "API_KEY": "{no_key}",
        "GATE": "{gateway}",
        "JSON": '{"a":{"b":1}} ${x} {{word}} {{model}}',
    },
    "files": {".config/mine/settings.json": '{"url":"{model_url}/v1"}'},
    "model": "maker/large",
    "model_option": "model",
    "options": {"effort": "high"},
    "mode": "build",
    "permissions": "deny",
    "mcp": [
        {"name": "local", "command": ["serve"], "env": {"MODEL": "{model}"}},
        {"name": "tracker", "url": "/routes/tracker/mcp"},
    ],
    "install": ["npm", "install", "mine"],
}


def test_placeholders_are_filled_wherever_they_stand(tmp_path):
    table = {"default": "mine", "mine": FULL, "folder": str(tmp_path / "agents")}
    recipe = registered(tmp_path, table, SMALL, LARGE)[0]
    assert recipe.command == ("run", "--model=maker/large", "/opt/agent/bin")
    assert recipe.env == {
        "BASE_URL": LARGE.url,
        "API_KEY": "not-a-key",
        "GATE": "http://127.0.0.1:3128",
        "JSON": '{"a":{"b":1}} ${x} {word} {model}',
    }
    assert recipe.files == {".config/mine/settings.json": f'{{"url":"{LARGE.url}/v1"}}'.encode()}
    assert recipe.options == {"model": "maker/large", "effort": "high"}
    assert (recipe.mode, recipe.permissions) == ("build", "deny")
    assert recipe.model is None, "only its own option is set: not every agent has a list of models"
    local, tracker = recipe.mcp_servers
    assert (local.command, local.env) == (("serve",), {"MODEL": "maker/large"})
    assert (tracker.command, tracker.url) == ((), "http://127.0.0.1:3128/routes/tracker/mcp")
    assert recipe.folder is not None
    assert recipe.folder.parent == tmp_path / "agents"


def test_opencode_s_own_tables_are_filled_as_well(tmp_path):
    server = {"name": "local", "command": ["serve", "{folder}"], "env": {"MODEL": "{model}"}}
    table = {"default": "opencode", "opencode": {"mcp": [server], "options": {"effort": "{model}"}}}
    recipe = registered(tmp_path, table, SMALL)[0]
    assert recipe.options == {"effort": "small"}
    assert [(each.command, each.env) for each in recipe.mcp_servers] == [
        (("serve", "/opt/agent"), {"MODEL": "small"})
    ]


def test_another_command_to_install_means_another_folder(tmp_path):
    def folder(version: str) -> Path | None:
        own = {"command": ["a"], "install": ["npm", "install", f"a@{version}"]}
        return registered(tmp_path, {"default": "mine", "mine": own})[0].folder

    assert folder("1") == folder("1") != folder("2")


@pytest.mark.parametrize(
    "own",
    [
        {"command": ["a"], "model": "unknown"},
        {"command": ["a"], "model": "medium"},
    ],
)
def test_an_unknown_model_is_named_with_those_that_are_known(tmp_path, own):
    mistake = refused(tmp_path, {"mine": own, "opencode": {"model": "nope"}}, SMALL)["agents.mine.model"]
    assert "small" in mistake.fix


@pytest.mark.parametrize(
    "own",
    [
        {"command": ["a", "{model}"]},
        {"command": ["a"], "env": {"URL": "{model_url}"}},
        {"command": ["a"], "files": {"a": "{model}"}},
        {"command": ["a"], "model_option": "model"},
        {"command": ["a"], "mcp": [{"name": "a", "command": ["b", "{model}"]}]},
    ],
)
def test_whoever_needs_a_model_is_told_to_configure_one(tmp_path, own):
    assert "[[gateway.models]]" in refused(tmp_path, {"mine": own})["agents.mine.model"].fix


def test_every_model_that_is_not_there_is_named_at_once(tmp_path):
    table = {name: {"command": ["a"], "model": "nope"} for name in ("mine", "yours")}
    found = refused(tmp_path, table | {"opencode": {"model": "nope"}}, SMALL)
    assert found.keys() == {"agents.opencode.model", "agents.mine.model", "agents.yours.model"}


@pytest.mark.parametrize("inside", ["data", "data/agents", ".", "data/plugins/agents/x"])
def test_the_folder_of_programs_has_nothing_of_ours(tmp_path, inside):
    """Sandboxes read it."""
    assert "agents.folder" in refused(tmp_path, {"folder": str(tmp_path / inside)})


def test_the_folder_of_programs_is_no_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home/ada"))
    for folder in ("~", str(tmp_path / "home"), "/"):
        assert "agents.folder" in refused(tmp_path, {"folder": folder})
    assert registered(tmp_path, {"folder": "~/agents"})


# -- mistakes --------------------------------------------------------------------------------------

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
        {"command": ["a"], "env": {"API_KEY": "{no_key}x"}},
        {"command": ["a"], "env": {"API_KEY": ""}},
        {"command": ["a"], "files": {"auth.json": SECRET}},
        {"command": ["a"], "files": {"auth.json": {"file": "auth.json"}}},
        {"command": ["a"], "options": {"key": SECRET}},
        {"command": ["a"], "install": ["npm", "install", "--token", SECRET]},
        {"command": ["a"], "mcp": [{"name": "m", "command": ["b", SECRET]}]},
        {"command": ["a"], "mcp": [{"name": "m", "command": ["b"], "env": {"TRACKER_TOKEN": "x"}}]},
    ],
)
def test_a_secret_is_refused_wherever_it_is_put_and_never_shown(own):
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"mine": own}, strict=False)
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
    settings = Settings.model_validate({"mine": {"command": ["a"], "env": env}}, strict=False)
    assert settings.own["mine"].env == env


@pytest.mark.parametrize(
    ("table", "key", "words"),
    [
        ({"default": "gemini"}, "agents", "[agents.NAME]"),
        ({"scripted": {"command": ["a"]}}, "agents.scripted", "taken"),
        ({"Bad": {"command": ["a"]}}, "agents.Bad", "small letters"),
        ({"custom": {"mine": {"command": ["a"]}}}, "agents.custom", "Take `custom.` out"),
        ({"mine": {"command": ["a"], "env": {"A B": "x"}}}, "agents.mine.env", "letters"),
        ({"mine": {"command": []}}, "agents.mine.command", "program"),
        ({"mine": {}}, "agents.mine.command", "command"),
        ({"mine": {"command": ["a"], "evn": {}}}, "agents.mine.evn", "`env`"),
        ({"opencode": {"command": ["a"]}}, "agents.opencode.command", "Known here"),
        ({"defualt": "scripted"}, "agents.defualt", "`default`"),
        ({"folder": "agents"}, "agents.folder", "/var/lib"),
        ({"mine": {"command": ["{modle}"]}}, "agents.mine.command[1]", "{model_url}"),
        ({"mine": {"command": ["a"], "files": {"../x": ""}}}, "agents.mine.files", "home folder"),
        ({"mine": {"command": ["a"], "files": {"/etc/x": ""}}}, "agents.mine.files", "home folder"),
        ({"mine": {"command": ["a"], "permissions": "maybe"}}, "agents.mine.permissions", "leave"),
        ({"mine": {"command": ["a"], "mcp": [{"name": "m"}]}}, "agents.mine.mcp[1]", "one of the two"),
    ],
)
def test_other_mistakes_are_told_with_what_to_write(table, key, words):
    found = mistakes(table)
    assert words in found[key].fix


@pytest.mark.parametrize(
    "url", ["https://tracker.example.com/mcp", "/etc", "/routes/../admin", "/routes/a/../b", "/routes/A"]
)
def test_a_tool_server_s_address_is_a_route_of_the_gateway(url):
    own = {"command": ["a"], "mcp": [{"name": "m", "url": url}]}
    assert "[[gateway.routes]]" in mistakes({"mine": own})["agents.mine.mcp[1].url"].fix
