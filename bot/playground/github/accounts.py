"""Who may use the GitHub side: people and the bot, each with one token."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256


class Permission(IntEnum):
    """What an account may do with one repository; each level includes those below it."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """GitHub's own word: none, read, write or admin."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Identity:
    """The name and address that git writes into a commit."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Account:
    """A GitHub account of the playground. `id` is GitHub's numeric user id."""

    id: int
    login: str
    name: str
    token: str = field(repr=False)
    bot: bool = False

    @property
    def identity(self) -> Identity:
        """The private address GitHub gives every account, with the name people see."""
        return Identity(self.name, f"{self.id}+{self.login}@users.noreply.github.com")


class Accounts:
    """Finds accounts by login, token or commit address. Tokens are kept as digests only."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._by_login = {account.login.lower(): account for account in accounts}
        self._by_digest = {_digest(account.token): account for account in self if account.token}
        self._by_email = {account.identity.email.lower(): account for account in self}

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_login.values())

    @property
    def people(self) -> list[Account]:
        return [account for account in self if not account.bot]

    def by_login(self, login: str) -> Account | None:
        return self._by_login.get(login.lower())

    def by_token(self, token: str) -> Account | None:
        return self._by_digest.get(_digest(token))

    def by_email(self, email: str) -> Account | None:
        return self._by_email.get(email.lower())


def _digest(token: str) -> bytes:
    # Looking up a digest keeps the comparison from leaking how much of a token was right.
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
