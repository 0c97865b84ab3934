"""Agents: the scripted one, and any other that speaks the Agent Client Protocol, from the configuration."""

from __future__ import annotations

from pydantic import BaseModel

from bot import AgentRecipe, Agents, PluginContext, hookimpl
from plugins.agents.recipes import SCRIPTED, scripted_recipe
from plugins.agents.settings import AgentSettings, Settings


class Plugin:
    """Registers every agent, the default one first: it works wherever a repository names none."""

    def __init__(self) -> None:
        self._settings = Settings()

    @hookimpl
    def config_schema(self) -> type[BaseModel]:
        return Settings

    @hookimpl
    def setup(self, context: PluginContext) -> None:
        if isinstance(context.settings, Settings):
            self._settings = context.settings

    @hookimpl
    def register_agents(self, agents: Agents) -> None:
        recipes = [
            scripted_recipe(),
            *(_recipe(name, custom) for name, custom in self._settings.custom.items()),
        ]
        for recipe in sorted(recipes, key=lambda recipe: recipe.name != self._settings.default):
            agents.add(recipe)


def _recipe(name: str, settings: AgentSettings) -> AgentRecipe:
    description = settings.description or f"Runs {settings.command[0]}."
    return AgentRecipe(name=name, description=description, command=settings.command, env=settings.env)


__all__ = ["SCRIPTED", "Plugin"]
