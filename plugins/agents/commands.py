"""`threadsmith agents`: which there are, and fetching their programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click

from bot import AgentRecipe, UserError
from plugins.agents.install import Program, install


def agents_commands(
    recipes: Sequence[AgentRecipe], programs: Mapping[str, Program], default: str
) -> click.Group:
    """The group of commands for these agents. A program may be there without its recipe, but not used yet."""

    @click.group()
    def agents() -> None:
        """The agents that can work in a sandbox, and their programs."""

    @agents.command("list")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
    def list_(as_json: bool) -> None:
        """List the agents, and whether what they run is installed."""
        rows = [_row(recipe, programs.get(recipe.name), default) for recipe in recipes]
        if as_json:
            click.echo(json.dumps({"agents": rows}))
            return
        for row in rows:
            mark = " (default)" if row["default"] else ""
            click.echo(f"{row['name']}{mark}: {row['program']}. {row['description']}")

    @agents.command("install")
    @click.argument("name")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
    def install_(name: str, as_json: bool) -> None:
        """Fetch the program of an agent; instant when it is there."""
        if name not in programs:
            known = ", ".join(sorted(programs))
            raise UserError(f"There is nothing to install for {name[:40]}. It can be done for: {known}.")
        program = programs[name]
        if not program.there:
            click.echo(f"Installing {name} into {program.folder}", err=True)
        fresh = install(program, lambda line: click.echo(line, err=True))
        if as_json:
            click.echo(json.dumps({"agent": name, "folder": str(program.folder), "fresh": fresh}))
        else:
            click.echo(f"{name} is {'installed' if fresh else 'there'}: {program.folder}")

    return agents


def _row(recipe: AgentRecipe, program: Program | None, default: str) -> dict[str, object]:
    state = "nothing to install" if program is None else "installed" if program.there else "not installed"
    return {
        "name": recipe.name,
        "default": recipe.name == default,
        "program": state,
        "folder": None if program is None else str(program.folder),
        "description": recipe.description,
    }
