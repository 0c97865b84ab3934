"""The command line: quick help, clear mistakes, honest exit codes, the same with and without a bot."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from bot.cli import cli, main
from bot.playground.household import Household, household
from bot.testing import Botty


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command there is, groups included."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands(cli)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """With --help, exit 0, and a sentence that says what it is for."""
    assert main([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: threadsmith")
    assert "." in shown.partition("\n\n")[2].partition("Options:")[0]


def test_help_loads_nothing_heavy() -> None:
    """It answers at once, and needs no Slack, no web server and no validation library for it."""
    heavy = ("slack_bolt", "slack_sdk", "aiohttp", "pydantic", "github", "jinja2")
    script = f"""
import sys
from bot.cli import main
assert main(["--help"]) == 0
print([name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("arguments", [["nonsense"], ["check", "--nonsense"], ["sessions", "show"]])
def test_wrong_usage_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says what was wrong."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert "Error" in capsys.readouterr().err


@pytest.fixture
def home(tmp_path: Path) -> Household:
    return household(tmp_path / "household", port=0)


def asked(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """The JSON a command prints."""
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_check_says_that_all_is_well(home: Household, capsys: pytest.CaptureFixture[str]) -> None:
    """For people and for scripts."""
    assert main(["check", "--config", str(home.config)]) == 0
    assert "2 repositories" in capsys.readouterr().out
    answer = asked(capsys, "check", "--config", str(home.config))
    assert answer == {"ok": True, "mistakes": [], "left_out": []}


def test_check_says_all_mistakes_at_once(home: Household, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, each with key, what was expected, what was found, and how to fix it; never a secret."""
    text = home.config.read_text() + '\n[limits]\nattempts = "three"\nnonsense = 1\n'
    config = home.folder / "wrong.toml"
    config.write_text(text)
    assert main(["check", "--config", str(config)]) == 2
    shown = capsys.readouterr().err
    assert "limits.attempts" in shown
    assert "limits.nonsense" in shown
    answer = asked(capsys, "check", "--config", str(config), code=2)
    assert answer["ok"] is False
    assert {mistake["key"] for mistake in answer["mistakes"]} == {"limits.attempts", "limits.nonsense"}
    assert all(mistake["fix"] and mistake["expected"] for mistake in answer["mistakes"])
    assert home.secrets["bot_token"] not in shown + json.dumps(answer)


def test_a_configuration_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none.toml")
    for command in (["check"], ["plugins"], ["sessions", "list"], ["reindex"], ["run"]):
        assert main([*command, "--config", missing]) == 2
        assert "none.toml" in capsys.readouterr().err


def test_plugins_lists_those_left_out_too(home: Household, capsys: pytest.CaptureFixture[str]) -> None:
    """With where each is from, its hooks, and what is wrong with it."""
    folder = home.folder / "plugins"
    folder.mkdir()
    (folder / "broken.py").write_text("raise RuntimeError('no')\n")
    config = home.folder / "more.toml"
    config.write_text(home.config.read_text() + f'\n[plugins]\nfolder = "{folder}"\n')
    rows = {row["name"]: row for row in asked(capsys, "plugins", "--config", str(config))["plugins"]}
    assert "choose_repository" in rows["repo_classifier"]["hooks"]
    assert rows["broken"]["problem"]
    assert main(["plugins", "--config", str(config)]) == 0
    assert "broken" in capsys.readouterr().out
    assert asked(capsys, "check", "--config", str(config))["left_out"][0]["plugin"] == "broken"


def test_a_data_folder_nobody_used_yet_has_no_sessions(
    home: Household, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the way to the first one is said."""
    assert main(["sessions", "list", "--config", str(home.config)]) == 0
    assert "No sessions yet" in capsys.readouterr().out
    assert main(["sessions", "show", "abcdef0123", "--config", str(home.config)]) == 1
    assert "There is no session abcdef0123" in capsys.readouterr().err
    assert main(["sessions", "show", "../../etc", "--config", str(home.config)]) == 1
    assert "not a session id" in capsys.readouterr().err


async def test_sessions_are_shown_by_a_running_bot_and_without_one(
    botty: Botty, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """List, show, export and reindex answer the same; an export is a whole file and overwrites nothing."""
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    config = ("--config", str(botty.home.config))
    answers = []
    for when in ("running", "closed"):
        listed = await asyncio.to_thread(asked, capsys, "sessions", "list", *config)
        [row] = listed["sessions"]
        shown = await asyncio.to_thread(asked, capsys, "sessions", "show", row["id"], *config)
        assert [prompt["state"] for prompt in shown["prompts"]] == ["done"]
        assert shown["session"]["pull_request"]["number"]
        copy = tmp_path / f"{when}.db"
        assert await asyncio.to_thread(main, ["sessions", "export", row["id"], str(copy), *config]) == 0
        with sqlite3.connect(f"file:{copy}?mode=ro", uri=True) as database:
            assert database.execute("select count(*) from events").fetchone()[0] == shown["last_seq"]
        database.close()
        assert await asyncio.to_thread(main, ["sessions", "export", row["id"], str(copy), *config]) == 1
        assert "exists" in capsys.readouterr().err
        assert await asyncio.to_thread(asked, capsys, "reindex", *config) == {"sessions": 1, "failed": []}
        assert await asyncio.to_thread(main, ["sessions", "list", *config]) == 0
        assert row["id"] in capsys.readouterr().out
        assert await asyncio.to_thread(main, ["sessions", "show", row["id"], *config]) == 0
        assert "Pull request #" in capsys.readouterr().out
        answers.append((listed, shown["prompts"], shown["artifacts"], shown["effects"]))
        await botty.bot.close()
    assert answers[0] == answers[1]


async def test_a_damaged_index_is_built_anew(botty: Botty, capsys: pytest.CaptureFixture[str]) -> None:
    """By a command and by a start of the bot: it is derived, so losing it loses nothing."""
    await (await botty.say('create a.txt with "a"')).final()
    config = ("--config", str(botty.home.config))
    path = botty.bot.house.folder.index_path
    await botty.bot.close()
    path.write_bytes(b"no database at all" * 1000)
    listed = await asyncio.to_thread(asked, capsys, "sessions", "list", *config)
    assert [row["state"] for row in listed["sessions"]] == ["done"]
    path.write_bytes(b"no database at all" * 1000)
    await botty.restart()
    assert await asyncio.to_thread(asked, capsys, "sessions", "list", *config) == listed
