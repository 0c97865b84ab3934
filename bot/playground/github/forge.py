"""Repositories, accounts and what each may do: the things every part of the GitHub side asks for."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.playground.github.accounts import Account, Accounts, Identity, Permission
from bot.playground.github.errors import GitHubSideError, forbidden, not_found
from bot.playground.github.repository import Repository
from bot.playground.github.store import RepositoryRow, Store
from bot.playground.github.writing import Signed, create_repository

# Commits made on GitHub's own pages and API carry this committer there, too.
WEB_IDENTITY = Identity("GitHub", "noreply@github.com")
_FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Seed:
    """A repository to make at the first start: its history as a fast-import stream."""

    full_name: str
    description: str
    language: str
    created_at: str
    pushed_at: str
    stream: bytes


class Forge:
    """All repositories below one folder, and the accounts that may use them."""

    def __init__(self, folder: Path, accounts: Sequence[Account]) -> None:
        self._folder = folder
        self.accounts = Accounts(accounts)
        self.store = Store(folder / "github.db")
        self._repositories: dict[str, Repository] = {}

    async def open(self, seeds: Sequence[Seed]) -> None:
        """Make what is missing. Every account may write to a seeded repository unless told otherwise."""
        for seed in seeds:
            path = self._path(seed.full_name)
            if not path.exists():
                await create_repository(path, seed.stream)
            self.store.add_repository(
                seed.full_name, seed.description, seed.language, seed.created_at, seed.pushed_at
            )
            for account in self.accounts:
                self.store.grant_if_unset(seed.full_name, account.login, Permission.WRITE)
        for row in self.store.repositories():
            self._repositories[row.full_name.lower()] = Repository(row.full_name, self._path(row.full_name))

    def close(self) -> None:
        self.store.close()

    def names(self) -> list[str]:
        return [repository.full_name for repository in self._repositories.values()]

    def row(self, repository: Repository) -> RepositoryRow:
        return next(row for row in self.store.repositories() if row.full_name == repository.full_name)

    def repository(self, full_name: str) -> Repository:
        """A repository by name, whoever asks. Raises GitHubSideError (404)."""
        repository = self._repositories.get(full_name.lower())
        if repository is None:
            raise not_found()
        return repository

    def permission(self, account: Account | None, repository: Repository) -> Permission:
        if account is None:
            return Permission.NONE
        return self.store.permission(repository.full_name, account.login)

    def readable(self, account: Account | None, full_name: str) -> Repository:
        """A repository this account may see. Raises GitHubSideError (404), as for private ones."""
        repository = self.repository(full_name)
        if self.permission(account, repository) < Permission.READ:
            raise not_found()
        return repository

    def require_write(self, account: Account | None, repository: Repository) -> Account:
        """The account, if it may push. Raises GitHubSideError: 404 out of sight, 403 read only."""
        permission = self.permission(account, repository)
        if account is None or permission < Permission.READ:
            raise not_found()
        if permission < Permission.WRITE:
            raise forbidden()
        return account

    def account(self, login: str) -> Account:
        """An account by login. Raises GitHubSideError (404) with the name in it."""
        account = self.accounts.by_login(login)
        if account is None:
            raise GitHubSideError(
                404, f"no account {login!r}; known: {', '.join(a.login for a in self.accounts)}"
            )
        return account

    def _path(self, full_name: str) -> Path:
        assert _FULL_NAME.fullmatch(full_name)
        return self._folder / "repositories" / f"{full_name}.git"


def signed_now(who: Identity) -> Signed:
    return Signed(who, f"{int(time.time())} +0000")
