"""The `threadsmith` command. Heavy imports stay inside the commands, so that `--help` answers at once.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import click

from bot.cli_classify import classify
from bot.cli_common import CONFIG, JSON, FilePath, print_table
from bot.cli_doctor import doctor
from bot.cli_model import agent_table, model_options
from bot.cli_plugins import WithPlugins
from bot.cli_sessions import reindex, sessions
from bot.errors import ConfigError, ThreadsmithError, UserError


@click.group(
    cls=WithPlugins, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(package_name="threadsmith", prog_name="threadsmith")
def cli() -> None:
    """Mention it in a Slack thread, and the thread becomes a coding session that ends in a pull request."""


cli.add_command(sessions)
cli.add_command(reindex)
cli.add_command(doctor)
cli.add_command(classify)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the one place where errors become words and exit codes."""
    from storage import StorageError

    for stream in (sys.stdout, sys.stderr):  # a name that is not UTF-8 has to be printable all the same
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(args=arguments, prog_name="threadsmith", standalone_mode=False)
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
    except OSError as error:
        named = f" ({error.filename})" if error.filename else ""
        click.echo(f"That failed: {error.strerror or type(error).__name__}{named}.", err=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return code if isinstance(code, int) else 0


# -- the demo ------------------------------------------------------------------------------------


@cli.command()
@click.option(
    "--data",
    type=FilePath(),
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
    "--secret-prefix",
    default="",
    callback=lambda _, __, value: _plain_prefix(value),
    help="Begin every generated secret with this, to look for leaks.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON once ready.")
@model_options
def demo(
    data: Path,
    port: int | None,
    no_browser: bool,
    secret_prefix: str,
    as_json: bool,
    agent: str,
    **model: Any,
) -> None:
    """Try it here: a Slack, a code host and the bot on this machine. No account, no key.

    With --agent opencode a real agent works, with a model of yours: `--model qwen3-coder` for Ollama on this
    machine, or a provider's with --model-url, --key-env and --usd.
    """
    from bot.demo import Child, Demo, install_agent, until_interrupted
    from bot.playground.household import household

    table = agent_table(agent, **model)
    home = household(data, port=port, prefix=secret_prefix)
    home.use_agent(table)
    if table is not None:
        install_agent(agent, home.folder)
    page = f"{home.slack_url}/?token={home.secrets['control_token']}"
    playground = Child(
        "playground",
        ["playground", "--data", str(home.folder), "--quiet"],
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
            _welcome(page, f"{home.github_url}/?token={home.secrets['pages_token']}", home.folder)
        sys.stdout.flush()
        if not (no_browser or as_json):
            click.launch(page)

    if not as_json:
        click.echo("Starting the playground and the bot…")
    until_interrupted(Demo(playground, bot).run(ready))


def _plain_prefix(value: str) -> str:
    """Tokens go into headers, addresses and file names."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,64}", value):
        raise click.BadParameter("use at most 64 letters, digits, _ and -")
    return value


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
    type=FilePath(),
    default=Path(".demo"),
    show_default=True,
    help="Where its state goes.",
)
@click.option("--port", type=click.IntRange(0, 65500), default=None, help="The page's port.")
@click.option("--quiet", is_flag=True, help="Print no address: it holds a token, which belongs in no log.")
def playground(data: Path, port: int | None, quiet: bool) -> None:
    """Only the Slack and the code host of the demo, to run a bot of your own against."""
    from bot.demo import serving, until_interrupted
    from bot.playground.app import Playground
    from bot.playground.household import household

    home = household(data, port=port)

    place = Playground(home.playground)

    def ready() -> None:
        if not quiet:
            click.echo(f"{place.slack_url}/?token={home.secrets['control_token']}")
            click.echo(f"Start a bot with:  threadsmith run --config {home.config}")
            sys.stdout.flush()

    until_interrupted(serving(place, ready))


# -- the bot -------------------------------------------------------------------------------------


@cli.command()
@CONFIG
@click.option("--verbose", "-v", count=True, help="Log more; twice, everything the libraries say as well.")
def run(config: Path, verbose: int) -> None:
    """Run the bot until it is told to stop."""
    from bot.app import Bot
    from bot.demo import serving, until_interrupted

    logging.basicConfig(
        level=(logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)],
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("bot").setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
    until_interrupted(serving(Bot.from_file(config)))


@cli.command()
@CONFIG
@JSON
def check(config: Path, as_json: bool) -> None:
    """Check the configuration and say all that is wrong with it at once."""
    import asyncio

    from bot.config import load
    from bot.doctor import scratch, set_up
    from bot.plugins import Plugins

    plugins = Plugins()
    try:
        settings = load(config, plugins)
        with scratch(settings.data) as folder:
            asyncio.run(set_up(settings, plugins, folder))
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
    print_table(
        ["plugin", "from", "hooks"],
        [[r["name"], r["from"], r["problem"] or ", ".join(r["hooks"])] for r in rows],
    )
