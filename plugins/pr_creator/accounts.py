"""Which GitHub account acts for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot import GitIdentity, Person, Secret, UserError

if TYPE_CHECKING:
    from plugins.pr_creator.settings import Account, PrCreatorSettings


@dataclass(frozen=True, slots=True)
class Actor:
    """The account that does something. `note` says why it is not the person's own, else it is empty."""

    login: str
    token: Secret
    where: str  # the part of config.toml its token comes from, for error texts
    note: str = ""


class Accounts:
    """The accounts of config.toml by Slack user id."""

    def __init__(self, settings: PrCreatorSettings) -> None:
        self._settings = settings

    @property
    def bot(self) -> Actor:
        account = self._settings.bot
        return Actor(account.login, account.token, "[pr_creator.bot]")

    def linked(self, person_id: str) -> Account | None:
        return self._settings.people.get(person_id)

    def acting_for(self, person: Person) -> Actor:
        """The person's own account, or the bot's where that is allowed; UserError that says how to link."""
        account = self.linked(person.id)
        if account is not None:
            return Actor(account.login, account.token, f"[pr_creator.people.{person.id}]")
        if not self._settings.fallback_to_bot:
            raise UserError(
                f"{person.name} has no GitHub account linked, so nothing can be pushed in their name. "
                f"Whoever runs the bot links one: add [pr_creator.people.{person.id}] with login, id and "
                "token to config.toml."
            )
        note = f"by {self._settings.bot.login}, because {person.name} has no GitHub account linked"
        return Actor(self._settings.bot.login, self._settings.bot.token, "[pr_creator.bot]", note)

    def identity(self, person: Person) -> GitIdentity | None:
        """Name and no-reply address of the person's account, None when none is linked."""
        account = self.linked(person.id)
        return None if account is None else _identity(account)

    def bot_identity(self) -> GitIdentity:
        plain = _identity(self._settings.bot)
        email = self._settings.bot.email
        return plain if email is None else GitIdentity(plain.name, email)


def _identity(account: Account) -> GitIdentity:
    """The no-reply address: the real one would leak, and GitHub may refuse a push that does (GH007)."""
    email = f"{account.id}+{account.login}@users.noreply.github.com"
    return GitIdentity(account.name or account.login, email)
