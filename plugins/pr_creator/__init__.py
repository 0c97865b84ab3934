"""GitHub: credentials and identity from config.toml, and pull requests in the name of whoever asked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from bot import (
    Artifact,
    Change,
    Checks,
    Effects,
    GitAccess,
    GitIdentity,
    GitPurpose,
    Person,
    PluginContext,
    PullRequest,
    Repository,
    Services,
    UserError,
    hookimpl,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from plugins.pr_creator.accounts import Accounts
    from plugins.pr_creator.github_client import GitHubClient
    from plugins.pr_creator.publishing import Publisher
    from plugins.pr_creator.settings import PrCreatorSettings

GIT_USER = "x-access-token"  # what GitHub wants as the user name beside any kind of token


class Plugin:
    """Answers for GitHub. Everything else about it is in the modules beside."""

    _settings: PrCreatorSettings
    _accounts: Accounts
    _client: GitHubClient
    _publisher: Publisher

    @hookimpl
    def config_schema(self) -> type[BaseModel]:
        from plugins.pr_creator.settings import PrCreatorSettings

        return PrCreatorSettings

    @hookimpl
    def setup(self, context: PluginContext) -> None:
        from plugins.pr_creator.accounts import Accounts
        from plugins.pr_creator.github_client import GitHubClient
        from plugins.pr_creator.publishing import Publisher
        from plugins.pr_creator.texts import Texts

        settings: PrCreatorSettings = context.settings
        self._settings = settings
        self._accounts = Accounts(settings)
        self._client = GitHubClient(settings.api_url, settings.timeout_seconds)
        texts = Texts(settings, self._accounts)
        self._publisher = Publisher(self._client, self._accounts, texts, settings.draft)

    @hookimpl
    def register_services(self, services: Services) -> None:
        services.add("github", start=self._start, stop=self._stop, ping=self._ping)

    @hookimpl
    def register_checks(self, checks: Checks) -> None:
        from plugins.pr_creator.checks import check_accounts

        checks.add("GitHub", partial(check_accounts, self._settings), seconds=60)

    @hookimpl
    def git_access(self, repository: Repository, person: Person | None, purpose: GitPurpose) -> GitAccess:
        """Reading is the bot's affair; writing is done as the person, under GitHub's rules for them."""
        writing = purpose is GitPurpose.PUSH and person is not None
        actor = self._accounts.acting_for(person) if writing and person else self._accounts.bot
        note = f"pushed {actor.note}" if actor.note else ""
        return GitAccess(f"{self._settings.github_url}/{repository.name}.git", GIT_USER, actor.token, note)

    @hookimpl
    def git_identity(self, person: Person) -> GitIdentity | None:
        return self._accounts.identity(person)

    @hookimpl
    async def publish(self, change: Change, effects: Effects) -> Sequence[Artifact | PullRequest]:
        return [await self._publisher.publish(change, effects)]

    @hookimpl
    async def find_pull_request(self, repository: Repository, branch: str) -> PullRequest | None:
        return await self._publisher.find(repository.name, branch)

    async def _start(self) -> None:
        """Nothing runs in the background; the service is there for its ping and its stop."""

    async def _stop(self) -> None:
        self._client.close()

    async def _ping(self) -> None:
        """UserError unless GitHub answers and the bot's token is the bot's."""
        bot = self._accounts.bot
        login = await self._client.login(bot)
        if login.lower() != bot.login.lower():
            raise UserError(
                f"The token in {bot.where} belongs to {login}, not to {bot.login}; put the right one there."
            )
