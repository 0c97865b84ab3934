"""`threadsmith classify`: which repository a message would be taken for, and why; what people corrected."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bot.cli_common import CONFIG, JSON, FilePath, Words, asked, print_table

if TYPE_CHECKING:
    from storage import DataFolder


@click.group(invoke_without_command=True)
@CONFIG
@JSON
@click.option("--explain", "text", type=Words(), default=None, help="The message.")
@click.option("--channel", type=Words(), default="", help="The channel it is said in, by name or id.")
@click.option("--user", type=Words(), default="", help="Who says it, as a Slack user id.")
@click.option(
    "--thread", type=Words(), multiple=True, help="What was said before, as in 'Ada: the total is wrong'."
)
@click.option("--model", is_flag=True, help="Ask the configured model too, if it comes to that. Costs money.")
@click.option("--score", type=FilePath(), default=None, help="Score labelled messages of a JSON-lines file.")
@click.pass_context
def classify(
    context: click.Context,
    config: Path,
    as_json: bool,
    text: str | None,
    channel: str,
    user: str,
    thread: tuple[str, ...],
    model: bool,
    score: Path | None,
) -> None:
    """Which repository a message would be taken for, and why."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    if (text is None) == (score is None):
        raise click.UsageError(
            'Say --explain "MESSAGE" or --score FILE; `classify labels` shows corrections.'
        )
    if score is not None:
        _show_score(asyncio.run(_score(config, score, model)), as_json)
        return
    arguments = {
        "text": text,
        "channel": channel,
        "user": user,
        "thread": [_spoken(each) for each in thread],
        "model": model,
    }
    answer = asyncio.run(_explain(config, arguments))
    if as_json:
        click.echo(json.dumps(answer))
        return
    _show(answer)


@classify.command()
@JSON
@click.pass_obj
def labels(config: Path, as_json: bool) -> None:
    """The corrections people made with “Wrong repository?”, as labelled messages."""
    answer = asyncio.run(_labels(config))
    if as_json:
        click.echo(json.dumps(answer))
        return
    if not answer["labels"]:
        click.echo("Nobody has corrected a repository yet.")
        return
    rows = [
        [row["suggested"] or "", row["chosen"], row["channel"], " ".join(row["text"].split())[:90]]
        for row in answer["labels"]
    ]
    print_table(["suggested", "chosen", "channel", "text"], rows)


def _spoken(line: str) -> tuple[str, str]:
    speaker, colon, text = line.partition(":")
    return (speaker.strip(), text.strip()) if colon else ("somebody", line)


def _show(answer: dict[str, Any]) -> None:
    from bot.sessions.explaining import as_lines

    outcome, *steps = as_lines(answer)
    click.echo(click.style(outcome, bold=True))
    for line in steps:
        click.echo(f"  {line}")


def _show_score(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer))
        return
    from bot.classify_score import as_words

    for line in as_words(answer):
        click.echo(line)


# -- asking --------------------------------------------------------------------------------------


async def _explain(config: Path, arguments: dict[str, Any]) -> Any:
    """Of the running bot where a model is to be asked, since that one holds the budgets."""
    from bot.classify_commands import configured, explain_message, with_model
    from bot.config import load
    from bot.plugins import Plugins

    plugins = Plugins()
    settings = load(config, plugins)
    if not arguments["model"]:
        async with configured(settings, plugins) as of:
            return await explain_message(of, arguments)

    async def alone(_: DataFolder) -> Any:
        async with with_model(settings, plugins) as of:
            return await explain_message(of, arguments)

    return await asked(settings.data, "classify.explain", arguments, alone)


async def _labels(config: Path) -> Any:
    from bot.classify_commands import own_state
    from bot.config import load
    from bot.plugins import Plugins

    settings = load(config, Plugins())

    async def alone(folder: DataFolder) -> Any:
        async with own_state(folder) as files:
            return {"labels": await files.state.labels()}

    return await asked(settings.data, "classify.labels", {}, alone)


async def _score(config: Path, path: Path, model: bool) -> dict[str, Any]:
    from bot.classify_commands import configured, with_model
    from bot.classify_score import read_messages, score
    from bot.config import load
    from bot.plugins import Plugins

    plugins = Plugins()
    settings = load(config, plugins)
    async with with_model(settings, plugins) if model else configured(settings, plugins) as of:
        return (await score(of.plugins, read_messages(path, settings.repositories))).as_json()
