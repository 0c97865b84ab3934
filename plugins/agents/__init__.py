"""Agents: the scripted one, opencode, and any other that speaks the Agent Client Protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from bot import (
    AgentRecipe,
    Agents,
    Checks,
    ConfigError,
    Finding,
    Mistake,
    Model,
    PluginContext,
    Verdict,
    hookimpl,
)
from plugins.agents.install import Program, own_program
from plugins.agents.opencode import opencode_recipe, program
from plugins.agents.recipes import SCRIPTED, own_recipe, scripted_recipe
from plugins.agents.settings import OPENCODE, Settings

if TYPE_CHECKING:
    import click


class Plugin:
    """Registers every agent, the default one first: it works wherever a repository names none."""

    def __init__(self) -> None:
        self._default = SCRIPTED
        self._recipes: list[AgentRecipe] = [scripted_recipe()]
        self._programs: dict[str, Program] = {}

    @hookimpl
    def config_schema(self) -> type[BaseModel]:
        return Settings

    @hookimpl
    def setup(self, context: PluginContext) -> None:
        """ConfigError names all that does not fit together: models that are not there, a folder of ours."""
        settings = context.settings if isinstance(context.settings, Settings) else Settings.model_validate({})
        folder = _outside(settings.folder, context.data)
        self._default = settings.default
        self._programs = {each.name: each for each in _programs(settings, folder)}
        recipes = _made(_recipes(settings, context.models, folder, self._programs))
        self._recipes = sorted(recipes, key=lambda recipe: recipe.name != self._default)

    @hookimpl
    def register_agents(self, agents: Agents) -> None:
        for recipe in self._recipes:
            agents.add(recipe)

    @hookimpl
    def register_cli(self, cli: click.Group) -> None:
        from plugins.agents.commands import agents_commands

        cli.add_command(agents_commands(self._recipes, self._programs, self._default))

    @hookimpl
    def register_checks(self, checks: Checks) -> None:
        checks.add("agents", self._check)

    async def _check(self) -> Sequence[Finding]:
        usable = {recipe.name for recipe in self._recipes}
        return [_finding(each) for each in self._programs.values() if each.name in usable]


def _finding(program: Program) -> Finding:
    what = f"agent {program.name}"
    if program.there:
        return Finding(what, Verdict.OK, f"installed in {program.folder}")
    return Finding(what, Verdict.BROKEN, "not installed", f"threadsmith agents install {program.name}")


def _outside(folder: Path, own_data: Path) -> Path:
    """Where programs are kept. Sandboxes read it, so nothing of ours may be in it, nor it in our data."""
    place = folder.expanduser()
    data, resolved = own_data.parent.parent.resolve(), place.resolve()
    kept = [data, Path.home().resolve()]
    if resolved.is_relative_to(data) or any(each.is_relative_to(resolved) for each in kept):
        fix = "Name a folder of its own, which holds nothing else and no home, outside `data`."
        mistake = Mistake("agents.folder", "a folder that sandboxes may read", "one with data of ours", fix)
        raise ConfigError([mistake], "agents")
    return place


def _programs(settings: Settings, folder: Path) -> Iterator[Program]:
    yield program(folder)
    for name, each in settings.own.items():
        if each.install:
            yield own_program(name, each.install, folder)


def _recipes(
    settings: Settings, models: Sequence[Model], folder: Path, programs: Mapping[str, Program]
) -> Iterator[Callable[[], AgentRecipe]]:
    """Each may yet turn out to be a ConfigError."""
    yield scripted_recipe
    if models or settings.default == OPENCODE:
        yield partial(opencode_recipe, settings.opencode, models, folder)
    for name, each in settings.own.items():
        own = programs[name].folder if name in programs else None
        yield partial(own_recipe, name, each, models, own)


def _made(recipes: Iterator[Callable[[], AgentRecipe]]) -> list[AgentRecipe]:
    """All of them; ConfigError with every mistake in any."""
    made, mistakes = list[AgentRecipe](), list[Mistake]()
    for recipe in recipes:
        try:
            made.append(recipe())
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError(mistakes, "agents")
    return made


__all__ = ["SCRIPTED", "Plugin"]
