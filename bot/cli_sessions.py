"""`threadsmith sessions …` and `reindex`: asked of the running bot, or of the files when none runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bot.cli_common import CONFIG, JSON, FilePath, Words, asked, print_table

if TYPE_CHECKING:
    from storage import DataFolder

_STATES = ("queued", "running", "waiting", "done", "failed", "stopped")


@click.group()
def sessions() -> None:
    """Look at sessions: a thread each."""


@sessions.command("list")
@CONFIG
@JSON
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--repository", type=Words(), default=None, help="Only those of one repository.")
@click.option("--state", type=click.Choice(_STATES), default=None, help="Only those in one state.")
def list_sessions(config: Path, as_json: bool, limit: int, repository: str | None, state: str | None) -> None:
    """The latest sessions."""
    answer = _ask(config, "sessions.list", {"limit": limit, "repository": repository, "state": state})
    if as_json:
        click.echo(json.dumps(answer))
        return
    rows = [
        [
            row["id"],
            row["state"],
            row["repository"] or "",
            str(row["prompts"]),
            _when(row["updated_at"]),
            row["title"],
        ]
        for row in answer["sessions"]
    ]
    if not rows:
        narrowed = repository is not None or state is not None
        none = "No sessions yet. Mention the bot in a thread to begin one."
        click.echo("No session is like that." if narrowed else none)
        return
    print_table(["session", "state", "repository", "prompts", "last change", "title"], rows)


@sessions.command("show")
@CONFIG
@JSON
@click.argument("session")
def show_session(config: Path, as_json: bool, session: str) -> None:
    """One session: its prompts, turns and what they left."""
    answer = _ask(config, "sessions.show", {"id": session})
    if as_json:
        click.echo(json.dumps(answer))
        return
    row = answer["session"]
    click.echo(f"{click.style(row['title'] or '(no title)', bold=True)}  {row['id']}")
    click.echo(f"{row['repository'] or 'no repository yet'}  {row['branch'] or ''}")
    pull = row["pull_request"]
    if pull:
        click.echo(f"Pull request #{pull['number']} {pull['url']}")
    rows = [
        [str(p["id"]), p["state"], p["author_name"], str(p["interrupted"] + 1), p["text"][:70]]
        for p in answer["prompts"]
    ]
    print_table(["prompt", "state", "author", "tries", "text"], rows)


@sessions.command("export")
@CONFIG
@click.argument("session")
@click.argument("path", type=FilePath())
def export_session(config: Path, session: str, path: Path) -> None:
    """Copy a session's file, complete by itself, to PATH."""
    answer = _ask(config, "sessions.export", {"id": session, "path": str(path.absolute())})
    click.echo(answer["path"])


@click.command()
@CONFIG
@JSON
def reindex(config: Path, as_json: bool) -> None:
    """Build the index anew from the session files."""
    answer = _ask(config, "reindex", {})
    click.echo(json.dumps(answer) if as_json else f"{answer['sessions']} sessions are in the index.")
    for failed in answer["failed"]:
        click.echo(failed, err=True)


# -- asking --------------------------------------------------------------------------------------


def _ask(config: Path, command: str, arguments: dict[str, Any]) -> Any:
    """From the running bot, or, when none runs, from the files themselves."""
    from bot.config import load
    from bot.plugins import Plugins

    return asyncio.run(_answer(load(config, Plugins()).data, command, arguments))


async def _answer(data: Path, command: str, arguments: dict[str, Any]) -> Any:
    from bot.admin_commands import admin_commands, files_of

    async def alone(folder: DataFolder) -> Any:
        async with files_of(folder) as files:
            return await admin_commands(files)[command](arguments)

    return await asked(data, command, arguments, alone)


def _when(at: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
