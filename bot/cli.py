"""The `threadsmith` command. Heavy imports stay inside the commands, so that `--help` answers at once.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from bot.errors import ConfigError, ThreadsmithError, UserError

T = TypeVar("T")

CONFIG = click.option(
    "--config",
    "-c",
    "config",
    type=click.Path(path_type=Path),
    default=Path("config.toml"),
    show_default=True,
    help="The configuration file.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="threadsmith", prog_name="threadsmith")
def cli() -> None:
    """Mention it in a Slack thread, and the thread becomes a coding session that ends in a pull request."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the one place where errors become words and exit codes."""
    from storage import StorageError

    try:
        cli.main(args=arguments, prog_name="threadsmith", standalone_mode=False)
    except click.exceptions.Abort:
        return 1
    except click.ClickException as error:
        error.show()
        return 2
    except ConfigError as error:
        click.echo(str(error), err=True)
        return 2
    except (UserError, StorageError) as error:
        click.echo(str(error), err=True)
        return 1
    except ThreadsmithError as error:
        click.echo(f"That failed: {error}", err=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


# -- the demo ------------------------------------------------------------------------------------


@cli.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Where all state goes; a second start goes on from it.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65500),
    default=None,
    help="The page's port; two more follow it. 0: any free ones.",
)
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
@click.option(
    "--secret-prefix", default="", help="Begin every generated secret with this, to look for leaks."
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON once ready.")
def demo(data: Path, port: int | None, no_browser: bool, secret_prefix: str, as_json: bool) -> None:
    """Try it here: a Slack, a code host and the bot on this machine. No account, no key."""
    from bot.demo import Child, Demo, until_interrupted
    from bot.playground.household import household

    home = household(data, port=port, prefix=secret_prefix)
    page = f"{home.slack_url}/?token={home.secrets['control_token']}"
    playground = Child(
        "playground",
        ["playground", "--data", str(home.folder)],
        home.folder / "logs/playground.log",
        f"{home.slack_url}/",
    )
    bot = Child(
        "bot", ["run", "--config", str(home.config)], home.folder / "logs/bot.log", f"{home.bot_url}/live"
    )

    def ready() -> None:
        if as_json:
            click.echo(json.dumps(_facts(home, playground.pid, bot.pid)))
        else:
            _welcome(page, home.github_url, home.folder)
        sys.stdout.flush()
        if not (no_browser or as_json):
            click.launch(page)

    if not as_json:
        click.echo("Starting the playground and the bot…")
    until_interrupted(Demo(playground, bot).run(ready))


def _facts(home: Any, playground: int, bot: int) -> dict[str, Any]:
    return {
        "control": home.slack_url,
        "token": home.secrets["control_token"],
        "slack": f"{home.slack_url}/api/",
        "github": home.github_url,
        "bot": home.bot_url,
        "data": str(home.folder),
        "pids": {"playground": playground, "bot": bot},
        "api_tokens": {},
    }


def _welcome(page: str, github: str, folder: Path) -> None:
    click.echo()
    click.echo(click.style("  Threadsmith is ready.", bold=True))
    click.echo(f"  The Slack playground   {click.style(page, underline=True)}")
    click.echo(f"  The code host          {github}")
    click.echo(f"  All state and logs     {folder}")
    click.echo()
    click.echo('  Say in #web:  @Threadsmith replace "Welcome" with "Hello" in src/header.js')
    click.echo("  Ctrl-C ends it; the next start goes on where you left.")


@cli.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Where its state goes.",
)
@click.option("--port", type=click.IntRange(0, 65500), default=None, help="The page's port.")
def playground(data: Path, port: int | None) -> None:
    """Only the Slack and the code host of the demo, to run a bot of your own against."""
    from bot.demo import until_interrupted
    from bot.playground.app import Playground
    from bot.playground.household import household

    home = household(data, port=port)

    async def serve() -> None:
        place = Playground(home.playground)
        await place.start()
        click.echo(f"{place.slack_url}/?token={home.secrets['control_token']}")
        click.echo(f"Start a bot with:  threadsmith run --config {home.config}")
        sys.stdout.flush()
        try:
            await asyncio.Event().wait()
        finally:
            await place.close()

    until_interrupted(serve())


# -- the bot -------------------------------------------------------------------------------------


@cli.command()
@CONFIG
@click.option("--verbose", "-v", is_flag=True, help="Log more.")
def run(config: Path, verbose: bool) -> None:
    """Run the bot until it is told to stop."""
    from bot.app import Bot
    from bot.demo import until_interrupted

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("bot").setLevel(logging.INFO)
    bot = Bot.from_file(config)

    async def serve() -> None:
        await bot.start()
        try:
            await asyncio.Event().wait()
        finally:
            await bot.close()

    until_interrupted(serve())


@cli.command()
@CONFIG
@JSON
def check(config: Path, as_json: bool) -> None:
    """Check the configuration and say all that is wrong with it at once."""
    from bot.config import load
    from bot.plugins import Plugins

    plugins = Plugins()
    try:
        settings = load(config, plugins)
    except ConfigError as error:
        if not as_json:
            raise
        mistakes = [
            {"key": m.key, "expected": m.expected, "got": m.got, "fix": m.fix} for m in error.mistakes
        ]
        click.echo(json.dumps({"ok": False, "mistakes": mistakes}))
        raise click.exceptions.Exit(2) from None
    broken = [{"plugin": each.name, "reason": each.reason} for each in plugins.broken]
    if as_json:
        click.echo(json.dumps({"ok": True, "mistakes": [], "left_out": broken}))
        return
    click.echo(
        f"{config} is fine: {len(settings.repositories)} repositories, {len(plugins.names())} plugins."
    )
    for each in broken:
        click.echo(f"Left out: plugin {each['plugin']} ({each['reason']})", err=True)


@cli.command()
@CONFIG
@JSON
def plugins(config: Path, as_json: bool) -> None:
    """List the plugins: where each is from, which hooks it has, which were left out and why."""
    from bot.config import load
    from bot.plugins import Plugins

    found = Plugins()
    load(config, found)
    rows: list[dict[str, Any]] = [
        {"name": p.name, "from": p.where, "version": p.version, "hooks": list(p.hooks), "problem": p.problem}
        for p in found.describe()
    ]
    if as_json:
        click.echo(json.dumps({"plugins": rows}))
        return
    _table(
        ["plugin", "from", "hooks"],
        [[r["name"], r["from"], r["problem"] or ", ".join(r["hooks"])] for r in rows],
    )


# -- sessions ------------------------------------------------------------------------------------


@cli.group()
def sessions() -> None:
    """Look at sessions: a thread each."""


@sessions.command("list")
@CONFIG
@JSON
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--repository", default=None, help="Only those of one repository.")
@click.option(
    "--state", default=None, help="Only those in one state: queued, running, waiting, done, failed, stopped."
)
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
        click.echo("No sessions yet. Mention the bot in a thread to begin one.")
        return
    _table(["session", "state", "repository", "prompts", "last change", "title"], rows)


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
        [str(p["id"]), p["state"], p["author_name"], str(p["attempt"]), p["text"][:70]]
        for p in answer["prompts"]
    ]
    _table(["prompt", "state", "author", "tries", "text"], rows)


@sessions.command("export")
@CONFIG
@click.argument("session")
@click.argument("path", type=click.Path(path_type=Path))
def export_session(config: Path, session: str, path: Path) -> None:
    """Copy a session's file, complete by itself, to PATH."""
    answer = _ask(config, "sessions.export", {"id": session, "path": str(path.absolute())})
    click.echo(answer["path"])


@cli.command()
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

    return _wait(_answer(load(config, Plugins()).data, command, arguments))


async def _answer(data: Path, command: str, arguments: dict[str, Any]) -> Any:
    from bot.admin import ask
    from bot.admin_commands import admin_commands, files_of
    from storage import DataFolder

    folder = DataFolder(data)
    try:
        return await ask(folder.admin_socket, command, arguments)
    except ConnectionError:
        async with files_of(folder) as files:
            return await admin_commands(files)[command](arguments)


def _wait(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def _when(at: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")


def _table(heads: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
