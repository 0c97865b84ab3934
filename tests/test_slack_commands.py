"""The slash command: words found by name, answered to one person, and broken ones blamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.testing import Botty

# The smallest plugin that STYLE.md promises, as it stands there.
PING = '''
from bot import Commands, hookimpl

@hookimpl
def register_commands(commands: Commands) -> None:
    @commands.add
    async def ping() -> str:
        """Check that I am awake."""
        return "pong"
'''
ODD = '''
from bot import Commands, Person, UserError, hookimpl

@hookimpl
def register_commands(commands: Commands) -> None:
    @commands.add
    async def echo(text: str, person: Person) -> str:
        """Say it again.

        With more than one line of help.
        """
        return f"{person.name} says {text}"

    @commands.add
    async def refuse() -> str:
        """Say no."""
        raise UserError("Not today. Try tomorrow.")

    @commands.add
    async def explode() -> str:
        """Break."""
        raise RuntimeError("xoxb-not-for-people")
'''


@pytest.fixture
def botty_settings(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "ping.py").write_text(PING)
    (folder / "odd.py").write_text(ODD)
    return {"plugins": {"folder": str(folder)}}


async def test_ping(botty: Botty) -> None:
    """The promise of STYLE.md: one dropped file, and this one line."""
    assert await botty.command("ping") == "pong"


async def test_a_command_is_given_what_it_asks_for(botty: Botty) -> None:
    """The rest of the line and who typed it; only what its arguments name."""
    assert await botty.command("echo  hello  there", "ben") == "Ben Sample says hello  there"
    assert await botty.command("  ping  ") == "pong"


async def test_help_lists_every_command_with_the_first_line_of_its_help(botty: Botty) -> None:
    """Also for no word at all."""
    shown = await botty.command("help")
    assert "`/threadsmith ping` Check that I am awake." in shown
    assert "`/threadsmith echo` Say it again." in shown
    assert "more than one line" not in shown
    assert await botty.command("") == shown


async def test_an_unknown_word_is_answered_with_the_nearest(botty: Botty) -> None:
    assert "Did you mean `/threadsmith ping`?" in await botty.command("pin")
    assert "`/threadsmith help` lists what there is" in await botty.command("xyzzy")


async def test_a_refusal_is_shown_and_a_breakdown_is_not(botty: Botty) -> None:
    """People see the sentence meant for them, and an incident's number for anything else."""
    assert await botty.command("refuse") == "Not today. Try tomorrow."
    broken = await botty.command("explode")
    assert "incident" in broken
    assert "xoxb" not in broken


async def test_a_guest_gets_no_answer_but_why(botty: Botty) -> None:
    assert "Guests may not" in await botty.command("ping", "gus")


async def test_a_name_is_taken_once_and_needs_help(botty: Botty) -> None:
    """A plugin's mistake is told to the plugin, at start."""

    async def ping() -> str:
        """Again."""
        return ""

    async def silent() -> str:
        return ""

    async def help() -> str:
        """Mine."""
        return ""

    for function, reason in (
        (ping, "exists already"),
        (help, "exists already"),
        (silent, "needs a docstring"),
    ):
        with pytest.raises(ValueError, match=reason):
            botty.bot.commands.add(function)
