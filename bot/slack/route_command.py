"""`/threadsmith route TEXT`: where a message would lead, told to the one who asks."""

from __future__ import annotations

from bot.domain import Person
from bot.errors import UserError
from bot.hooks import Commands
from bot.sessions.explaining import as_json, as_lines, explain, question_of
from bot.sessions.house import House
from bot.slack.text import escape, shorten

_MOST = 2900


def register_route_command(commands: Commands, house: House) -> None:
    """It knows the repositories that this person may use, and shows no others."""

    @commands.add
    async def route(text: str, person: Person, channel: str) -> str:
        """Say which repository I would take a message for, and why."""
        if not text:
            raise UserError("Say the message too, as in `route the total of the basket is wrong`.")
        if len(text) > house.settings.limits.message_chars:
            raise UserError(f"That is longer than {house.settings.limits.message_chars} characters.")
        usable = await house.permissions.repositories_for(person, house.settings.repositories)
        if not usable:
            raise UserError("There is no repository here that you may use.")
        name = await _name(house, channel)
        question = await question_of(
            house.plugins, text, person, usable, channel_id=channel, channel_name=name
        )
        outcome, *steps = as_lines(as_json(await explain(house.plugins, question, ask_model=True)))
        lines = [f"*{escape(outcome)}*", *(f"• {escape(step)}" for step in steps)]
        return shorten("\n".join(lines), _MOST)


async def _name(house: House, channel: str) -> str:
    """A channel that the bot is not in has no name for it, and is no repository's default."""
    try:
        return await house.directory.channel_name(channel)
    except UserError:
        return ""
