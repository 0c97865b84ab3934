"""How agents are started inside a sandbox: the scripted one, and your own ones from the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bot import AGENT_FOLDER, GATEWAY_URL, AgentRecipe, ConfigError, McpServer, Mistake, Model
from plugins.agents.plain import NO_KEY, OF_MODELS, fill, used

if TYPE_CHECKING:
    from plugins.agents.settings import AgentSettings, Choices, McpSettings

SCRIPTED = "scripted"

_HERE = Path(__file__).parent / "scripted"
_FOLDER = ".threadsmith"
_START = b"from scripted.agent import main\n\nmain()\n"
# -E and -s: neither the environment nor a home can slip in modules; the repository is not on the path at all.
_COMMAND = f'exec python3 -E -s -B "$HOME/{_FOLDER}/scripted_agent.py"'


@cache
def scripted_recipe() -> AgentRecipe:
    """The scripted agent: its sources are copied in, so it needs nothing of an image but Python 3.9."""
    files = {f"{_FOLDER}/scripted/{path.name}": path.read_bytes() for path in sorted(_HERE.glob("*.py"))}
    return AgentRecipe(
        name=SCRIPTED,
        description="Does the few things it understands, word for word. It is not a model.",
        command=("sh", "-c", _COMMAND),
        files={f"{_FOLDER}/scripted_agent.py": _START} | files,
    )


def own_recipe(
    name: str, settings: AgentSettings, models: Sequence[Model], folder: Path | None
) -> AgentRecipe:
    """An agent of the configuration, its placeholders filled; ConfigError when its model is not there."""
    model = chosen(name, settings, models, needed=_needs_model(settings))
    values = values_of(model)
    return AgentRecipe(
        name=name,
        description=settings.description or f"Runs {settings.command[0]}.",
        command=tuple(fill(part, values) for part in settings.command),
        env=filled(settings.env, values),
        files={path: fill(text, values).encode() for path, text in settings.files.items()},
        folder=folder,
        options=_options(settings, model) | filled(settings.options, values),
        mode=settings.mode,
        permissions=settings.permissions,
        mcp_servers=mcp_servers(settings.mcp, values),
    )


def chosen(name: str, settings: Choices, models: Sequence[Model], needed: bool) -> Model | None:
    """The model an agent works with: the one it names, or the first of them."""
    if settings.model is None and (models or not needed):
        return models[0] if models else None
    found = next((model for model in models if model.name == settings.model), None)
    if found is not None:
        return found
    known = ", ".join(model.name for model in models)
    fix = f"Known are {known}; add [[gateway.models]] for another." if known else MODEL_FIX
    got = "no such one" if settings.model is not None else "none configured"
    raise ConfigError([Mistake(f"agents.{name}.model", "a model of [[gateway.models]]", got, fix)], "agents")


MODEL_FIX = "Add a [[gateway.routes]] to a model provider and a [[gateway.models]] with its model's name."


def mcp_servers(settings: Sequence[McpSettings], values: Mapping[str, str]) -> tuple[McpServer, ...]:
    """The tool servers of an agent, as it is told of them."""
    return tuple(
        McpServer(
            name=each.name,
            command=tuple(fill(part, values) for part in each.command),
            env=filled(each.env, values),
            url="" if each.url is None else GATEWAY_URL + each.url,
        )
        for each in settings
    )


def _needs_model(settings: AgentSettings) -> bool:
    texts = [*settings.command, *settings.env.values(), *settings.files.values(), *settings.options.values()]
    texts += [part for each in settings.mcp for part in (*each.command, *each.env.values())]
    return settings.model_option is not None or any(used(text) & OF_MODELS for text in texts)


def values_of(model: Model | None) -> dict[str, str]:
    """What the placeholders stand for."""
    values = {"gateway": GATEWAY_URL, "folder": AGENT_FOLDER, "no_key": NO_KEY}
    return values if model is None else values | {"model": model.name, "model_url": model.url}


def filled(table: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """A table with the placeholders' values."""
    return {key: fill(text, values) for key, text in table.items()}


def _options(settings: AgentSettings, model: Model | None) -> dict[str, str]:
    if model is None or settings.model_option is None:
        return {}
    return {settings.model_option: model.name}
