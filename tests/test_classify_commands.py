"""Which repository and why: on the command line, in Slack, and as a score."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from model_kit import StandIn, stand_in

from bot.cli import main
from bot.testing import Botty

CONFIG = """
[slack]
bot_token = { env = "SLACK_BOT_TOKEN" }
app_token = { env = "SLACK_APP_TOKEN" }

[[repositories]]
name = "acme/storefront"
description = "The web shop"
keywords = ["css"]
channels = ["web"]

[[repositories]]
name = "acme/ledger"
description = "Books invoices"
keywords = ["invoice"]

[plugins]
disabled = ["pr_creator"]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, and nothing that runs."""
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def classified(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["classify", "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_message_is_explained_from_a_configuration_alone(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = classified(capsys, "--explain", "the invoice is wrong", "--channel", "#web")
    assert (answer["decided_by"], answer["repository"]) == ("keyword", "acme/ledger")
    steps = {step["name"]: step["repository"] for step in answer["steps"]}
    assert (steps["mentioned"], steps["channel_default"]) == (None, "acme/storefront")
    assert sorted(path.name for path in place.iterdir()) == ["config.toml"]


def test_it_is_told_in_words_as_well(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "--explain", "the invoice is wrong"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "acme/ledger, because you wrote “invoice”."
    assert "  channel default: says nothing" in lines


def test_what_would_be_asked_is_said_with_its_candidates(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = classified(capsys, "--explain", "hm", "--thread", "Ada: the shop is down")
    assert (answer["decided_by"], answer["verdict"]) == ("asking", "asks")
    assert answer["candidates"] == ["acme/storefront"]
    assert "none is configured" in answer["steps"][-2]["said"]


def test_a_person_s_message_is_looked_at_with_what_they_may_use(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "plugins").mkdir()
    (place / "plugins" / "guard.py").write_text(
        "from bot import hookimpl\n\n@hookimpl\ndef may(actor, action, subject):\n"
        "    return False if subject.repository == 'acme/ledger' and actor.id == 'U1' else None\n"
    )
    (place / "config.toml").write_text(CONFIG + 'folder = "plugins"\n')
    assert classified(capsys, "--explain", "repo=ledger", "--user", "U2")["repository"] == "acme/ledger"
    answer = classified(capsys, "--explain", "repo=ledger", "--user", "U1")
    assert answer["verdict"] == "asks"
    assert "acme/ledger" not in answer["candidates"]


@pytest.mark.parametrize("arguments", [[], ["--explain", "x", "--score", "y"], ["--nonsense"]])
def test_a_question_that_is_none_is_wrong_usage(place: Path, arguments: list[str]) -> None:
    assert main(["classify", *arguments]) == 2


def test_a_plugin_that_cannot_explain_itself_is_one_step(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "plugins").mkdir()
    (place / "plugins" / "oracle.py").write_text(
        "from bot import RepositoryChoice, hookimpl\n\n@hookimpl\ndef choose_repository(question):\n"
        "    return RepositoryChoice('acme/ledger', 'because I know')\n"
    )
    (place / "config.toml").write_text(CONFIG + 'folder = "plugins"\n')
    answer = classified(capsys, "--explain", "the css")
    assert (answer["decided_by"], answer["reason"]) == ("oracle", "because I know")


# -- corrections and scores --------------------------------------------------------------------------


def test_without_corrections_there_are_none(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classified(capsys, "labels", "--json") == {"labels": []}
    assert main(["classify", "labels"]) == 0
    assert "Nobody has corrected" in capsys.readouterr().out


def test_labelled_messages_are_scored(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"text": "the css", "label": "acme/storefront"},
        {"text": "the invoice", "label": "acme/storefront"},
        {"text": "the shop is down", "label": "acme/storefront"},
        {"text": "hello", "label": "unknown"},
        {"text": "hello", "chosen": "acme/storefront", "channel": "web", "suggested": None},
    ]
    (place / "messages.jsonl").write_text("\n".join(map(json.dumps, rows)))
    answer = classified(capsys, "--score", "messages.jsonl")
    wrong = {"text": "the invoice", "label": "acme/storefront", "chosen": "acme/ledger"}
    assert answer == {
        "messages": 5,
        "decided": 3,
        "right": 2,
        "wrong": [wrong],
        "asked": 2,
        "asked_in_vain": 1,
        "right_one_first": 1,
    }
    assert main(["classify", "--score", "messages.jsonl"]) == 0
    assert "right where decided 66.7%" in capsys.readouterr().out


def test_exported_corrections_are_scored_as_they_are(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": "the css", "chosen": "acme/storefront", "channel": "C1", "suggested": "acme/ledger"}]
    (place / "labels.json").write_text(json.dumps({"labels": rows * 2}) + "\n")
    answer = classified(capsys, "--score", "labels.json")
    assert (answer["messages"], answer["right"]) == (2, 2)


@pytest.mark.parametrize("content", ["x", "[]", "7", '{"text": 1}', '{"label": "x"}', '{"labels": 3}'])
def test_a_file_of_something_else_is_refused_in_words(
    place: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (place / "messages.jsonl").write_text(content)
    assert main(["classify", "--score", "messages.jsonl"]) == 1
    assert "no file of labelled messages" in capsys.readouterr().err


# -- with a model, and in Slack ----------------------------------------------------------------------

SURE = {
    "repository": "acme/ledger",
    "confidence": 0.97,
    "candidates": [],
    "reason": "rounding is bookkeeping",
}


@pytest.fixture
async def service() -> AsyncIterator[StandIn]:
    async with stand_in() as service:
        service.answers = [json.dumps(SURE)]
        yield service


@pytest.fixture
def botty_settings(service: StandIn) -> dict[str, Any]:
    return {"gateway": service.table()}


async def test_a_model_is_asked_by_the_command_line_only_when_told_to(place: Path, service: StandIn) -> None:
    """Without a bot: the budgets are in its files, which the command takes for a moment."""
    table = service.table()
    route, model = table["routes"][0], table["models"][0]
    lines = [
        '\n[gateway]\nown_model = "own-1"\n[[gateway.routes]]',
        *(f"{key} = {json.dumps(value)}" for key, value in route.items()),
        "[[gateway.models]]",
        *(f"{key} = {json.dumps(value)}" for key, value in model.items()),
    ]
    (place / "config.toml").write_text(CONFIG + "\n".join(lines))
    explaining = ["classify", "--json", "--explain", "cents are lost"]
    assert await asyncio.to_thread(main, explaining) == 0
    assert not service.bodies
    assert await asyncio.to_thread(main, [*explaining, "--model"]) == 0
    assert len(service.bodies) == 1


async def test_the_running_bot_answers_what_the_command_line_asks(
    service: StandIn, botty: Botty, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its own budgets; its files are its own."""
    config = str(botty.home.config)
    botty.home.write_config()
    explaining = ["classify", "-c", config, "--json", "--explain", "cents are lost", "--model"]
    assert await asyncio.to_thread(main, explaining) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["decided_by"], answer["repository"]) == ("model", "acme/ledger")
    assert await asyncio.to_thread(main, ["classify", "-c", config, "labels", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"labels": []}


async def test_whoever_asks_in_slack_is_told_alone(service: StandIn, botty: Botty) -> None:
    said = await botty.command("route the <b>invoice</b> is wrong", channel="web")
    assert said.startswith("*acme/ledger, because you wrote “invoice”.*")
    assert "• channel default: acme/storefront because it is the repository of #web" in said
    assert not service.bodies
    assert "rounding is bookkeeping" in await botty.command("route cents are lost")
    assert "Say the message too" in await botty.command("route")
    assert "Guests may not" in await botty.command("route the css", user="gus", channel="web")
