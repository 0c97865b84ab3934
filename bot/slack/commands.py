"""The slash command: words that plugins register, found by name, answered to the person who typed."""

from __future__ import annotations

import difflib
import inspect
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bot.domain import Action, Person, Subject
from bot.errors import UserError
from bot.permissions import Permissions
from bot.sessions.ports import Directory

log = logging.getLogger(__name__)

Command = Callable[..., Awaitable[str]]


class SlackCommands:
    """The `Commands` that plugins are handed, and the dispatch."""

    def __init__(self, permissions: Permissions, directory: Directory, slash: str) -> None:
        self._permissions = permissions
        self._directory = directory
        self._slash = slash
        self._commands: dict[str, Command] = {}

    def add(self, function: Command) -> Command:
        """See `bot.hooks.Commands.add`. Raises ValueError for a taken name or a function without help."""
        name = getattr(function, "__name__", "")
        if name in self._commands or name == "help":
            raise ValueError(f"a command named {name!r} exists already")
        if not inspect.getdoc(function):
            raise ValueError(f"the command {name!r} needs a docstring: it is its help")
        self._commands[name] = function
        return function

    async def run(self, body: Mapping[str, Any]) -> str:
        """The answer to one slash command as Slack delivered it; never raises."""
        team, user = str(body.get("team_id") or ""), str(body.get("user_id") or "")
        try:
            person = await self._directory.person(team, user)
            decision = await self._permissions.may(person, Action.SEE, Subject())
            if not decision.allowed:
                return decision.reason
            return await self.say(str(body.get("text") or ""), person, str(body.get("channel_id") or ""))
        except UserError as error:
            return str(error)
        except Exception:
            incident = uuid.uuid4().hex[:8]
            log.exception("a slash command failed (incident %s)", incident)
            return f"That did not work, and it is our fault. The log has it as incident {incident}."

    async def say(self, text: str, person: Person, channel: str = "") -> str:
        """Run the command that `text` begins with. Raises what the command raises."""
        name, _, rest = text.strip().partition(" ")
        if not name or name == "help":
            return self._help()
        command = self._commands.get(name)
        if command is None:
            close = difflib.get_close_matches(name, self._commands, n=1)
            hint = f" Did you mean `{self._slash} {close[0]}`?" if close else ""
            raise UserError(f"There is no `{name[:40]}`.{hint} `{self._slash} help` lists what there is.")
        offered = {"text": rest.strip(), "person": person, "channel": channel}
        wanted = inspect.signature(command).parameters
        return await command(**{key: value for key, value in offered.items() if key in wanted})

    def _help(self) -> str:
        lines = [f"`{self._slash} help` Show this list."]
        for name, command in sorted(self._commands.items()):
            summary = (inspect.getdoc(command) or "").splitlines()[0]
            lines.append(f"`{self._slash} {name}` {summary}")
        return "\n".join(["Mention me in a channel or a thread to start working. Here you can ask:", *lines])
