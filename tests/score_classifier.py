"""How often the right repository is found: `python tests/score_classifier.py [--json]`.

The rules alone, and with a model whose replies are recorded in `data/classifier-replies.jsonl`: those were
written by hand to be like a model's, mistakes, refusals and broken forms included. They are no real model's,
so what they score says that the way from a reply to a decision works, and nothing about any model.
`threadsmith classify --score tests/data/classifier.jsonl --model` asks the one that is configured.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import click
from meter_kit import metered, opened_state
from model_kit import StandIn, asked_data, completion, stand_in

from bot.classify_score import Score, as_words, read_messages, score
from bot.gateway.own_calls import OwnCalls
from bot.plugins import Plugins
from plugins.repo_classifier import Plugin

DATA = Path(__file__).parent / "data"
MESSAGES = DATA / "classifier.jsonl"
REPLIES = DATA / "classifier-replies.jsonl"
RULES, RECORDED = "rules alone", "with recorded replies"
HONEST = "The recorded replies were written by hand; they are no real model's, and say nothing about one."


def replies() -> dict[str, dict[str, Any]]:
    """By the message that they are for, as whole answers of a service."""
    rows = [json.loads(line) for line in REPLIES.read_text("utf-8").splitlines()]
    return {
        row["text"]: completion(
            row["content"], finish=row.get("finish_reason", "stop"), refusal=row.get("refusal")
        )
        for row in rows
    }


def replaying(service: StandIn) -> None:
    """Let a service answer each message with its recorded reply."""
    known = replies()

    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        return known[asked_data(body)["message"]["text"]]

    service.answer = answer


async def scores(folder: Path) -> dict[str, Score]:
    """Over the real client and HTTP, with the real meter."""
    messages = read_messages(MESSAGES, ())
    found = {}
    async with stand_in() as service, opened_state(folder) as state:
        replaying(service)
        calls = OwnCalls(service.settings(), metered(state))
        for name, ask in ((RULES, None), (RECORDED, calls)):
            plugins = Plugins(())
            plugins.register(Plugin(), "repo_classifier")
            await plugins.setup({}, (), folder, 0, (), ask)
            found[name] = await score(plugins, messages)
        await calls.close()
    return found


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def main(as_json: bool) -> None:
    """Score the classifier on the labelled messages of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: each.as_json() for name, each in asyncio.run(scores(Path(folder))).items()}
    if as_json:
        click.echo(json.dumps({"note": HONEST, **found}))
        return
    for name, each in found.items():
        click.echo(f"{name}:")
        for line in as_words(each):
            click.echo(f"  {line}")
    click.echo(HONEST)


if __name__ == "__main__":
    main()
